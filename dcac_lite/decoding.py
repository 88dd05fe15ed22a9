"""Image files as arrays: decoded once, in parallel, into memory-mapped files.

The decoded files lie in `decoded/` beside a data set, or in `$DCAC_CACHE` where that is set, and can
be deleted at any time. At 256 x 128 all four data sets take 21 GB, MSMT17 alone 12.4 GB.
"""

import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from .datasets import FOLDERS
from .listing import ImageFile, Listing, short_hash
from .paths import replacing

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK")  # of Pillow; 8 bits a channel
_MOST_PIXELS = 50_000_000
DIGEST = 32  # bytes of a SHA-256 behind the numbers of an .npy file, where NumPy does not look
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


def decode(path: Path, size: tuple[int, int], resize: str = "bicubic") -> np.ndarray:
    """A file as uint8 [3, H, W], brought to `size` (height, width) by the filter `resize`, "bicubic" or
    "bilinear"; errors as `open_image`."""
    picture = open_image(path)
    if picture.size != size[::-1]:
        picture = picture.resize(size[::-1], Image.Resampling[resize.upper()])
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def npy_header(dtype: type, shape: tuple[int, ...]) -> bytes:
    """The bytes of an .npy file before its numbers."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def size_in_words(size: float) -> str:
    """A number of bytes as text: 12.4 GB, or in the unit in which it does not round to nothing."""
    unit, factor = next(((u, f) for u, f in (("GB", 1e9), ("MB", 1e6)) if size >= f / 10), ("kB", 1e3))
    return f"{size / factor:.1f} {unit}"


def _write_decoded(stored: Path, files: Sequence[ImageFile], size: tuple[int, int], resize: str, progress) -> None:
    for abandoned in stored.parent.glob(f".{stored.stem}.*.part.npy"):  # by a process that was killed: the lock is ours
        abandoned.unlink()
    with replacing(stored) as temporary, open(temporary, "wb") as handle:
        # written in order, not through a memory map: a full disk is then an error and not a crash
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), 3, *size)}
        np.lib.format.write_array_header_1_0(handle, header)
        for picture in in_parallel(partial(decode, size=size, resize=resize), [f.path for f in files], progress):
            handle.write(picture)


def decoded(listing: Listing, size: tuple[int, int], progress=iter, test_resize: str = "bicubic") -> dict[str, np.ndarray]:
    """The images of each split, uint8 [N, 3, H, W], memory maps of files that are written once and again
    when images change. test_resize: filter for queries and gallery, see `decode`. Raises ValueError naming an image that cannot be read, OSError when the files
    cannot be kept."""
    from filelock import FileLock

    folder = Path(os.environ.get("DCAC_CACHE") or listing.folder.parent / "decoded")
    resize = {"train": "bicubic", "query": test_resize, "gallery": test_resize}
    stored = {}
    for split in FOLDERS:
        # the time of change too: a fingerprint must be the same in every copy, this need not
        text = "\n".join(f"{f.path} {f.size} {f.modified}" for f in getattr(listing, split)) + resize[split]
        stored[split] = folder / f"{listing.folder.name}-{split}-{size[0]}x{size[1]}-{short_hash(text)}.npy"
    lacking = {split: path for split, path in stored.items() if not _is_whole(path, len(getattr(listing, split)), size)}
    if lacking:
        needed = sum(len(getattr(listing, split)) for split in lacking) * 3 * size[0] * size[1]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(folder).free) < needed:
                raise OSError(f"{size_in_words(free)} are free")
            with FileLock(folder / f"{listing.folder.name}.lock"):
                for split, path in lacking.items():
                    if not _is_whole(path, len(getattr(listing, split)), size):  # else another process was faster
                        _write_decoded(path, getattr(listing, split), size, resize[split], progress)
        except OSError as error:
            raise OSError(
                f"The decoded images of {listing.folder} need {size_in_words(needed)} in {folder}, which did not work ({error}); "
                "make room or set DCAC_CACHE to a folder with room."
            ) from error
    return {split: np.load(path, mmap_mode="r") for split, path in stored.items()}


def _is_whole(stored: Path, images: int, size: tuple[int, int]) -> bool:
    header = 128  # bytes of an .npy file before its data
    return stored.is_file() and stored.stat().st_size == header + images * 3 * size[0] * size[1]
