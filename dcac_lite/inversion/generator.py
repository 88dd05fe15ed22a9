"""The generator: table and denoiser together, and the pixel statistics that stand between them and pictures."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..augment import random_flip
from ..device import compute_device
from .denoiser import Denoiser
from .identities import IdentityTable, attraction
from .people import People
from .recipe import Recipe
from .sampling import sample
from .schedule import noised, rates
from .training import fit, fresh, seeded


class Generator(nn.Module):
    """Draws people. mean and sd, float [3, 1, 1]: of each channel over the training pictures in [0, 1]."""

    mean: Tensor
    sd: Tensor

    def __init__(self, rows: int, dim: int, depths: tuple[int, ...], blocks: int):
        super().__init__()
        self.table = IdentityTable(rows, dim)
        self.denoiser = Denoiser(depths, blocks, dim)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("sd", torch.ones(3, 1, 1))

    def see(self, images: Tensor) -> None:
        """Take mean and SD from the training images, uint8 [N, 3, H, W]."""
        x = images.float() / 255
        self.mean.copy_(x.mean((0, 2, 3)).view(3, 1, 1))
        self.sd.copy_(x.std((0, 2, 3), correction=0).view(3, 1, 1))

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images [B, 3, H, W] -> float of mean 0 and SD 1 over the training pictures."""
        return (images.float() / 255 - self.mean) / self.sd

    def pictures(self, x: Tensor) -> Tensor:
        """Normalised pictures [B, 3, H, W] -> float in [0, 1]; what lies outside is clipped."""
        return (x * self.sd + self.mean).clamp(0, 1)

    def losses(self, x: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The two losses of each of a batch's normalised pictures x [B, 3, H, W], float [B] both: |noise - predicted|,
        averaged over the channels and summed over the pixels, and the `attraction` of its identity's vector.
        labels: int64 [B]; t: times [B]; noise: of x's shape."""
        identity = self.table(labels)
        predicted = self.denoiser(noised(x, noise, t), rates(t)[1].square(), identity)
        return (noise - predicted.float()).abs().mean(1).sum((1, 2)), attraction(identity)

    def draw(self, z: Tensor, identity: Tensor, steps: int) -> Tensor:
        """The pictures of people with vectors identity [B, dim] that noises z [B, 3, H, W] become: float in [0, 1]."""

        def predict(x: Tensor, t: Tensor) -> Tensor:
            return self.denoiser(x, rates(t)[1].square(), identity).to(x.dtype)

        return self.pictures(sample(predict, z, steps))


def train_generator(people: People, recipe: Recipe, seed: int, partial: Path) -> tuple[Generator, list[dict]]:
    """Stage A: denoiser and table together, from pictures and their labels. Each step takes pictures at random, flips
    half of them, and asks for the noise at random times. Returns the generator, and its loss (see `training.fit`)."""
    device, told = compute_device(), (people.identities, recipe.dim, recipe.depths, recipe.blocks)
    generator = fresh(lambda: Generator(*told), "generator", seed)
    assert isinstance(generator, Generator)
    generator.see(people.images)

    def loss(step: int) -> Tensor:
        rng = seeded("generator", seed, step)
        rows = torch.randint(len(people.labels), (recipe.generator_batch,), generator=rng)
        x = random_flip(generator.normalised(people.images[rows].to(device)).cpu(), rng)
        noise, t = torch.randn(x.shape, generator=rng), torch.rand(len(x), generator=rng)
        parts = generator.losses(*(part.to(device) for part in (x, people.labels[rows], t, noise)))
        return torch.stack(parts).sum()

    table = {"params": [generator.table.vectors], "lr": recipe.table_lr}
    denoiser = {"params": list(generator.denoiser.parameters()), "lr": recipe.generator_lr}
    plan = (recipe.generator_steps, recipe.decay, loss, "generator", partial, recipe.precision)
    return generator, fit(generator, [table, denoiser], *plan)
