"""Re-ID data sets as arrays: images are decoded once into memory-mapped files.

The decoded files lie in `decoded/` beside a data set, or in `$DCAC_CACHE` where that is set, and can
be deleted at any time. At 256 x 128 all four data sets take 21 GB, MSMT17 alone 12.4 GB.
"""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .datasets import FOLDERS, MARKET_LAYOUT, Dataset, ImageFile, Listing, list_images
from .paths import data_root, replacing
from .renderer import __file__ as renderer_source
from .scenes import __file__ as scenes_source
from .worlds import DOMAINS, DomainSpec, photograph_record, plan
from .worlds import __file__ as worlds_source

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK")  # of Pillow; 8 bits a channel
_MOST_PIXELS = 50_000_000


@dataclass(frozen=True)
class Split:
    """One split of a data set. images: uint8 [N, 3, H, W] (a memory map); pids: int64 [N] as in the
    file names; cameras: int64 [N], as in the file names (see `datasets.Listing` for names without);
    names: the N file names."""

    images: np.ndarray
    pids: np.ndarray
    cameras: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pids)


@dataclass(frozen=True)
class Domain:
    """A Re-ID data set: training images, queries and gallery. `fingerprint` identifies its content by
    file names and sizes. layout: how it lay on disk, for MSMT17's list files with its version."""

    name: str
    root: Path
    train: Split
    query: Split
    gallery: Split
    fingerprint: str
    layout: str = MARKET_LAYOUT
    cameras_known: bool = True


# ---------------------------------------------------------------- decoding

T, R = TypeVar("T"), TypeVar("R")


def in_parallel(function: Callable[[T], R], items: Sequence[T], progress=iter) -> Iterator[R]:
    """function(item) of every item, in order, computed by one thread a core a little ahead."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        ahead = deque(pool.submit(function, item) for item in items[: 8 * cores])
        for item in progress(range(len(items))):
            if item + 8 * cores < len(items):
                ahead.append(pool.submit(function, items[item + 8 * cores]))
            yield ahead.popleft().result()


def open_image(path: Path) -> Image.Image:
    """A JPEG or PNG file as an RGB picture, turned upright if its EXIF data say so.

    Raises ValueError naming the file when it cannot be decoded whole, is of another format, holds more
    than 8 bits a channel, is partly transparent, or has more than 50 million pixels."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise _Refused(f"has {picture.width} x {picture.height} pixels, more than a person's crop can have")
            if picture.mode not in _MODES:
                raise _Refused(f"has pixels of kind {picture.mode}, expected 8 bits a channel; convert it to RGB")
            picture = ImageOps.exif_transpose(picture)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                if picture.getchannel("A").getextrema()[0] < 255:
                    raise _Refused("is partly transparent; put it on a background first")
            return picture.convert("RGB")
    except _Refused as error:
        raise ValueError(f"{path} {error}.") from None
    except Exception as error:  # Pillow raises a dozen kinds, according to where in the file the damage is
        raise ValueError(f"{path} is not a readable image ({error}); replace or remove the file.") from error


class _Refused(Exception):
    pass


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    picture = open_image(path)
    if picture.size != size[::-1]:
        picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _write_decoded(stored: Path, files: Sequence[ImageFile], size: tuple[int, int], progress) -> None:
    for abandoned in stored.parent.glob(f".{stored.stem}.*.part.npy"):  # by a process that was killed: the lock is ours
        abandoned.unlink()
    with replacing(stored) as temporary, open(temporary, "wb") as handle:
        # written in order, not through a memory map: a full disk is then an error and not a crash
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), 3, *size)}
        np.lib.format.write_array_header_1_0(handle, header)
        for picture in in_parallel(partial(_decode, size=size), [f.path for f in files], progress):
            handle.write(picture)


def _decoded(listing: Listing, size: tuple[int, int], progress) -> dict[str, np.ndarray]:
    """The images of each split, from the files decoded earlier where they fit."""
    from filelock import FileLock

    folder = Path(os.environ.get("DCAC_CACHE") or listing.folder.parent / "decoded")
    stored = {}
    for split in FOLDERS:
        # the time of change too: a fingerprint must be the same in every copy, this need not
        text = "\n".join(f"{f.path} {f.size} {f.modified}" for f in getattr(listing, split))
        key = hashlib.sha256(_bytes(text)).hexdigest()[:16]
        stored[split] = folder / f"{listing.folder.name}-{split}-{size[0]}x{size[1]}-{key}.npy"
    lacking = {split: path for split, path in stored.items() if not _is_whole(path, len(getattr(listing, split)), size)}
    if lacking:
        needed = sum(len(getattr(listing, split)) for split in lacking) * 3 * size[0] * size[1]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(folder).free) < needed:
                raise OSError(f"{free / 1e9:.1f} GB are free")
            with FileLock(folder / f"{listing.folder.name}.lock"):
                for split, path in lacking.items():
                    if not _is_whole(path, len(getattr(listing, split)), size):  # else another process was faster
                        _write_decoded(path, getattr(listing, split), size, progress)
        except OSError as error:
            raise OSError(
                f"The decoded images of {listing.folder} need {needed / 1e9:.1f} GB in {folder}, which did not work ({error}); "
                "make room or set DCAC_CACHE to a folder with room."
            ) from error
    return {split: np.load(path, mmap_mode="r") for split, path in stored.items()}


def _is_whole(stored: Path, images: int, size: tuple[int, int]) -> bool:
    header = 128  # bytes of an .npy file before its data
    return stored.is_file() and stored.stat().st_size == header + images * 3 * size[0] * size[1]


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # names that are not UTF-8


def fingerprint(listing: Listing, size: tuple[int, int]) -> str:
    """What identifies a data set read at `size` (height, width): names and sizes of its files, with
    list files also the person ids and the layout. The same in every copy of the files."""
    keys = []
    for split in FOLDERS:
        lists = listing.layout != MARKET_LAYOUT
        text = "".join(f"{f.name} {f.size}" + (f" {f.pid}" if lists else "") + "\n" for f in getattr(listing, split))
        keys.append(hashlib.sha256(_bytes(text + (listing.layout if lists else "") + f"{size}")).hexdigest()[:16])
    return hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]


def read_dataset(folder: Path, size: tuple[int, int], dataset: Dataset | None = None, name: str | None = None, progress=iter) -> Domain:
    """Read the data set in `folder` (see `datasets.list_images`, also for the errors). Images are
    resized to `size` (height, width), bicubic, and kept decoded in a memory-mapped file; each split is
    decoded once, and again when its files change. `dataset`: which of the paper's data sets it is, if
    any. `name`: the domain's, else the folder's.

    Raises ValueError naming an image that cannot be read, OSError when the decoded files cannot be kept."""
    listing = list_images(folder, dataset)
    images = _decoded(listing, size, progress)
    splits = {
        split: Split(
            images[split],
            np.array([f.pid for f in files], np.int64),
            np.array([f.camera for f in files], np.int64),
            tuple(f.name for f in files),
        )
        for split, files in ((split, getattr(listing, split)) for split in FOLDERS)
    }
    name = name or listing.folder.name
    return Domain(name, listing.folder, **splits, fingerprint=fingerprint(listing, size), layout=listing.layout,
                  cameras_known=listing.cameras_known)  # fmt: skip


# ---------------------------------------------------------------- the embedded domains


def _lite_key(spec: DomainSpec) -> str:
    sources = b"".join(Path(f).read_bytes() for f in (renderer_source, scenes_source, worlds_source))
    return hashlib.sha256(sources + repr(spec).encode()).hexdigest()[:12]


def _listing(folder: Path) -> dict:
    files = sorted(p for name in FOLDERS.values() for p in (folder / name).iterdir())
    text = "\n".join(f"{p.parent.name}/{p.name} {p.stat().st_size}" for p in files)
    return {"images": len(files), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def write_lite_domain(spec: DomainSpec, root: Path, progress=iter) -> Path:
    """Draw an embedded domain into `root`/NAME-KEY in Market-1501 layout and return that folder.

    KEY changes with the domain and with the code that draws it. The folder appears under its name
    only when complete; one that has since lost or changed files is drawn again."""
    folder = root / f"{spec.name}-{_lite_key(spec)}"
    complete = folder / "complete.json"
    if complete.exists() and json.loads(complete.read_text()) == _listing(folder):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    temporary = root / f".{folder.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    for name in FOLDERS.values():
        (temporary / name).mkdir(parents=True)
    for record in progress(plan(spec)):
        sample = photograph_record(spec, record)
        pid = f"{record.pid:04d}" if record.pid >= 0 else "-1"
        name = f"{pid}_c{record.camera}s1_{record.index:06d}_00.jpg"
        path = temporary / FOLDERS[record.split] / name
        Image.fromarray(sample.picture.image).save(path, quality=95, subsampling=0)
    (temporary / "complete.json").write_text(json.dumps(_listing(temporary)))
    try:
        os.replace(temporary, folder)
    except OSError:  # another process finished the same folder first
        shutil.rmtree(temporary)
    return folder


def lite_domain(name: str, share: float = 1.0, size: tuple[int, int] = (64, 32), progress=iter) -> Domain:
    """An embedded domain (MA, D, MS, C3 or V), drawn on first use and read like any real data set.
    `share` below 1 takes that share of its identities and pictures."""
    if name not in DOMAINS:
        raise ValueError(f"{name!r} is no embedded domain: choose one of {', '.join(DOMAINS)}.")
    spec = DOMAINS[name] if share == 1 else DOMAINS[name].slice(share)
    folder = write_lite_domain(spec, data_root() / "lite", progress)
    return read_dataset(folder, size, name=name, progress=progress)


# ---------------------------------------------------------------- training sets


@dataclass(frozen=True)
class TrainingSet:
    """The training images of one or several domains with labels 0..N-1. parts: one uint8 array per
    domain; labels: int64 [M]; identities: N. Labels follow the order of the domains, then of the
    sorted person ids, and so do not depend on the file system."""

    parts: tuple[np.ndarray, ...]
    labels: Tensor
    identities: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, rows: Tensor) -> Tensor:
        """The images at `rows` (int64 [B]), uint8 [B, 3, H, W]."""
        if len(self.parts) == 1:
            return torch.from_numpy(self.parts[0][rows.numpy()])
        ends = np.cumsum([len(p) for p in self.parts])
        part = np.searchsorted(ends, rows.numpy(), side="right")
        starts = np.concatenate([[0], ends[:-1]])
        return torch.from_numpy(np.stack([self.parts[p][r - starts[p]] for p, r in zip(part, rows.numpy())]))


def training_set(domains: list[Domain]) -> TrainingSet:
    """Join the training splits of `domains`; identities of different domains never share a label."""
    labels, offset = [], 0
    for domain in domains:
        pids, inverse = np.unique(domain.train.pids, return_inverse=True)
        labels.append(inverse + offset)
        offset += len(pids)
    if offset < 2:
        raise ValueError(f"The training set has {offset} identity; a classifier needs at least 2.")
    key = hashlib.sha256(" ".join(d.fingerprint for d in domains).encode()).hexdigest()[:16]
    return TrainingSet(tuple(d.train.images for d in domains), torch.from_numpy(np.concatenate(labels)), offset, key)
