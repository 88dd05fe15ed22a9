"""What the inpainting model is trained on: latents of pictures, of the same pictures with a hole, and prompts.

All of it is constant but the noise, so that the VAE, which costs more than the U-Net, sees each picture once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...pretrained.files import read_tensors, write_tensors
from ..descriptions import Description, true_description
from ..wardrobe import wearers
from ..world import photograph, plan, worn_mask
from .recipe import Recipe

PART = 64  # pictures at a time


def as_input(images: np.ndarray) -> Tensor:
    """uint8 pictures [B, H, W, 3] as a VAE takes them: float32 [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def with_hole(x: Tensor, masks: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1], mid-grey (0) where the masks [B, 1, H, W] are true."""
    return x * (~masks)


def on_latents(masks: Tensor, shape: tuple[int, int]) -> Tensor:
    """Masks, bool [B, 1, H, W], at the size of a latent, float32 [B, 1, h, w]: nearest neighbour, as diffusers has
    it."""
    return F.interpolate(masks.float(), size=shape)


def other_mask(clothes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask that is not the clothing's, bool [H, W] from such: in a half of the cases a box of random place and size,
    else the clothing with a box added, or the part of it that is in a box."""
    height, width = clothes.shape
    h, w = int(rng.integers(height // 4, height)), int(rng.integers(width // 4, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    box = np.zeros_like(clothes)
    box[top : top + h, left : left + w] = True
    kind = int(rng.integers(4))
    if kind < 2:
        return box
    return clothes | box if kind == 2 or not (clothes & box).any() else clothes & box


@dataclass(frozen=True)
class Material:
    """Training pictures. moments: the VAE's, float16 [N, 8, h, w]; known: latent means of the pictures with a hole,
    unscaled, float16 [N, 2, 4, h, w], the first with the clothing's mask and the second with an `other_mask`; masks:
    uint8 [N, 2, 1, h, w]; descriptions: of what is worn, N."""

    moments: Tensor
    known: Tensor
    masks: Tensor
    descriptions: list[Description]


@torch.no_grad()
def make_material(recipe: Recipe, vae, file: Path, progress: Callable = iter) -> Material:
    """The pictures of the recipe's people, encoded; what lies in `file` is read from there."""
    spec = recipe.spec
    records = plan(spec)
    worn = (wearers(spec)[r.person].outfits[r.outfit] for r in records)
    descriptions = [true_description(outfit) for outfit in worn]
    if not file.exists():
        parts: dict[str, list[Tensor]] = {"moments": [], "known": [], "masks": []}
        for start in progress(range(0, len(records), PART)):
            samples = [photograph(spec, record) for record in records[start : start + PART]]
            x = as_input(np.stack([s.picture.image for s in samples]))
            moments = vae.encode(x).latent_dist.parameters
            parts["moments"].append(moments.half())
            masks = []
            for sample in samples:
                clothes = worn_mask(sample)
                rng = np.random.default_rng([spec.seed, 27, sample.record.index])
                masks.append(np.stack([clothes, other_mask(clothes, rng)]))
            both = torch.from_numpy(np.stack(masks))[:, :, None]  # [B, 2, 1, H, W]
            known = [vae.encode(with_hole(x, both[:, k])).latent_dist.mean.half() for k in range(2)]
            parts["known"].append(torch.stack(known, 1))
            small = [on_latents(both[:, k], tuple(moments.shape[2:])).byte() for k in range(2)]
            parts["masks"].append(torch.stack(small, 1))
        write_tensors({name: torch.cat(each) for name, each in parts.items()}, file)
    return Material(**read_tensors(file), descriptions=descriptions)
