"""Views: one picture as another box, another light and another obstacle would have shown it, a batch at a time.

The augmentation of the small CLIP's pre-training. Stronger than that of Re-ID (`dcac_lite.augment`), as is usual for
contrastive pre-training (SimCLR, Chen et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def random_view(x: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """A view of each normalised image of [B, 3, H, W] in -1..1: mirrored, moved by up to a fifth of the width and an
    eighth of the height, 20 % larger or smaller, in other light and colour, half of them with a grey rectangle. All of
    that less at a `strength` between 0 and 1; at 0 only mirrored."""
    batch, _, height, width = x.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    scale = torch.exp(strength * uniform(-0.2, 0.2, batch))
    mirror = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
    zero = torch.zeros(batch)
    rows = (
        torch.stack([scale * mirror, zero, strength * uniform(-0.2, 0.2, batch)], 1),
        torch.stack([zero, scale, strength * uniform(-0.12, 0.12, batch)], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), x.shape, align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gains = 0.2 * torch.randn(batch, 1, 1, 1, generator=generator) + 0.12 * torch.randn(
        batch, 3, 1, 1, generator=generator
    )
    x = ((x + 1) * (strength * gains).exp() - 1).clamp(-1, 1)
    h, w = (
        torch.randint(least, most, (batch, 1), generator=generator)
        for least, most in ((4, height // 2 - 4), (4, width // 2 + 2))
    )
    top, left = ((uniform(0, 1, batch, 1) * (side - size)).floor() for side, size in ((height, h), (width, w)))
    y, c = torch.arange(height), torch.arange(width)
    hidden = ((y >= top) & (y < top + h))[:, :, None] & ((c >= left) & (c < left + w))[:, None, :]
    hidden &= (torch.rand(batch, generator=generator) < 0.5 * strength)[:, None, None]
    return torch.where(hidden[:, None], torch.zeros_like(x), x)
