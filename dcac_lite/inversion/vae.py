"""The rejected rival of the auxiliary generator: a variational auto-encoder of the table's rows.

The paper tried one and says that its people vary too little. No details are given, so sizes are ours, and the weight of
the KL divergence, on which everything hangs, is left open."""

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import compute_device
from .auxiliary import WIDTH
from .blocks import start_weights
from .recipe import Recipe
from .training import fit, fresh, seeded


class VAE(nn.Module):
    """One hidden layer of 512 either way between a vector [B, dim], of mean 0 and SD 1 in each coordinate, and as many
    latent numbers. mean and sd, float [dim], bring vectors back to the table's units."""

    mean: Tensor
    sd: Tensor

    def __init__(self, rows: Tensor):
        super().__init__()
        dim = rows.shape[1]
        self.encoder = nn.Sequential(nn.Linear(dim, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * dim))
        self.decoder = nn.Sequential(nn.Linear(dim, WIDTH), nn.SiLU(), nn.Linear(WIDTH, dim))
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("sd", rows.std(0, correction=0))
        start_weights(self)

    def losses(self, rows: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Of table rows [B, dim] half the squared error, summed over coordinates, and the KL divergence of the latent
        numbers from N(0, 1), in nats: float [B] both. noise: standard normal [B, dim]."""
        x = (rows - self.mean) / self.sd
        centre, logvar = self.encoder(x).chunk(2, 1)
        error = F.mse_loss(self.decoder(centre + (logvar / 2).exp() * noise), x, reduction="none").sum(1) / 2
        return error, (centre.square() + logvar.exp() - 1 - logvar).sum(1) / 2

    def draw(self, z: Tensor) -> Tensor:
        """The vectors that noise z [B, dim] becomes, in the table's units."""
        return self.decoder(z) * self.sd + self.mean


def train_vae(rows: Tensor, weight: float, recipe: Recipe, seed: int) -> VAE:
    """Learn from the table's rows, float [N, dim], with the KL divergence counted `weight` times; batches, steps and
    learning rate are the auxiliary generator's. It takes seconds, so nothing is kept."""
    device = compute_device()
    rows = rows.detach().to(device)
    vae = fresh(lambda: VAE(rows), "vae", seed)
    assert isinstance(vae, VAE)

    def loss(step: int) -> Tensor:
        rng = seeded("vae", seed, step)
        taken = rows[torch.randint(len(rows), (recipe.auxiliary_batch,), generator=rng).to(device)]
        error, divergence = vae.losses(taken, torch.randn(taken.shape, generator=rng).to(device))
        return (error + weight * divergence).mean()

    groups = [{"params": list(vae.parameters()), "lr": recipe.auxiliary_lr}]
    with tempfile.TemporaryDirectory() as folder:
        fit(vae, groups, recipe.auxiliary_steps, recipe.decay, loss, "vae", Path(folder) / "state.pt", "no")
    return vae.requires_grad_(False)
