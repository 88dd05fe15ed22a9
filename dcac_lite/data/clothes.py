"""Clothes-changing data sets as their owners distribute them: PRCC, LTCC, CCVID, VC-Clothes and LaST.

What they have beside files, persons and cameras (`listing`) is the number of the outfit. Nothing here takes part in the
paper's experiments; `expansion` measures on them. File names are read by themselves, never with the folders above
them: a data root called `12_3_c4` is no person."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from .decoding import decoded
from .domains import Domain, Split
from .listing import SUFFIXES, ImageFile, Listing, _file, short_hash
from .registry import FOLDERS, Dataset

UNKNOWN = -1  # the outfit of a picture of which nobody knows it


@dataclass(frozen=True)
class _Found:
    """A picture as a layout tells it: outfit and tracklet by name, None where there is none."""

    file: ImageFile
    outfit: str | None
    tracklet: str | None = None


@dataclass(frozen=True)
class ClothesDataset(Dataset):
    """A `registry.Dataset` with outfits. layout: reads the three splits below its folder; tree: what lies there, for a
    message; cameras: 0 where there are none to count; outfits: in training and test together, tracklets: in training,
    query and gallery, None where not known."""

    layout: Callable[[Path], dict[str, list[_Found]]] = field(kw_only=True, repr=False)
    tree: tuple[str, ...] = field(kw_only=True)
    outfits: int | None = field(default=None, kw_only=True)
    tracklets: tuple[int, int, int] | None = field(default=None, kw_only=True)

    def find(self, root: Path) -> Path:
        """As `registry.Dataset.find`; what is missing is said for this data set, which no experiment needs."""
        try:
            return super().find(root)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.title} is not at {Path(root) / self.folders[0]}: get it from its owners (data_cards/ says "
                "how), keep their folders, and set DCAC_DATA to the folder that holds it."
            ) from None


@dataclass(frozen=True, kw_only=True)
class ClothesListing(Listing):
    """A `Listing` with the outfit of every picture. clothes: by split, int64 [N]; two people never share a number, and
    `UNKNOWN` stands where the owners say none. tracklets: by split, which video each frame is of, int64 [N], or None
    for data sets of pictures."""

    clothes: Mapping[str, np.ndarray]
    tracklets: Mapping[str, np.ndarray] | None = None

    def fingerprint(self, size: tuple[int, int], contents: Mapping[str, bytes]) -> str:
        """That of `Listing`, and of the outfits."""
        outfits = " ".join(f"{split}: {' '.join(map(str, self.clothes[split]))}" for split in FOLDERS)
        return short_hash(super().fingerprint(size, contents) + outfits)


@dataclass(frozen=True)
class ClothesSplit(Split):
    """A `Split` with outfits and tracklets, see `ClothesListing`."""

    clothes: np.ndarray = field(kw_only=True)
    tracklets: np.ndarray | None = field(default=None, kw_only=True)


# ---------------------------------------------------------------- layouts


def _pictures(folder: Path, below: bool = False) -> list[Path]:
    """The images of a folder, or of the folders in it, sorted; hidden files and others that are no images left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    found = sorted(folder.glob("*/*" if below else "*"))
    shown = (p for p in found if not p.name.startswith(".") and not (below and p.parent.name.startswith(".")))
    pictures = [p for p in shown if p.suffix.lower() in SUFFIXES]
    if not pictures:
        raise ValueError(f"{folder} holds no .jpg or .png image{' one folder below' if below else ''}.")
    return pictures


def _of(path: Path, folder: Path, pid: str, camera: int) -> ImageFile:
    return ImageFile(*_file(path, path.relative_to(folder).as_posix(), pid, str(camera)))


def _matched(path: Path, pattern: re.Pattern, example: str) -> re.Match:
    match = pattern.fullmatch(path.stem)
    if match is None:
        raise ValueError(f"{path}: the name does not tell what it should; expected one such as {example}.")
    return match


_LETTER, _LETTERS = re.compile(r"([ABC])_.+"), "ABC"


def _prcc(folder: Path) -> dict[str, list[_Found]]:
    """Cameras A and B saw one outfit, C another. The queries are those of B (same clothes) and of C (changed ones)."""
    rgb = folder / "rgb"

    def found(path: Path, letter: str) -> _Found:
        pid = path.parent.name
        if not pid.isdigit():
            raise ValueError(f"{path.parent} is no person's folder; expected a number such as 001.")
        return _Found(_of(path, rgb, pid, 1 + _LETTERS.index(letter)), "C" if letter == "C" else "AB")

    test = {letter: [found(p, letter) for p in _pictures(rgb / "test" / letter, below=True)] for letter in _LETTERS}
    train = _pictures(rgb / "train", below=True)
    of_train = [found(p, _matched(p, _LETTER, "A_cropped_rgb001.jpg")[1]) for p in train]
    return {"train": of_train, "query": test["B"] + test["C"], "gallery": test["A"]}


def _by_name(folder: Path, places: tuple[str, str, str], pattern: re.Pattern, example: str) -> dict[str, list[_Found]]:
    """Folders of pictures (of training, query, gallery) whose names tell person, camera and outfit."""

    def found(path: Path) -> _Found:
        match = _matched(path, pattern, example)
        return _Found(_of(path, folder, match["pid"], int(match["camera"])), match["outfit"])

    return {split: [found(p) for p in _pictures(folder / place)] for split, place in zip(FOLDERS, places)}


_LTCC = re.compile(r"(?P<pid>[0-9]+)_(?P<outfit>[0-9]+)_c(?P<camera>[0-9]+)(?:_.*)?")
_VC_CLOTHES = re.compile(r"(?P<pid>[0-9]+)-(?P<camera>[0-9]+)-(?P<outfit>[0-9]+)-[0-9]+")
_TRACKLET = re.compile(r"(?P<session>session[0-9]+)/[^/_]+_(?P<camera>[0-9]+)(?:_[^/]*)?")
_LATER = 12  # what the cameras of session 3 are numbered on by


def _ccvid(folder: Path) -> dict[str, list[_Found]]:
    """List files with a line for each tracklet; all pictures of its folder are its frames."""
    return {split: _tracklets(folder, folder / f"{split}.txt") for split in FOLDERS}


def _tracklets(folder: Path, listing: Path) -> list[_Found]:
    frames, example = [], "session1/001_01 001 u0_l0_s0_c0_a0"
    if not listing.is_file():
        raise FileNotFoundError(f"There is no file {listing}; CCVID comes with train.txt, query.txt and gallery.txt.")
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        if not (fields := line.split()):
            continue
        match = _TRACKLET.fullmatch(fields[0])
        if len(fields) != 3 or match is None or not fields[1].isdigit():
            raise ValueError(f"{listing}, line {number}: {line!r} names no tracklet; expected one such as {example}.")
        camera = int(match["camera"]) + (_LATER if match["session"] == "session3" else 0)
        pictures = _pictures(folder / fields[0])
        frames += [_Found(_of(p, folder, fields[1], camera), fields[2], fields[0]) for p in pictures]
    return frames


_LAST = re.compile(r"(?P<pid>[0-9]+)_.*?(?P<outfit>[0-9]+)")


def _last(folder: Path) -> dict[str, list[_Found]]:
    """Outfits are known in training. Every test picture has a camera of its own, from 1, since the owners label none:
    nothing is ignored then. Persons are those of the names: one folder is called otherwise."""
    example = "000001_000_00_0001_1_01.jpg"
    train = [(path, _matched(path, _LAST, example)) for path in _pictures(folder / "train", below=True)]
    test = {"query": _pictures(folder / "test" / "query")}
    test["gallery"] = _pictures(folder / "test" / "gallery", below=True)
    found = {"train": [_Found(_of(path, folder, match["pid"], 0), match["outfit"]) for path, match in train]}
    camera = 0
    for split, paths in test.items():
        found[split] = []
        for path in paths:
            camera += 1
            found[split].append(_Found(_of(path, folder, _matched(path, _LAST, example)["pid"], camera), None))
    return found


_RECALLED = "How the test pictures divide into query and gallery is from other readers; only the sum is published."

#: By the name in lower case. Counts are those of the data cards.
CLOTHES_DATASETS: dict[str, ClothesDataset] = {
    d.name: d
    for d in (
        ClothesDataset("prcc", "PRCC", ("prcc", "PRCC"), 3, 221, (17896, 7416, 3384), note=_RECALLED, outfits=442,
                       layout=_prcc,
                       tree=("rgb/train/001/A_cropped_rgb001.jpg", "rgb/test/A/ rgb/test/B/ rgb/test/C/ likewise")),
        ClothesDataset("ltcc", "LTCC", ("LTCC_ReID", "ltcc"), 12, 152, (9576, 493, 7050), outfits=478,
                       layout=partial(_by_name, places=("train", "query", "test"), pattern=_LTCC,
                                      example="001_2_c3_015833.png"),
                       tree=("train/001_2_c3_015833.png", "query/ test/ likewise")),
        ClothesDataset("ccvid", "CCVID", ("CCVID", "ccvid"), 0, 226, (118613, 116799, 112421), layout=_ccvid,
                       tracklets=(948, 834, 1074),
                       tree=("train.txt query.txt gallery.txt with lines session1/001_01 001 u0_l0_s0_c0_a0",
                             "session1/001_01/00001.jpg")),
        ClothesDataset("vc-clothes", "VC-Clothes", ("VC-Clothes", "vc-clothes"), 4, 512, (9449, 1020, 8591),
                       note=_RECALLED,
                       layout=partial(_by_name, places=("train", "query", "gallery"), pattern=_VC_CLOTHES,
                                      example="0001-01-01-01.jpg"),
                       tree=("train/0001-01-01-01.jpg", "query/ gallery/ likewise")),
        ClothesDataset("last", "LaST", ("last", "LaST"), 0, 10806, (71248, 10176, 125353), layout=_last,
                       tree=("train/000001/000001_000_00_0001_1_01.jpg", "test/query/ likewise, test/gallery/000001/")),
    )
}  # fmt: skip


# ---------------------------------------------------------------- reading


def list_clothes(folder: str | Path, dataset: ClothesDataset) -> ClothesListing:
    """The pictures of a clothes-changing data set, each split sorted by name; cameras as in the names, PRCC's letters
    from 1. Hidden files and files that are no images are ignored.

    Raises FileNotFoundError for a folder or list file that is missing and ValueError for a name or line that cannot be
    understood and for a camera that the data set has not."""
    splits = dataset.layout(Path(folder))
    for found in (f for each in splits.values() for f in each):
        if dataset.cameras and not 1 <= found.file.camera <= dataset.cameras:
            said = f"camera {found.file.camera} is out of range; {dataset.title} has cameras 1 to {dataset.cameras}"
            raise ValueError(f"{found.file.path}: {said}.")
    splits = {split: sorted(found, key=lambda f: f.file.name) for split, found in splits.items()}
    everything = [f for found in splits.values() for f in found]
    outfits = _numbered({(f.file.pid, f.outfit) for f in everything if f.outfit is not None})
    tracklets = _numbered({f.tracklet for f in everything if f.tracklet is not None})
    of = lambda values: np.array(list(values), np.int64)  # noqa: E731
    return ClothesListing(
        Path(folder),
        f"{dataset.title}'s own",
        **{split: tuple(f.file for f in found) for split, found in splits.items()},
        clothes={s: of(outfits.get((f.file.pid, f.outfit), UNKNOWN) for f in found) for s, found in splits.items()},
        tracklets={s: of(tracklets[f.tracklet] for f in found) for s, found in splits.items()} if tracklets else None,
    )


def _numbered(names: set) -> dict:
    return {name: number for number, name in enumerate(sorted(names))}


def read_clothes(folder: str | Path, dataset: ClothesDataset, size: tuple[int, int], progress=iter) -> Domain:
    """The data set in `folder` as a `data.domains.Domain` whose splits are `ClothesSplit`s. Images are resized to
    `size` (height, width), bicubic, and kept decoded as those of any other data set. Errors as `list_clothes` and
    `decoding.decoded`."""
    listing = list_clothes(folder, dataset)
    images = decoded(listing, size, progress)
    splits = {}
    for split in FOLDERS:
        files = getattr(listing, split)
        splits[split] = ClothesSplit(
            images[split].images,
            np.array([f.pid for f in files], np.int64),
            np.array([f.camera for f in files], np.int64),
            tuple(f.name for f in files),
            tuple(f.path for f in files),
            clothes=listing.clothes[split],
            tracklets=listing.tracklets and listing.tracklets[split],
        )
    fingerprint = listing.fingerprint(size, {split: images[split].content for split in FOLDERS})
    return Domain(dataset.name, listing.folder, **splits, fingerprint=fingerprint, layout=listing.layout)
