"""The auxiliary generator: vectors of people who do not exist. A small diffusion model over the table's rows."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import compute_device
from .blocks import start_weights
from .recipe import Recipe
from .sampling import sample
from .schedule import embedding, noised, rates
from .training import fit, fresh, seeded

FREQUENCIES = 16
WIDTH = 512


class Auxiliary(nn.Module):
    """Three dense layers of 512, each followed by the noise level's embedding, and one back to the vector.

    It works on vectors of mean 0 and SD 1 in each dimension; mean and sd, float [dim], bring them back. Unlike the
    picture's denoiser it predicts the clean vector, not the noise."""

    mean: Tensor
    sd: Tensor

    def __init__(self, dim: int):
        super().__init__()
        told = 2 * FREQUENCIES
        widths = (dim, WIDTH + told, WIDTH + told)
        self.hidden = nn.ModuleList(nn.Linear(width, WIDTH) for width in widths)
        self.last = nn.Linear(WIDTH + told, dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("sd", torch.ones(dim))
        start_weights(self)

    def see(self, rows: Tensor) -> None:
        """Take mean and SD from the table's rows, float [N, dim]."""
        self.mean.copy_(rows.mean(0))
        self.sd.copy_(rows.std(0, correction=0))

    def forward(self, x: Tensor, variance: Tensor) -> Tensor:
        """Noisy normalised vectors [B, dim] and noise variance [B] -> the clean vectors predicted, [B, dim]."""
        told = embedding(variance, FREQUENCIES)
        for layer in self.hidden:
            x = torch.cat([F.silu(layer(x)), told], 1)
        return self.last(x)

    def losses(self, rows: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """|x - predicted| of table rows [B, dim], averaged over coordinates: float [B]. t: [B]; noise as rows."""
        x = (rows - self.mean) / self.sd
        return (x - self(noised(x, noise, t), rates(t)[1].square())).abs().mean(1)

    def draw(self, z: Tensor, steps: int) -> Tensor:
        """The vectors that noise z [B, dim] becomes, in the table's units. Nothing keeps them within its range."""

        def predict(x: Tensor, t: Tensor) -> Tensor:
            signal, amount = (rate[:, None] for rate in rates(t))
            return (x - signal * self(x, rates(t)[1].square())) / amount

        return sample(predict, z, steps) * self.sd + self.mean


def train_auxiliary(rows: Tensor, recipe: Recipe, seed: int, partial: Path) -> tuple[Auxiliary, list[dict]]:
    """Stage B: from the rows of the generator's table, float [N, dim]. Always in float32: it takes seconds. Returns the
    auxiliary generator, and its loss (see `training.fit`)."""
    device = compute_device()
    rows = rows.detach().to(device)
    auxiliary = fresh(lambda: Auxiliary(recipe.dim), "auxiliary", seed)
    assert isinstance(auxiliary, Auxiliary)
    auxiliary.see(rows)

    def loss(step: int) -> Tensor:
        rng = seeded("auxiliary", seed, step)
        taken = rows[torch.randint(len(rows), (recipe.auxiliary_batch,), generator=rng).to(device)]
        noise, t = torch.randn(taken.shape, generator=rng), torch.rand(len(taken), generator=rng)
        return auxiliary.losses(taken, t.to(device), noise.to(device)).sum()

    groups = [{"params": list(auxiliary.parameters()), "lr": recipe.auxiliary_lr}]
    return auxiliary, fit(auxiliary, groups, recipe.auxiliary_steps, recipe.decay, loss, "auxiliary", partial, "no")


def like_a_gaussian(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """The cheap rival: `count` vectors of independent Gaussians with mean and SD of each coordinate of the table's rows
    [N, dim]."""
    return torch.randn(count, rows.shape[1], generator=rng) * rows.std(0, correction=0) + rows.mean(0)
