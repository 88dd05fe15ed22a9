"""The denoiser: which noise is in this picture of this person?"""

import torch
from torch import Tensor, nn

from .schedule import embedding
from .unet import UNet

FREQUENCIES = 32  # of the noise level's embedding


class Denoiser(nn.Module):
    """A `UNet` that is told the noise level at the stem only, and the identity there and after each pooling."""

    def __init__(self, depths: tuple[int, ...], blocks: int, dim: int):
        super().__init__()
        self.unet = UNet(depths, blocks, at_stem=2 * FREQUENCIES + dim, after_pooling=dim)

    def forward(self, x: Tensor, variance: Tensor, identity: Tensor) -> Tensor:
        """Noisy normalised pictures x [B, 3, H, W], noise variance [B] and identity vectors [B, dim] -> the noise
        predicted, of x's shape. All float."""
        told = torch.cat([embedding(variance, FREQUENCIES), identity], 1)
        return self.unet(x, told, identity)
