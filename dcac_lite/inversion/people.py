"""The training pictures, at the size of the system."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import to_tensor
from ..data.domains import Domain


@dataclass(frozen=True)
class People:
    """Pictures of known people. images: uint8 [N, 3, H, W]; labels: int64 [N], 0 to `identities` - 1 in the order of
    the person ids."""

    images: Tensor
    labels: Tensor
    identities: int


def shrunk(images: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 images [N, 3, H, W] at `size` (height, width), each pixel the mean of those that it covers: uint8."""
    x = to_tensor(images)
    parts = x.split(256) if tuple(x.shape[2:]) != size else ()
    return torch.cat([F.interpolate(p.float(), size, mode="area").round().byte() for p in parts]) if parts else x


def people_of(domain: Domain, size: tuple[int, int], leak: bool = False) -> People:
    """The training split of a domain. `leak` adds its queries and gallery with their identities, distractors and junk
    left out: what the people are that Re-ID is tested on, the generator then knows."""
    splits = [domain.train, domain.query, domain.gallery] if leak else [domain.train]
    images = torch.cat([shrunk(split.images[split.pids > 0], size) for split in splits])
    pids, labels = np.unique(np.concatenate([s.pids[s.pids > 0] for s in splits]), return_inverse=True)
    return People(images, torch.from_numpy(labels), len(pids))
