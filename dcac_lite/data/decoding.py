"""Image files as arrays: decoded once, in parallel, into memory-mapped files.

The decoded files lie in `decoded/` beside a data set, or in `$DCAC_CACHE` where that is set, and can
be deleted at any time. At 256 x 128 all four data sets take 21 GB, MSMT17 alone 12.4 GB.
"""

import glob
import hashlib
import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from ..paths import remove_parts, replacing
from .listing import ImageFile, Listing, short_hash
from .registry import FOLDERS

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK")  # of Pillow; 8 bits a channel
_MOST_PIXELS = 50_000_000
_MOST_BYTES = 4 * _MOST_PIXELS
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
    than 8 bits a channel, is partly transparent, or has more than 50 million pixels. A PNG file's
    checksums are verified; JPEG has none."""
    return _opened(path, _content(path))


def image_digest(path: Path) -> bytes:
    """SHA-256 of a file that `open_image` can open; its errors otherwise."""
    content = _content(path)
    _opened(path, content)
    return hashlib.sha256(content).digest()


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", buffering=0) as handle:
            if (size := os.fstat(handle.fileno()).st_size) > _MOST_BYTES:
                raise ValueError(f"{size_in_words(size)} are more than a person's crop can have")
            return handle.readall()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable image ({error}); replace or remove the file.") from error


def _opened(path: Path, content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise _Refused(f"has {picture.width} x {picture.height} pixels, more than a person's crop can have")
            if picture.format == "PNG":
                Image.open(io.BytesIO(content), formats=("PNG",)).verify()  # decoding alone looks at no checksum
            return _as_rgb(picture)
    except _Refused as error:
        raise ValueError(f"{path} {error}.") from None
    except Exception as error:  # Pillow raises a dozen kinds, according to where in the file the damage is
        raise ValueError(f"{path} is not a readable image ({error}); replace or remove the file.") from error


class _Refused(Exception):
    pass


def _as_rgb(picture: Image.Image) -> Image.Image:
    sixteen_bits = any(";16" in str(tile) for tile in getattr(picture, "tile", ()))  # which Pillow would cut to 8
    if picture.mode not in _MODES or sixteen_bits:
        kind = f"{picture.mode} of 16 bits" if sixteen_bits else picture.mode
        raise _Refused(f"has pixels of kind {kind}, expected 8 bits a channel; convert it to RGB")
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema()[0] < 255:
            raise _Refused("is partly transparent; put it on a background first")
    return picture.convert("RGB")


def upright_rgb(picture: Image.Image) -> Image.Image:
    """A Pillow image as `open_image` would give it from its file; errors likewise."""
    try:
        return _as_rgb(picture)
    except _Refused as error:
        raise ValueError(f"The PIL image {error}.") from None


def decode(path: Path, size: tuple[int, int], resize: str = "bicubic") -> np.ndarray:
    """A file as uint8 [3, H, W], brought to `size` (height, width) by the filter `resize`, "bicubic" or
    "bilinear"; errors as `open_image`."""
    return _fitted(open_image(path), size, resize)


def _fitted(picture: Image.Image, size: tuple[int, int], resize: str) -> np.ndarray:
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


def content_digest(each: Iterable[bytes]) -> bytes:
    """One SHA-256 of the SHA-256s of a split's files, in the order of its listing."""
    digest = hashlib.sha256()
    for one in each:
        digest.update(one)
    return digest.digest()


def _decode_and_hash(path: Path, size: tuple[int, int], resize: str) -> tuple[np.ndarray, bytes]:
    content = _content(path)
    return _fitted(_opened(path, content), size, resize), hashlib.sha256(content).digest()


def _write_decoded(stored: Path, files: Sequence[ImageFile], size: tuple[int, int], resize: str, progress) -> None:
    with replacing(stored) as temporary, open(temporary, "wb") as handle:
        # written in order, not through a memory map: a full disk is then an error and not a crash
        handle.write(npy_header(np.uint8, (len(files), 3, *size)))
        digests = []
        read = partial(_decode_and_hash, size=size, resize=resize)
        for picture, digest in in_parallel(read, [f.path for f in files], progress):
            handle.write(picture)
            digests.append(digest)
        handle.write(content_digest(digests))


class DecodedSplit(NamedTuple):
    """images: uint8 [N, 3, H, W], a memory map; content: `content_digest` of the files they were decoded from."""

    images: np.ndarray
    content: bytes


def decoded(
    listing: Listing, size: tuple[int, int], progress=iter, test_resize: str = "bicubic"
) -> dict[str, DecodedSplit]:
    """The images of each split from files that are written once, and again when an image has changed:
    its path, size, or time of change. test_resize: filter for queries and gallery, see `decode`.

    Raises ValueError naming an image that cannot be read, OSError when the files cannot be kept."""
    from filelock import FileLock

    folder = Path(os.environ.get("DCAC_CACHE") or listing.folder.parent / "decoded")
    resize = {"train": "bicubic", "query": test_resize, "gallery": test_resize}
    stored = {}
    for split in FOLDERS:
        text = "\n".join(f"{f.path} {f.size} {f.modified} {f.changed}" for f in getattr(listing, split)) + resize[split]
        stored[split] = folder / f"{listing.folder.name}-{split}-{size[0]}x{size[1]}-{short_hash(text)}.npy"
    lacking = {split: path for split, path in stored.items() if not _is_whole(path, len(getattr(listing, split)), size)}
    if lacking:
        needed = sum(len(getattr(listing, split)) for split in lacking) * 3 * size[0] * size[1]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(folder).free) < needed:
                raise OSError(f"{size_in_words(free)} are free")
            with FileLock(folder / f"{listing.folder.name}.lock"):
                remove_parts(folder, f"{glob.escape(listing.folder.name)}-*")
                for split, path in lacking.items():
                    if not _is_whole(path, len(getattr(listing, split)), size):  # else another process was faster
                        _write_decoded(path, getattr(listing, split), size, resize[split], progress)
        except OSError as error:
            raise OSError(
                f"The decoded images of {listing.folder} need {size_in_words(needed)} in {folder}, which did not work "
                f"({error}); make room or set DCAC_CACHE to a folder with room."
            ) from error
    return {split: DecodedSplit(np.load(path, mmap_mode="r"), _last_bytes(path)) for split, path in stored.items()}


def _is_whole(stored: Path, images: int, size: tuple[int, int]) -> bool:
    header = len(npy_header(np.uint8, (images, 3, *size)))
    return stored.is_file() and stored.stat().st_size == header + images * 3 * size[0] * size[1] + DIGEST


def _last_bytes(path: Path) -> bytes:
    with open(path, "rb") as handle:
        handle.seek(-DIGEST, os.SEEK_END)
        return handle.read()
