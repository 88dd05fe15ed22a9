"""The VAE's posterior moments of a training set, computed once and kept in a memory-mapped file.

The diffusion branch sees un-augmented images, so mean and log-variance are constants of the data set.
At full size that is 4 kB an image; encoding it anew in every step is more than half of what the paper
counts as the diffusion branch's forward cost."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock

from .data import TrainingSet
from .decoding import decode, in_parallel
from .diffusion import StableDiffusion, vae_moments
from .paths import data_root

CHUNK = 1024  # images between two notes of how far the file is


def cached_moments(parts: StableDiffusion, data: TrainingSet, progress: Callable = iter) -> np.ndarray:
    """Posterior moments of all training images, a read-only float16 memory map [M, 2 * channels, h, w],
    keyed by the data's fingerprint, the VAE's weights and the image size. Images are brought to that size
    straight from their files, bicubic. An interrupted build goes on where it was. `progress` wraps an
    iterator over chunks of images. Raises ValueError naming an image that cannot be read."""
    path = data_root() / "moments" / f"{data.fingerprint}-{_vae_key(parts)}-{parts.image_size}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():  # another process may have built it while this one waited
                _build(path, parts, data, progress)
    return np.load(path, mmap_mode="r")


def _vae_key(parts: StableDiffusion) -> str:
    weights = b"".join(p.detach().cpu().numpy().tobytes() for p in parts.vae.parameters())
    return hashlib.sha256(weights).hexdigest()[:12]


def _build(path: Path, parts: StableDiffusion, data: TrainingSet, progress: Callable) -> None:
    partial_file, note = path.with_suffix(".part"), path.with_suffix(".json")
    resuming = partial_file.exists() and note.exists()
    done = json.loads(note.read_text())["done"] if resuming else 0
    channels, *sides = parts.latent_shape
    shape = (len(data), 2 * channels, *sides)
    array = np.lib.format.open_memmap(partial_file, "r+" if resuming else "w+", np.float16, shape)
    # from the files: the images of the Re-ID branch were brought to another shape
    pictures = in_parallel(partial(decode, size=(parts.image_size, parts.image_size)), data.files[done:])
    for start in progress(range(done, len(data), CHUNK)):
        chunk = np.stack(list(islice(pictures, CHUNK)))
        array[start : start + len(chunk)] = vae_moments(parts.vae, chunk, parts.image_size).numpy()
        array.flush()
        note.write_text(json.dumps({"done": start + len(chunk)}))
    del array
    partial_file.rename(path)
    note.unlink()
