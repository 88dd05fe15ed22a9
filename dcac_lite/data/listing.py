"""The files of a data set: paths, person ids, cameras. Nothing is opened here but list files.

Two layouts are read. Market-1501's: `bounding_box_train/`, `query/`, `bounding_box_test/` with files
named `PID_cCAMERA...`; any folder in this layout is a data set. And MSMT17's own: two image folders
and `list_{train,val,query,gallery}.txt`.
"""

import filecmp
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .registry import FOLDERS, LISTS, MARKET_LAYOUT, MSMT17_FOLDERS, Dataset

SUFFIXES = (".jpg", ".jpeg", ".png")
_OTHER_IMAGES = (
    ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".heic", ".avif", ".jfif",
    ".jfi", ".jif", ".jpe", ".jp2", ".apng",
)  # fmt: skip
_EXAMPLE = "0002_c1s1_000451_03.jpg"
_LINE = "0000/0000_000_01_0303morning_0008_0.jpg 0"  # of a list file
# the file name only: a folder called `x1_c2` must not be read as a person
_NAME = re.compile(r"(-?[0-9]+)(?:_c([0-9]+)|(?=[_.]))")


class ImageFile(NamedTuple):
    """One image. name: the path inside its split's folder; camera: as in the name (see `Listing`);
    size: bytes; modified and changed: when the content was, and when it or what the file system knows
    of the file was (which no program can set back), nanoseconds since 1970."""

    path: Path
    name: str
    pid: int
    camera: int
    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class Listing:
    """The files of a data set, each split sorted by name, junk (person id -1) left out. MSMT17's lists
    count training and test persons from 0; here test persons are numbered on after training's.

    With `cameras_known` False the names hold no cameras, and the protocol cannot leave out a query's
    own camera: near-duplicates of the query count as matches, so that scores are higher and not
    comparable. Each query then has a camera number of its own, and so have its exact copies in the
    gallery (same bytes), which are thereby ignored; everything else has camera 0."""

    folder: Path
    layout: str
    train: tuple[ImageFile, ...]
    query: tuple[ImageFile, ...]
    gallery: tuple[ImageFile, ...]
    cameras_known: bool = True

    def fingerprint(self, size: tuple[int, int], contents: Mapping[str, bytes]) -> str:
        """What identifies the data set read at `size` (height, width): names, sizes and contents of its
        files, with list files also the person ids and the layout. The same in every copy of the files.
        contents: `decoding.content_digest` of each split's files."""
        lists = self.layout != MARKET_LAYOUT
        keys = []
        for split in FOLDERS:
            lines = (f"{f.name} {f.size}" + (f" {f.pid}" if lists else "") + "\n" for f in getattr(self, split))
            keys.append(short_hash("".join(lines) + (self.layout if lists else "") + f"{size} {contents[split].hex()}"))
        return short_hash(" ".join(keys))


def short_hash(text: str) -> str:
    """16 hexadecimal digits of a text's SHA-256; file names that are not UTF-8 may be in it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def list_images(folder: str | Path, dataset: Dataset | None = None) -> Listing:
    """The images of the data set in `folder`, in either layout; with `dataset` its cameras are checked
    and its validation list is taken or left out.

    Names without cameras (`0002_000451.jpg`) are read too, see `Listing`. Person id -1 is left out, 0
    is kept. Hidden files and files that are no images (Thumbs.db) are ignored. Raises FileNotFoundError for
    a missing folder, list file or image, PermissionError for one that may not be looked into, and
    ValueError for a name or list line that cannot be understood, for names with and without cameras
    side by side, and for an image that is in training and in test."""
    folder = Path(folder)
    entries = {e.name: e for e in _scan(folder)}
    market = {name for name in FOLDERS.values() if name in entries and os.path.isdir(entries[name].path)}
    lists = [name for name in LISTS if name in entries]
    if market and lists:
        raise ValueError(
            f"{folder} holds Market-1501's folders and MSMT17's list files; keep one of the two layouts in it."
        )
    if lists:
        layout, splits = _from_lists(folder, entries, dataset is None or dataset.validation)
    elif len(market) == len(FOLDERS):
        if dataset is not None and not dataset.validation:
            raise ValueError(
                f"{folder} does not say which images are MSMT17's validation list; {dataset.name} needs list_val.txt."
            )
        layout, splits = MARKET_LAYOUT, {split: _from_names(folder / name) for split, name in FOLDERS.items()}
    else:
        raise FileNotFoundError(_missing(folder, entries, market))
    splits, cameras_known = _with_cameras(splits, dataset)
    _refuse_shared(splits["train"], (*splits["query"], *splits["gallery"]))
    return Listing(folder, layout, splits["train"], splits["query"], splits["gallery"], cameras_known)


def _scan(folder: Path) -> list[os.DirEntry]:
    """What lies in a folder, hidden entries left out, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no folder {folder}: expected a data set in Market-1501 layout.") from None
    except NotADirectoryError:
        raise ValueError(f"{folder} is a file; expected a folder with images.") from None
    except PermissionError:
        raise PermissionError(f"{folder} may not be looked into; make it readable.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise ValueError(
            f"{str(folder)!r} is no usable folder name ({reason}); expected a path such as /data/mine."
        ) from error


def _missing(folder: Path, entries: dict[str, os.DirEntry], market: set[str]) -> str:
    expected = ", ".join(f"{name}/" for name in FOLDERS.values())
    for entry in entries.values():
        inner = Path(entry.path)
        if all(os.path.isdir(inner / name) for name in FOLDERS.values()) or os.path.isfile(inner / LISTS[0]):
            return (
                f"{folder} is one folder too high: the data set lies in {inner}; name that one or move its content up."
            )
    lacking = ", ".join(f"{name}/" for name in FOLDERS.values() if name not in market)
    return (
        f"{folder} has no folder {lacking}: a data set in Market-1501 layout holds {expected} with .jpg or .png files."
    )


def _stated(path: Path, text: str, what: str) -> int:
    if len(text) > 18:
        raise ValueError(f"{path}: {what} {text} has more than 18 digits; expected a number such as 2.")
    return int(text)


def _file(path: Path, name: str, pid: str, camera: str | None) -> tuple[Path, str, int, int | None, int, int, int]:
    number = _stated(path, pid, "person id")
    if number < -1:
        raise ValueError(f"{path}: person id {number} is negative; expected 0 or more, or -1 for junk.")
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise FileNotFoundError(
            f"{str(path)!r} cannot be found ({reason}); put the image back or remove its name."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no file; expected an image.")
    camera_number = None if camera is None else _stated(path, camera, "camera")
    return path, name, number, camera_number, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _from_names(folder: Path) -> list[tuple]:
    files = []
    for entry in _scan(folder):
        path = Path(entry.path)
        if os.path.isdir(path):
            raise ValueError(
                f"{path} is a folder among images; a split in Market-1501 layout holds its images directly."
            )
        if path.suffix.lower() in _OTHER_IMAGES:
            raise ValueError(f"{path} is neither .jpg nor .png; convert or rename it, or move it out of the data set.")
        if path.suffix.lower() not in SUFFIXES:
            continue
        match = _NAME.match(entry.name)
        if match is None:
            raise ValueError(
                f"{path}: the name tells no person and camera; expected PID_cCAMERA..., such as {_EXAMPLE}."
            )
        files.append(_file(path, entry.name, *match.groups()))
    if not files:
        raise ValueError(f"{folder} holds no .jpg or .png image: expected names such as {_EXAMPLE}.")
    return files


def _from_lists(folder: Path, entries: Iterable[str], validation: bool) -> tuple[str, dict[str, list[tuple]]]:
    if lacking := [name for name in LISTS if name not in entries]:
        raise FileNotFoundError(f"{folder} has no {', '.join(lacking)}: MSMT17's own layout holds {', '.join(LISTS)}.")
    versions = [
        version for version, folders in MSMT17_FOLDERS.items() if all(os.path.isdir(folder / f) for f in folders)
    ]
    if len(versions) != 1:
        known = " or ".join(
            f"{', '.join(f'{f}/' for f in folders)} ({version})" for version, folders in MSMT17_FOLDERS.items()
        )
        which = "both" if versions else "none"
        raise FileNotFoundError(f"{folder} holds {which} of MSMT17's pairs of image folders; expected {known}.")
    train, test = MSMT17_FOLDERS[versions[0]]
    parts = {
        name: _from_list(folder / f"list_{name}.txt", folder / (train if name in ("train", "val") else test))
        for name in ("train", "val", "query", "gallery")
    }
    both = parts["train"] + parts["val"]
    if len({name for _, name, *_ in both}) < len(both):
        twice = next(iter({f[1] for f in parts["train"]} & {f[1] for f in parts["val"]}))
        raise ValueError(
            f"{folder}: list_train.txt and list_val.txt both name {twice}; expected each image in one of them."
        )
    # both lists count persons from 0; those of the test go on where training ends, as different people should
    people = 1 + max((f[2] for f in both), default=-1)
    tests = {split: [(*f[:2], f[2] + people, *f[3:]) for f in parts[split]] for split in ("query", "gallery")}
    splits = {"train": both if validation else parts["train"], **tests}
    return f"{versions[0]} list files", {split: sorted(files) for split, files in splits.items()}


def _from_list(listing: Path, images: Path) -> list[tuple]:
    try:
        lines = listing.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{listing} cannot be read as text ({error}); expected lines such as {_LINE}.") from error
    files: dict[str, tuple] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        name, pid = line.rsplit(maxsplit=1) if len(line.split()) > 1 else (line, "")
        fields = name.rpartition("/")[2].split("_")
        below = name[0] != "/" and ".." not in name
        if not (below and re.fullmatch(r"-?[0-9]+", pid) and len(fields) > 2 and re.fullmatch("[0-9]+", fields[2])):
            raise ValueError(
                f"{listing}, line {number}: {line!r} is not a path below {images.name}/ with the camera as third field "
                f"of the name, and a person id; expected {_LINE}."
            )
        if name in files:
            raise ValueError(f"{listing}, line {number}: {name} is listed twice; expected every image once.")
        files[name] = _file(images / name, name, pid, fields[2])
    if not files:
        raise ValueError(f"{listing} lists no image; expected lines such as {_LINE}.")
    return list(files.values())


def _with_cameras(
    splits: dict[str, list[tuple]], dataset: Dataset | None
) -> tuple[dict[str, tuple[ImageFile, ...]], bool]:
    """Check the cameras, or give numbers to files without (see `Listing`); leave junk out."""
    everything = [file for files in splits.values() for file in files]
    without = next((path for path, _, _, camera, *_ in everything if camera is None), None)
    having = next((path for path, _, _, camera, *_ in everything if camera is not None), None)
    if without and having:
        raise ValueError(
            f"{without} tells no camera but {having} does; expected all names to, such as {_EXAMPLE}, or none."
        )
    if without and dataset is not None:
        raise ValueError(f"{without}: the name tells no camera; {dataset.title} has names such as {_EXAMPLE}.")
    if dataset is not None:
        for path, _, _, camera, *_ in everything:
            if not 1 <= camera <= dataset.cameras:
                raise ValueError(
                    f"{path}: camera {camera} is out of range; {dataset.title} has cameras 1 to {dataset.cameras}."
                )
    kept = {split: tuple(ImageFile(*f) for f in files if f[2] != -1) for split, files in splits.items()}
    for split, files in kept.items():
        if not files:
            raise ValueError(f"{splits[split][0][0].parent} holds junk only (person id -1); expected images of people.")
    if not without:
        return kept, True
    number = {}  # of each query by its bytes
    for file in kept["query"]:
        number.setdefault(_digest(file.path), len(number) + 1)
    sizes = {file.size for file in kept["query"]}

    def numbered(file: ImageFile) -> ImageFile:
        return file._replace(camera=number.get(_digest(file.path), 0) if file.size in sizes else 0)

    train = tuple(file._replace(camera=0) for file in kept["train"])
    return {"train": train} | {split: tuple(map(numbered, kept[split])) for split in ("query", "gallery")}, False


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise ValueError(f"{path} is not a readable image ({error.strerror}); replace or remove the file.") from error


def _refuse_shared(train: tuple[ImageFile, ...], test: tuple[ImageFile, ...]) -> None:
    known = {(Path(f.name).name, f.size): f.path for f in train}
    for file in test:
        twin = known.get((Path(file.name).name, file.size))
        try:
            same = twin is not None and file.size > 0 and filecmp.cmp(twin, file.path, shallow=False)
        except OSError:
            continue  # said by name when the image is decoded
        if same:
            raise ValueError(
                f"{file.path} is a training image too ({twin}); expected no image in training and in test."
            )
