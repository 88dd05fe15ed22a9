"""The VAE's posterior moments of a training set, computed once and kept in a memory-mapped file.

The diffusion branch sees un-augmented images, so mean and log-variance are constants of the data set.
At full size that is 4 kB an image; encoding it anew in every step is more than half of what the paper
counts as the diffusion branch's forward cost."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from .data import TrainingSet
from .diffusion import StableDiffusion, vae_moments
from .paths import data_root

CHUNK = 1024  # images between two notes of how far the file is


def cached_moments(parts: StableDiffusion, data: TrainingSet, progress: Callable = iter) -> np.ndarray:
    """Posterior moments of all training images, a read-only float16 memory map [M, 2 * channels, h, w],
    keyed by the data's fingerprint, the VAE's weights and the image size. An interrupted build goes on
    where it was. `progress` wraps an iterator over chunks of images."""
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
    partial, note = path.with_suffix(".part"), path.with_suffix(".json")
    resuming = partial.exists() and note.exists()
    done = json.loads(note.read_text())["done"] if resuming else 0
    images = [(part, start) for part in data.parts for start in range(0, len(part), CHUNK)]
    channels, *sides = parts.latent_shape
    shape = (len(data), 2 * channels, *sides)
    array = np.lib.format.open_memmap(partial, "r+" if resuming else "w+", np.float16, shape)
    row = 0
    for part, start in progress(images):
        chunk = part[start : start + CHUNK]
        if row >= done:
            array[row : row + len(chunk)] = vae_moments(parts.vae, chunk, parts.image_size).numpy()
            array.flush()
            note.write_text(json.dumps({"done": row + len(chunk)}))
        row += len(chunk)
    del array
    partial.rename(path)
    note.unlink()
