"""Re-ID data sets in Market-1501's folder layout, decoded once into memory-mapped arrays."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .paths import data_root, replacing
from .renderer import __file__ as renderer_source
from .scenes import __file__ as scenes_source
from .worlds import DOMAINS, DomainSpec, photograph_record, plan
from .worlds import __file__ as worlds_source

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
# the file name only: a folder called `x1_c2` must not be read as a person
NAME = re.compile(r"(?P<pid>-?\d+)_c(?P<camera>\d+)")


@dataclass(frozen=True)
class Split:
    """One split of a data set. images: uint8 [N, 3, H, W] (a memory map); pids: int64 [N] as in the
    file names; cameras: int64 [N], counted from 1; names: the N file names."""

    images: np.ndarray
    pids: np.ndarray
    cameras: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pids)


@dataclass(frozen=True)
class Domain:
    """A Re-ID data set: training images, queries and gallery. `fingerprint` identifies its content."""

    name: str
    root: Path
    train: Split
    query: Split
    gallery: Split
    fingerprint: str


def _list_files(root: Path, split: str) -> list[Path]:
    folder = root / FOLDERS[split]
    if not folder.is_dir():
        expected = ", ".join(f"{name}/" for name in FOLDERS.values())
        raise FileNotFoundError(f"{root} has no folder {folder.name}/: a data set in Market-1501 layout holds {expected} with .jpg files.")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise ValueError(f"{folder} holds no .jpg or .png image: expected names such as 0002_c1s1_000451_03.jpg.")
    return files


def _parse(path: Path) -> tuple[int, int]:
    match = NAME.match(path.name)
    if match is None:
        raise ValueError(f"{path}: the name tells no person and camera; expected PID_cCAMERA..., such as 0002_c1s1_000451_03.jpg.")
    return int(match["pid"]), int(match["camera"])


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
            if picture.size != size[::-1]:
                picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
            return np.asarray(picture).transpose(2, 0, 1)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is not a readable image ({error}); replace or remove the file.") from error


def _read_split(root: Path, split: str, size: tuple[int, int], cache: Path, progress=iter) -> tuple[Split, str]:
    files = _list_files(root, split)
    labels = [(path, *_parse(path)) for path in files]
    kept = [(path, pid, camera) for path, pid, camera in labels if pid != -1]  # junk never counts
    listing = "\n".join(f"{p.name} {p.stat().st_size}" for p, _, _ in kept) + f"\n{size}"
    key = hashlib.sha256(listing.encode()).hexdigest()[:16]
    stored = cache / f"{root.name}-{split}-{size[0]}x{size[1]}-{key}.npy"
    if not stored.exists():
        with replacing(stored) as temporary:
            array = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(kept), 3, *size))
            for k, (path, _, _) in enumerate(progress(kept)):
                array[k] = _decode(path, size)
            array.flush()
            del array
    images = np.load(stored, mmap_mode="r")
    pids = np.array([pid for _, pid, _ in kept], np.int64)
    cameras = np.array([camera for _, _, camera in kept], np.int64)
    return Split(images, pids, cameras, tuple(p.name for p, _, _ in kept)), key


def read_market_layout(root: Path, size: tuple[int, int], name: str | None = None, progress=iter) -> Domain:
    """Read a data set in Market-1501 layout: `bounding_box_train/`, `query/`, `bounding_box_test/` with
    files named `PID_cCAMERA...`. Images are resized to `size` (height, width), bicubic, and kept in a
    memory-mapped cache beside the data. Person id -1 (junk) is left out, 0 (distractor) is kept.

    Raises FileNotFoundError for a missing folder, ValueError for a wrong name or unreadable image."""
    root = Path(root)
    cache = root.parent / "decoded"
    train, query, gallery = (_read_split(root, s, size, cache, progress) for s in FOLDERS)
    fingerprint = hashlib.sha256(" ".join((train[1], query[1], gallery[1])).encode()).hexdigest()[:16]
    return Domain(name or root.name, root, train[0], query[0], gallery[0], fingerprint)


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
    return read_market_layout(folder, size, name, progress)


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
