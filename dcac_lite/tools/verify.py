"""Are the real data sets right? `python -m dcac_lite verify [ROOT]`

Without ROOT the data root is looked through for the paper's data sets and for those whose people change
clothes: identities, images and cameras beside Table 1 (or the data card), every image opened, a
fingerprint. ROOT may be another data root, or the folder of one data set, your own among them. The exit
status is 0 only if everything found is right.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ..data.clothes import CLOTHES_DATASETS, UNKNOWN, ClothesDataset, ClothesListing, list_clothes
from ..data.decoding import content_digest, image_digest, in_parallel
from ..data.listing import Listing, list_images
from ..data.registry import DATASETS, FOLDERS, LISTS, MARKET_LAYOUT, MSMT17_FOLDERS, Dataset, paper_name
from ..paths import data_root
from ..progress import over
from ..tiers import TIERS

WIDTH = 96
_TABLE_1 = ("MA", "D", "MS", "C3")
_EXAMPLES = {
    "MA": "0002_c1s1_000451_03.jpg",
    "D": "0001_c2_f0046182.jpg",
    "MS": "0000_c14_0030.jpg",
    "C3": "0001_c1_1.png",
}
_NO_CAMERAS = (
    "The file names tell no cameras. The protocol leaves out a query's matches from its own camera, which cannot be "
    "done here: near-duplicates from the same camera count as matches, so scores are higher and not comparable with "
    "published ones. Only exact copies of a query in the gallery are ignored."
)
_NO_VERSION = (
    "Which of MSMT17's releases this is (V1, or V2 with blurred faces) cannot be told from re-arranged files. A copy "
    "with 30,248 training images was made without the validation list, which the paper's 32,621 include."
)


def identities(listing: Listing) -> tuple[int, int]:
    """Identities in training and in test. Person id 0 counts where somebody asks for it; in Market1501
    nobody does, because it stands for distractors."""
    asked = {f.pid for f in listing.query}
    return len({f.pid for f in listing.train}), len(asked | {f.pid for f in listing.gallery if f.pid != 0})


def uncounted_queries(listing: Listing) -> int:
    """Queries without a true match in another camera, which the protocol does not count."""
    cameras: dict[int, set[int]] = {}
    for file in listing.gallery:
        cameras.setdefault(file.pid, set()).add(file.camera)
    return sum(not cameras.get(f.pid, set()) - {f.camera} for f in listing.query)


def listed(folder: Path, dataset: Dataset | None) -> Listing:
    """The pictures of a data set, by the reader that its layout asks for."""
    if isinstance(dataset, ClothesDataset):
        return list_clothes(folder, dataset)
    return list_images(folder, dataset)


def clothes_counts(listing: ClothesListing) -> dict[str, int]:
    """Outfits with a number, and tracklets of each split where the data set has them."""
    outfits = {int(number) for split in FOLDERS for number in listing.clothes[split]} - {UNKNOWN}
    tracklets = listing.tracklets or {}
    return {"outfits": len(outfits)} | {f"{s} tracklets": len(set(n.tolist())) for s, n in tracklets.items()}


def unreadable(listing: Listing, progress=iter) -> tuple[list[str], dict[str, bytes]]:
    """Opens every image; returns one sentence for each that cannot be decoded, and if there is none
    `decoding.content_digest` of each split's files."""
    files = [f.path for split in FOLDERS for f in getattr(listing, split)]
    found = list(in_parallel(_looked_at, files, progress))
    if broken := [text for text in found if isinstance(text, str)]:
        return list(dict.fromkeys(broken)), {}
    digests = iter(found)
    return [], {split: content_digest(islice(digests, len(getattr(listing, split)))) for split in FOLDERS}


def _looked_at(path: Path) -> bytes | str:
    try:
        return image_digest(path)
    except ValueError as error:
        return str(error)


def expected_tree(dataset: Dataset) -> str:
    """The folders `dataset` is read from, as text."""
    if isinstance(dataset, ClothesDataset):
        lines = "".join(f"    {line}\n" for line in dataset.tree)
        return f"  {dataset.folders[0]}/\n{lines}" + _wrapped(f"or in {', '.join(dataset.folders[1:])}") + "\n"
    name = _EXAMPLES[paper_name(dataset.name)]
    text = f"  {dataset.folders[0]}/\n" + "".join(f"    {folder + '/':<21} {name}\n" for folder in FOLDERS.values())
    if dataset.folders == DATASETS["MS"].folders:
        for version, (train, test) in MSMT17_FOLDERS.items():
            text += f"  or {version}/\n    {train + '/':<21} 0000/0000_000_01_0303morning_0008_0.jpg\n    {test}/\n"
            text += "".join(f"    {name}\n" for name in LISTS)
    return text + _wrapped(f"or in {', '.join(dataset.folders[1:])}") + "\n"


def report(listing: Listing, dataset: Dataset | None, progress=iter) -> Iterator[tuple[str, bool]]:
    """The lines about one data set, each with whether it is a complaint."""
    counts = [len(getattr(listing, split)) for split in FOLDERS]
    train, test = identities(listing)
    names = ("identities", "training images", "query images", "gallery images")
    rows = list(zip(names, (train + test, *counts), (dataset.identities, *dataset.images) if dataset else (None,) * 4))
    if isinstance(listing, ClothesListing) and isinstance(dataset, ClothesDataset):
        names = ("outfits", *(f"{split} tracklets" for split in FOLDERS))
        expected = dict(zip(names, (dataset.outfits, *(dataset.tracklets or ()))))
        rows += [(what, here, expected.get(what)) for what, here in clothes_counts(listing).items()]
    if listing.cameras_known and (dataset is None or dataset.cameras):  # LaST counts none
        cameras = len({f.camera for split in FOLDERS for f in getattr(listing, split)})
        rows.append(("cameras", cameras, dataset.cameras if dataset else None))
    yield (
        f"  {'':<16} {'here':>8}" + (f" {'Table 1' if dataset.name in _TABLE_1 else 'expected':>9}" if dataset else ""),
        False,
    )
    for what, here, expected in rows:
        beside = "" if expected is None else f" {expected:>9,}  {'ok' if here == expected else 'DIFFERENT'}"
        yield f"  {what:<16} {here:>8,}{beside}", expected not in (None, here)
    yield f"  identities: {train:,} in training, {test:,} in test; layout: {listing.layout}", False
    if lost := uncounted_queries(listing):
        yield (
            f"  {lost:,} of {counts[1]:,} queries have no match in another camera and are not counted.",
            lost == counts[1],
        )
    broken, contents = unreadable(listing, progress)
    yield from ((_wrapped(f"UNREADABLE {sentence}"), True) for sentence in broken)
    yield (
        f"  opened {sum(counts):,} images: " + (f"{len(broken):,} cannot be used" if broken else "all can be read"),
        False,
    )
    size = TIERS["full"].image_size
    if contents:
        yield f"  fingerprint at {size[0]} x {size[1]}: {listing.fingerprint(size, contents)}", False
    notes = [dataset.note] if dataset and dataset.note else []
    if not listing.cameras_known:
        notes.append(_NO_CAMERAS)
    if dataset and dataset.name == "MS":
        notes.append(_NO_VERSION if listing.layout == MARKET_LAYOUT else _version(listing))
    yield from ((_wrapped(f"Note: {note}"), False) for note in notes)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _version(listing: Listing) -> str:
    dataset = DATASETS["MS-without-val"]
    here = len(list_images(listing.folder, dataset).train)
    return (
        f"This is {listing.layout.split()[0]}. The source MS-without-val leaves out list_val.txt and has {here:,} "
        f"training images (expected {dataset.images[0]:,})."
    )


def _owner(folder: Path) -> Dataset | None:
    """The data set whose place a folder's name is, or None for one of the user's own."""
    places = [(d, Path(place).parts) for d in (*DATASETS.values(), *CLOTHES_DATASETS.values()) for place in d.folders]
    return next((d for d, parts in places if folder.resolve().parts[-len(parts) :] == parts), None)


def verify(root: Path, progress=iter) -> int:
    """Print what is right and wrong with the data sets under `root`, or with the one that `root` is;
    returns the exit status."""
    owner = _owner(root) if root.is_dir() else None
    marked = [mark for mark in (*FOLDERS.values(), *LISTS) if os.path.exists(root / mark)]
    if set(FOLDERS.values()) <= set(marked) and isinstance(owner, ClothesDataset):
        owner = None  # somebody's own data set, in a folder that is called as LaST's is
    if marked or isinstance(owner, ClothesDataset):
        cases = [(str(root), owner, lambda dataset: root)]
    else:
        known = (*(d for d in DATASETS.values() if d.validation), *CLOTHES_DATASETS.values())
        cases = [(f"{d.title} ({d.name})", d, lambda dataset: dataset.find(root)) for d in known]
    found, complaints, missing = 0, 0, []
    for title, dataset, find in cases:
        try:
            folder = find(dataset)
        except FileNotFoundError:
            missing.append(dataset)
            continue
        except (OSError, ValueError) as error:
            found, complaints = found + 1, complaints + 1
            print(f"{title}\n{_wrapped(f'WRONG {error}')}\n")
            continue
        found += 1
        print(title if title == str(folder) else f"{title} at {folder}")
        try:
            for line, wrong in report(listed(folder, dataset), dataset, progress):
                complaints += wrong
                print(line)
        except (OSError, ValueError) as error:
            complaints += 1
            print(_wrapped(f"WRONG {error}"))
            print("  Expected:\n" + textwrap.indent(expected_tree(dataset or DATASETS["MA"]), "  "), end="")
        print()
    for dataset in (d for d in missing if d.name in _TABLE_1):
        print(f"Not here: {dataset.title} ({dataset.name}). Expected under {root}:\n{expected_tree(dataset)}")
    if not found:
        print(f"No data set in {root}: name the folder that holds them, or set DCAC_DATA.")
        return 1
    print(f"{found} found, " + (f"{complaints} complaint{'s' * (complaints > 1)}." if complaints else "all right."))
    return int(complaints > 0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__.partition("\n\n")[2]
    parser.add_argument(
        "root", nargs="?", type=Path, default=data_root(), help="a data root, or the folder of one data set"
    )
    parser.set_defaults(call=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold anything
    return verify(arguments.root, over("  opening"))
