"""Re-ID data sets in memory: domains, real and embedded, and the training sets made of them."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from ..paths import data_root, remove_parts, temporary_name
from ..world import __file__ as world_package
from ..world.domains import DRAWING, photograph_record
from ..world.plan import plan
from ..world.specs import DOMAINS, DomainSpec
from .decoding import decoded
from .listing import list_images
from .registry import FOLDERS, MARKET_LAYOUT, Dataset


@dataclass(frozen=True)
class Split:
    """One split of a data set. images: uint8 [N, 3, H, W] (a memory map); pids: int64 [N] as in the
    file names; cameras: int64 [N], as in the file names (see `listing.Listing` for names without);
    names: the N file names; files: where they are."""

    images: np.ndarray
    pids: np.ndarray
    cameras: np.ndarray
    names: tuple[str, ...]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.pids)


@dataclass(frozen=True)
class Domain:
    """A Re-ID data set: training images, queries and gallery. `fingerprint` identifies it by
    names, sizes and contents of its files. layout: how it lay on disk, for MSMT17's list files with its version."""

    name: str
    root: Path
    train: Split
    query: Split
    gallery: Split
    fingerprint: str
    layout: str = MARKET_LAYOUT
    cameras_known: bool = True


def read_dataset(
    folder: str | Path,
    size: tuple[int, int],
    dataset: Dataset | None = None,
    name: str | None = None,
    progress=iter,
    test_resize: str = "bicubic",
) -> Domain:
    """Read the data set in `folder` (see `listing.list_images`, also for the errors). Images are
    resized to `size` (height, width), bicubic (queries and gallery as `test_resize` says), and kept
    decoded in a memory-mapped file; each split is decoded once, and again when its files change. `dataset`: which of
    the paper's data sets it is, if any. `name`: the domain's, else the folder's.

    Raises ValueError naming an image that cannot be read, OSError when the decoded files cannot be kept."""
    listing = list_images(folder, dataset)
    images = decoded(listing, size, progress, test_resize)
    splits = {
        split: Split(
            images[split].images,
            np.array([f.pid for f in files], np.int64),
            np.array([f.camera for f in files], np.int64),
            tuple(f.name for f in files),
            tuple(f.path for f in files),
        )
        for split, files in ((split, getattr(listing, split)) for split in FOLDERS)
    }
    name = name or listing.folder.name
    fingerprint = listing.fingerprint(size, {split: images[split].content for split in FOLDERS})
    return Domain(
        name,
        listing.folder,
        **splits,
        fingerprint=fingerprint,
        layout=listing.layout,
        cameras_known=listing.cameras_known,
    )


# ---------------------------------------------------------------- the embedded domains


def _lite_key(spec: DomainSpec) -> str:
    sources = b"".join(Path(world_package).with_name(f"{name}.py").read_bytes() for name in DRAWING)
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
    if not _is_complete(folder):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{spec.name}.lock"):
            if not _is_complete(folder):  # another process may have drawn it while this one waited
                remove_parts(root, f"{spec.name}-*")
                _draw(spec, folder, progress)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        return json.loads((folder / "complete.json").read_text()) == _listing(folder)
    except (FileNotFoundError, ValueError):
        return False


def _draw(spec: DomainSpec, folder: Path, progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    temporary = temporary_name(folder)
    for name in FOLDERS.values():
        (temporary / name).mkdir(parents=True)
    for record in progress(plan(spec)):
        sample = photograph_record(spec, record)
        pid = f"{record.pid:04d}" if record.pid >= 0 else "-1"
        name = f"{pid}_c{record.camera}s1_{record.index:06d}_00.jpg"
        path = temporary / FOLDERS[record.split] / name
        Image.fromarray(sample.picture.image).save(path, quality=95, subsampling=0)
    (temporary / "complete.json").write_text(json.dumps(_listing(temporary)))
    os.replace(temporary, folder)


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
    domain; labels: int64 [M]; identities: N; files: where the M images came from. Labels follow the order of the
    domains, then of the sorted person ids, and so do not depend on the file system."""

    parts: tuple[np.ndarray, ...]
    labels: Tensor
    identities: int
    files: tuple[Path, ...]
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
    images, files = tuple(d.train.images for d in domains), tuple(f for d in domains for f in d.train.files)
    return TrainingSet(images, torch.from_numpy(np.concatenate(labels)), offset, files, key)
