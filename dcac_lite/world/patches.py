"""Descriptors from a dictionary of image patches, learned without labels (Coates, Lee & Ng 2011).

The strongest cheap classical method of small images: one layer of filters from k-means, no gradient descent."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from ..augment import to_tensor
from .descriptors import Descriptor, in_chunks

SIDE = 6  # of a patch, pixels
ATOMS = 96
SAMPLES = 30_000  # patches that the dictionary is learned from
THRESHOLD = 0.5  # responses below it are 0: a sparse code
CELLS = (8, 4)  # responses are averaged in cells (rows, columns)


def whitened_atoms(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A dictionary of patches [M, D]: filters [ATOMS, D] and offsets [ATOMS], such that a patch p answers
    with filters @ p + offsets, its projection on unit k-means centres of the whitened patches."""
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    # the least eigenvalues are noise; a thousandth of the largest keeps them from being blown up
    zca = (vectors / np.sqrt(values + 1e-3 * values.max())) @ vectors.T
    centres = MiniBatchKMeans(ATOMS, n_init=1, batch_size=2048, max_iter=20, random_state=0)
    atoms = centres.fit((patches - mean) @ zca).cluster_centers_
    filters = atoms / np.linalg.norm(atoms, axis=1, keepdims=True) @ zca
    return filters.astype(np.float32), (-filters @ mean).astype(np.float32)


def patch_descriptor(images: np.ndarray) -> Descriptor:
    """Learn a dictionary from training images, uint8 [N, 3, H, W], and return the descriptor: thresholded
    positive and negative responses of every second position, averaged in `CELLS`, square roots."""
    rng = np.random.default_rng(0)
    some = to_tensor(images[np.sort(rng.permutation(len(images))[:600])]).float() / 255
    patches = F.unfold(some, SIDE, stride=3).transpose(1, 2).flatten(0, 1).numpy()
    filters, offsets = whitened_atoms(patches[rng.permutation(len(patches))[:SAMPLES]])
    weight, bias = torch.from_numpy(filters).view(ATOMS, 3, SIDE, SIDE), torch.from_numpy(offsets)

    def describe(chunk: Tensor) -> Tensor:
        answer = F.conv2d(chunk.float() / 255, weight, bias, stride=2)
        sparse = torch.cat([F.relu(answer - THRESHOLD), F.relu(-answer - THRESHOLD)], 1)
        return F.adaptive_avg_pool2d(sparse, CELLS).sqrt()

    return lambda other: in_chunks(describe, other)
