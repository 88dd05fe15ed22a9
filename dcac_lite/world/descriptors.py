"""Hand-made descriptors of pedestrian images: pixels, colour histograms, gradient orientations.

Each maps uint8 images [N, 3, H, W] to float32 [N, D] and learns nothing."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import to_tensor

Descriptor = Callable[[np.ndarray], np.ndarray]
CHUNK = 128  # images at a time: what is computed between stays in a CPU's cache
HSV_BINS = (8, 4, 4)  # joint bins: hue says more than saturation and value, which light changes
RGB_BINS = (6, 6, 6)
ORIENTATIONS = 8


def pixels(images: np.ndarray) -> np.ndarray:
    """Raw values in 0..1, [N, 3 * H * W]."""
    return np.asarray(images).reshape(len(images), -1).astype(np.float32) / 255


def in_chunks(describe: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    """`describe` of uint8 tensors [B, 3, H, W], giving [B, ...], on all `images`, flattened: float32 [N, D]."""
    parts = [describe(to_tensor(images[i : i + CHUNK])).flatten(1) for i in range(0, len(images), CHUNK)]
    return torch.cat(parts).numpy()


def hsv(x: Tensor) -> Tensor:
    """RGB in 0..1 [B, 3, H, W] -> hue, saturation, value in 0..1 (hue of a grey: 0)."""
    high, low = x.amax(1), x.amin(1)
    chroma = (high - low).clamp(min=1e-6)
    r, g, b = x.unbind(1)
    blue_or_green = torch.where(high == g, (b - r) / chroma + 2, (r - g) / chroma + 4)
    hue = torch.where(high == r, (g - b) / chroma % 6, blue_or_green)
    return torch.stack([hue / 6 % 1, (high - low) / high.clamp(min=1e-6), high], 1)


def colour_codes(images: Tensor) -> list[tuple[Tensor, int]]:
    """The joint bin of every pixel of uint8 [B, 3, H, W] in HSV and in RGB: int64 [B, H, W] and the number of bins."""
    x = images.float() / 255
    codes = []
    for values, bins in ((hsv(x), HSV_BINS), (x, RGB_BINS)):
        first, second, third = ((values[:, i] * n).long().clamp(max=n - 1) for i, n in enumerate(bins))
        codes.append(((first * bins[1] + second) * bins[2] + third, int(np.prod(bins))))
    return codes


def _counts(codes: Tensor, bins: int, window: tuple[int, int], step: tuple[int, int]) -> Tensor:
    """Histograms of codes [B, H, W] in overlapping windows (height, width): float32 shares [B, rows, columns, bins]."""
    cut = codes.unfold(1, window[0], step[0]).unfold(2, window[1], step[1]).flatten(3)  # [B, rows, columns, pixels]
    return torch.zeros(*cut.shape[:3], bins).scatter_add_(3, cut, torch.ones(1).expand(cut.shape)) / cut.shape[3]


def stripe_histograms(images: np.ndarray) -> np.ndarray:
    """Joint HSV and RGB histograms in 15 overlapping horizontal stripes an eighth of the image high, square
    roots of the shares (so that Euclidean distances are Hellinger's)."""

    def describe(chunk: Tensor) -> Tensor:
        height, width = chunk.shape[2] // 8, chunk.shape[3]
        both = [_counts(c, n, (height, width), (height // 2, width)) for c, n in colour_codes(chunk)]
        return torch.cat(both, 3).sqrt()

    return in_chunks(describe, images)


def maximal_histograms(images: np.ndarray) -> np.ndarray:
    """LOMO's colour part (Liao et al. 2015, "Person Re-identification by Local Maximal Occurrence
    Representation and Metric Learning"): joint histograms in windows of 8 x 8 pixels every 4, the maximum
    of each bin over a row's horizontal positions, at full and half size; square roots of the shares."""

    def describe(chunk: Tensor) -> Tensor:
        scales = (chunk, F.avg_pool2d(chunk.float(), 2).byte())
        both = [_counts(c, n, (8, 8), (4, 4)).amax(2).sqrt() for x in scales for c, n in colour_codes(x)]
        return torch.cat([h.flatten(1) for h in both], 1)

    return in_chunks(describe, images)


def gradient_histograms(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal & Triggs 2005): per cell of 8 x 8 pixels every 4, the gradients
    of the strongest channel in 8 orientations weighted by magnitude, each cell's at length 1."""

    def describe(chunk: Tensor) -> Tensor:
        x = chunk.float() / 255
        across, down = F.pad(x[..., 2:] - x[..., :-2], (1, 1)), F.pad(x[..., 2:, :] - x[..., :-2, :], (0, 0, 1, 1))
        strength, strongest = (across.square() + down.square()).max(1, keepdim=True)
        angle = torch.atan2(down.gather(1, strongest), across.gather(1, strongest)) % np.pi
        bins = (angle / np.pi * ORIENTATIONS).long().clamp(max=ORIENTATIONS - 1)
        votes = torch.zeros(len(x), ORIENTATIONS, *x.shape[2:]).scatter_(1, bins, strength.sqrt())
        cells = F.avg_pool2d(votes, 8, 4)
        return cells / (cells.square().sum(1, keepdim=True) + 1e-4).sqrt()

    return in_chunks(describe, images)


def hand_made(images: np.ndarray) -> np.ndarray:
    """Maximal colour histograms and gradients side by side, each block with the same mean squared length."""
    blocks = [maximal_histograms(images), gradient_histograms(images)]
    return np.concatenate([b / np.sqrt(np.square(b).sum(1).mean()) for b in blocks], 1)
