"""The bank: generated pictures and the vectors they were generated from, drawn once and kept.

It lies in parts, each written whole or not at all, so a drawing that was stopped goes on where it was."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..device import compute_device
from ..pretrained.files import read_tensors, write_tensors
from ..progress import line
from .auxiliary import Auxiliary, like_a_gaussian
from .generator import Generator
from .recipe import Recipe
from .training import seeded

#: Where the vectors of generated people come from: the auxiliary generator, the table's own rows, or Gaussians.
SOURCES = ("auxiliary", "rows", "gaussian")
PART = 200  # pictures


@dataclass(frozen=True)
class Bank:
    """images: uint8 [N, 3, H, W]; vectors: float32 [N, dim]."""

    images: Tensor
    vectors: Tensor


@torch.no_grad()
def invented(source: str, generator: Generator, auxiliary: Auxiliary, recipe: Recipe, count: int, seed: int) -> Tensor:
    """`count` vectors from one of `SOURCES`, float32 [count, dim], on the CPU."""
    rng, rows = seeded("vectors", seed), generator.table.vectors.detach().cpu()
    if source == "rows":
        return rows[torch.randint(len(rows), (count,), generator=rng)]
    if source == "gaussian":
        return like_a_gaussian(rows, count, rng)
    z = torch.randn(count, recipe.dim, generator=rng)
    return auxiliary.draw(z.to(compute_device()), recipe.vector_steps).cpu()


@torch.no_grad()
def draw_bank(folder: Path, generator: Generator, vectors: Tensor, recipe: Recipe, seed: int) -> Bank:
    """The generator's pictures of people with these vectors, float [N, dim], one each, from noise of their own. What
    `folder` already holds of them is not drawn again. In float32, and rounded to 256 values as pictures are."""
    folder.mkdir(parents=True, exist_ok=True)
    device, images = compute_device(), []
    for number, part in enumerate(line(vectors.split(PART), "drawing the bank")):
        file = folder / f"part-{number:04d}.safetensors"
        if not file.exists():
            z = torch.randn(len(part), 3, *recipe.size, generator=seeded("bank", seed, number))
            drawn = generator.draw(z.to(device), part.to(device), recipe.picture_steps)
            write_tensors({"images": (255 * drawn).round().byte()}, file)
        images.append(read_tensors(file)["images"])
    return Bank(torch.cat(images), vectors)
