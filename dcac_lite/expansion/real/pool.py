"""The copies of real training pictures as one array on disk, made once from the files they lie in."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from ...data.clothes import ClothesSplit
from ...data.decoding import in_parallel, npy_header, size_in_words
from ...paths import own_folder, replacing, runs_root
from ...progress import over
from ..copies import read_copies, read_pool


def _picture(folder: Path, name: str) -> Path | None:
    return next((f for s in (".png", ".jpg") if (f := (folder / name).with_suffix(s)).is_file()), None)


def pool_of(name: str, folder: Path, split: ClothesSplit) -> np.ndarray:
    """The copies below `folder` of the pictures of a split, at their size: uint8 [M, K, 3, H, W], a memory map below
    the runs folder, made again when a file has changed. K is what the first picture has.

    Raises FileNotFoundError for pictures without copies, OSError where there is no room, ValueError as `read_pool`."""
    files = [_picture(folder, each) for each in split.names]
    if missing := [each for each, file in zip(split.names, files) if file is None]:
        raise FileNotFoundError(
            f"{len(missing):,} of {len(files):,} pictures have no copies in {folder}, {missing[0]} first; "
            "`python -m dcac_lite clothes paint` goes on where it was stopped."
        )
    count = len(read_copies((folder / split.names[0]).with_suffix(""))[0])
    stats = [(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f]
    shape = (len(files), count, *split.images.shape[1:])
    key = hashlib.sha256(json.dumps([list(split.names), stats, shape]).encode()).hexdigest()[:12]
    file = own_folder(runs_root() / "pools") / f"{name}-copies-{key}.npy"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            _write(file, folder, split, shape)
    return np.load(file, mmap_mode="r")


def _write(file: Path, folder: Path, split: ClothesSplit, shape: tuple[int, ...]) -> None:
    needed, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
    if free < needed:
        sizes = f"{size_in_words(needed)} in {file.parent}, of which {size_in_words(free)} are free"
        raise OSError(f"The copies need {sizes}; make room or set DCAC_RUNS to a folder with room.")

    def read(row: int) -> np.ndarray:
        one = slice(row, row + 1)
        return read_pool(
            folder, replace(split, images=split.images[one], pids=split.pids[one], names=split.names[one]), shape[1]
        )

    with replacing(file) as temporary, open(temporary, "wb") as handle:
        handle.write(npy_header(np.uint8, shape))
        for copies in in_parallel(read, range(len(split)), over("reading copies")):
            handle.write(copies)
