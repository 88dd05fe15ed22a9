"""Img2ID: from a picture to the vector of the person in it. The only network that ranking needs."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment import random_flip
from ..device import compute_device
from .bank import Bank
from .blocks import level, start_weights
from .people import People
from .recipe import Recipe
from .training import fit, fresh, seeded

HIDDEN = (512, 128)


class Img2ID(nn.Module):
    """Pictures [B, 3, H, W] in [0, 1], not normalised further -> vectors [B, dim], float.

    The way down of the `UNet` without any condition, and three dense layers on all of its last plane."""

    def __init__(self, size: tuple[int, int], dim: int, depths: tuple[int, ...], blocks: int):
        super().__init__()
        self.stem = nn.Conv2d(3, depths[0], 1)
        self.levels = nn.ModuleList(
            level(before, depth, blocks) for before, depth in zip((depths[0], *depths), depths, strict=False)
        )
        shrink = 2 ** (len(depths) - 1)
        flat = depths[-1] * (size[0] // shrink) * (size[1] // shrink)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in zip((flat, *HIDDEN), HIDDEN))
        self.last = nn.Linear(HIDDEN[-1], dim)
        start_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for k, blocks in enumerate(self.levels):
            if k:
                x = F.avg_pool2d(x, 2)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x)
        x = x.flatten(1)
        for layer in self.dense:
            x = F.silu(layer(x))
        return self.last(x)


def _train(
    images: Tensor,
    recipe: Recipe,
    parts: tuple[object, ...],
    partial: Path,
    loss: Callable[[Tensor, Tensor], Tensor],
    flipped: bool,
    head: nn.Module | None = None,
) -> tuple[Img2ID, list[dict]]:
    """The steps that all kinds of Img2ID share. loss: of outputs [B, dim] for the rows [B] of `images`; head: what it
    may have to learn besides; parts: of the seed."""
    device = compute_device()
    net = fresh(lambda: Img2ID(recipe.size, recipe.dim, recipe.depths, recipe.blocks), *parts)
    assert isinstance(net, Img2ID)

    def of_step(step: int) -> Tensor:
        rng = seeded(*parts, step)
        rows = torch.randint(len(images), (recipe.img2id_batch,), generator=rng)
        x = images[rows].float() / 255
        x = random_flip(x, rng) if flipped else x
        return loss(net(x.to(device)).float(), rows)

    module = nn.ModuleList([net] if head is None else [net, head])
    groups = [{"params": list(module.parameters()), "lr": recipe.img2id_lr}]
    plan = (recipe.img2id_steps, recipe.decay, of_step, "img2id", partial, recipe.precision)
    return net, fit(module, groups, *plan)


def train_on_bank(bank: Bank, recipe: Recipe, seed: int, partial: Path) -> tuple[Img2ID, list[dict]]:
    """Stage C as the published code has it: mean squared error to the vectors that pictures were generated from."""
    vectors = bank.vectors.to(compute_device())
    loss = lambda out, rows: F.mse_loss(out, vectors[rows.to(out.device)])  # noqa: E731
    return _train(bank.images, recipe, ("img2id", seed), partial, loss, flipped=False)


def train_on_pairs(people: People, rows: Tensor, recipe: Recipe, seed: int, partial: Path) -> tuple[Img2ID, list[dict]]:
    """Stage C by Eq. 1 of the paper: real training pictures and the rows [identities, dim] of their people in the
    generator's table. No picture is generated."""
    targets = rows.detach()[people.labels].to(compute_device())
    loss = lambda out, taken: F.mse_loss(out, targets[taken.to(out.device)])  # noqa: E731
    return _train(people.images, recipe, ("img2id", seed), partial, loss, flipped=True)


def train_on_classes(people: People, recipe: Recipe, seed: int, partial: Path) -> tuple[Img2ID, list[dict]]:
    """The control without any generator: the same network, pictures and steps, with a classifier of the training
    identities behind its output, which is thrown away afterwards."""
    labels = people.labels.to(compute_device())
    head = fresh(lambda: nn.Linear(recipe.dim, people.identities), "classifier", seed)
    loss = lambda out, rows: F.cross_entropy(head(out), labels[rows.to(out.device)])  # noqa: E731
    return _train(people.images, recipe, ("img2id", seed), partial, loss, flipped=True, head=head)
