"""The U-Net of the denoiser and of Img2Noise: convolutions only, vectors concatenated as constant planes.

No attention, no dropout, no time embedding in the blocks: diffusers' U-Nets cannot be set up like that."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import level, start_weights


def _beside(x: Tensor, vector: Tensor) -> Tensor:
    """x [B, C, H, W] and vector [B, k], constant over the plane: [B, C + k, H, W]."""
    return torch.cat([x, vector[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)], 1)


class UNet(nn.Module):
    """Pictures [B, 3, H, W] -> [B, 3, H, W], float. Height and width: multiples of 2 ** (levels - 1).

    depths: channels of each resolution, the last being the middle; blocks: residual blocks of each, whose outputs are
    all kept for the way up. at_stem and after_pooling: lengths of the vectors that are concatenated to the picture
    behind the first convolution and behind each mean pooling; 0 for none. On the way up they arrive through the skips
    only. The last convolution starts at 0, so an untrained network predicts nothing."""

    def __init__(self, depths: tuple[int, ...], blocks: int, at_stem: int = 0, after_pooling: int = 0):
        super().__init__()
        *outer, middle = depths
        self.stem = nn.Conv2d(3, outer[0], 1)
        channels, self.down = outer[0] + at_stem, nn.ModuleList()
        for depth in outer:
            self.down.append(level(channels, depth, blocks))
            channels = depth + after_pooling
        self.middle = level(channels, middle, blocks)
        channels, self.up = middle, nn.ModuleList()
        for depth in reversed(outer):
            steps = [level((channels if k == 0 else depth) + depth, depth, 1)[0] for k in range(blocks)]
            self.up.append(nn.ModuleList(steps))
            channels = depth
        self.head = nn.Conv2d(outer[0], 3, 1)
        start_weights(self)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, at_stem: Tensor | None = None, after_pooling: Tensor | None = None) -> Tensor:
        x = self.stem(x)
        if at_stem is not None:
            x = _beside(x, at_stem)
        skips = []
        for blocks in self.down:
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x)
                skips.append(x)
            x = F.avg_pool2d(x, 2)
            if after_pooling is not None:
                x = _beside(x, after_pooling)
        for block in self.middle:
            x = block(x)
        for blocks in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], 1))
        return self.head(x)
