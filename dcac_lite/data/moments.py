"""The VAE's posterior moments of a training set, computed once and kept in a memory-mapped file.

The diffusion branch sees un-augmented images, so mean and log-variance are constants of the data set.
At full size that is 4 kB an image; encoding it anew in every step is more than half of what the paper
counts as the diffusion branch's forward cost."""

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..diffusion import vae_moments
from ..paths import data_root
from ..pretrained.stable_diffusion import StableDiffusion
from .decoding import DIGEST, decode, in_parallel, npy_header, size_in_words
from .domains import TrainingSet

CHUNK = 1024  # images between two times that what is done reaches the disk


def cached_moments(sd: StableDiffusion, data: TrainingSet, progress: Callable = iter) -> np.ndarray:
    """Posterior moments of all training images, a read-only float16 memory map [M, 2 * channels, h, w],
    keyed by the data's fingerprint, the VAE's weights and the image size. Images are brought to that size
    straight from their files, bicubic. An interrupted build goes on where it was; a damaged file is built
    again. `progress` wraps an iterator over chunks of images.

    Raises ValueError naming an image that cannot be read, OSError when the file cannot be kept."""
    path = data_root() / "moments" / f"{data.fingerprint}-{_vae_key(sd)}-{sd.image_size}.npy"
    channels, *sides = sd.latent_shape
    shape = (len(data), 2 * channels, *sides)
    if not _is_right(path, shape):
        needed = 2 * int(np.prod(shape))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not _is_right(path, shape):  # another process may have built it while this one waited
                    _build(path, shape, sd, data, progress)
        except OSError as error:
            raise OSError(
                f"The VAE's moments of {len(data):,} images need {size_in_words(needed)} in {path.parent}, which did "
                f"not work ({error}); make room or set DCAC_DATA to a folder with room."
            ) from error
    return np.load(path, mmap_mode="r")


def _vae_key(sd: StableDiffusion) -> str:
    weights = b"".join(p.detach().cpu().numpy().tobytes() for p in sd.vae.parameters())
    return hashlib.sha256(weights).hexdigest()[:12]


def _is_right(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file has its size, its header and the checksum at its end."""
    header = npy_header(np.float16, shape)
    if not path.is_file() or path.stat().st_size != len(header) + 2 * np.prod(shape) + DIGEST:
        return False
    with open(path, "rb") as handle:
        if handle.read(len(header)) != header:
            return False
        handle.seek(-DIGEST, os.SEEK_END)
        written = handle.read()
    return written == hashlib.sha256(np.load(path, mmap_mode="r")).digest()


def _build(path: Path, shape: tuple[int, ...], sd: StableDiffusion, data: TrainingSet, progress: Callable) -> None:
    partial_file = path.with_suffix(".part")
    header, row = npy_header(np.float16, shape), 2 * int(np.prod(shape[1:]))
    partial_file.touch()
    # written in order, not through a memory map: a full disk is then an error and not a crash
    with open(partial_file, "r+b") as handle:
        done = 0
        if handle.read(len(header)) == header:
            whole = (os.path.getsize(partial_file) - len(header)) // row
            done = len(data) if whole >= len(data) else whole // CHUNK * CHUNK
        if (free := shutil.disk_usage(path.parent).free) < (len(data) - done) * row:
            raise OSError(f"{size_in_words(free)} are free")
        handle.seek(0)
        handle.write(header)
        handle.truncate(len(header) + done * row)
        handle.seek(0, os.SEEK_END)
        # from the files: the images of the Re-ID branch were brought to another shape
        pictures = in_parallel(partial(decode, size=(sd.image_size, sd.image_size)), data.files[done:])
        for _ in progress(range(done, len(data), CHUNK)):
            chunk = np.stack(list(islice(pictures, CHUNK)))
            handle.write(np.ascontiguousarray(vae_moments(sd.vae, chunk, sd.image_size).numpy(), np.float16))
            _flush(handle)
        handle.write(hashlib.sha256(np.load(partial_file, mmap_mode="r")).digest())
        _flush(handle)
    os.replace(partial_file, path)


def _flush(handle) -> None:
    handle.flush()
    os.fsync(handle.fileno())
