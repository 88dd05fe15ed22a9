"""Img2Noise: from a picture to the noise that, with the person's vector, gives the picture again."""

from pathlib import Path

import torch
from torch import Tensor

from ..device import compute_device
from .bank import Bank
from .generator import Generator
from .recipe import Recipe
from .training import fit, fresh, seeded
from .unet import UNet


def regenerated(net: UNet, generator: Generator, pictures: Tensor, identity: Tensor, steps: int) -> Tensor:
    """What the generator makes of the noise that Img2Noise, a `UNet` without any condition, reads from pictures
    [B, 3, H, W] in [0, 1], with the vectors identity [B, dim]: pictures in [0, 1]."""
    return generator.draw(net(pictures), identity, steps)


def loss(net: UNet, generator: Generator, pictures: Tensor, identity: Tensor, steps: int) -> Tensor:
    """Mean |picture - regenerated picture|, the gradient passing through all `steps` of the generator. A pixel that is
    clipped to 0 or 1 sends none."""
    return (pictures - regenerated(net, generator, pictures, identity, steps)).abs().mean()


def train_img2noise(
    generator: Generator, bank: Bank, recipe: Recipe, seed: int, partial: Path
) -> tuple[UNet, list[dict]]:
    """Stage D: from generated pictures with their true vectors. The generator is frozen, but all its sampling steps are
    gone through in both directions, which makes this the dearest stage for each picture.

    The published code calls Img2Noise in inference mode while training it, so its batch normalisation never sees
    a statistic; so here."""
    device = compute_device()
    generator.requires_grad_(False).eval()
    net = fresh(lambda: UNet(recipe.depths, recipe.blocks), "img2noise", seed)
    assert isinstance(net, UNet)

    def of_step(step: int) -> Tensor:
        net.eval()
        rows = torch.randint(len(bank.images), (recipe.img2noise_batch,), generator=seeded("img2noise", seed, step))
        pictures = bank.images[rows].to(device).float() / 255
        return loss(net, generator, pictures, bank.vectors[rows].to(device), recipe.picture_steps)

    groups = [{"params": list(net.parameters()), "lr": recipe.img2noise_lr}]
    return net, fit(net, groups, recipe.img2noise_steps, recipe.decay, of_step, "img2noise", partial, "no")
