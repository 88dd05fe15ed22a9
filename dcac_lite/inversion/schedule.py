"""How much of a picture is left at a time t, and how a network is told: rates and embedding.

Time is continuous, from 0 (hardly noisy) to 1 (hardly anything left). The published code's schedule; its text
mentions a cosine and gives no values."""

import math

import torch
from torch import Tensor

START, END = math.acos(0.95), math.acos(0.02)  # angles at t = 0 and t = 1
HIGHEST = 1000.0  # frequency; the lowest is 1


def rates(t: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise rate at times t in [0, 1], each of t's shape: cos and sin of an angle that is linear in t.

    A noisy picture is signal * picture + noise * eps. The squares sum to 1; signal^2 is the alpha-bar of DDPM, here
    from 0.9025 to 0.0004: never 1, so no picture is ever clean, and never 0, so one can always be computed back."""
    angle = START + t * (END - START)
    return angle.cos(), angle.sin()


def noised(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x [B, ...] with noise of its shape at the times t [B]."""
    signal, amount = (rate.view(-1, *[1] * (x.dim() - 1)) for rate in rates(t))
    return signal * x + amount * noise


def embedding(variance: Tensor, frequencies: int) -> Tensor:
    """What a network is told of the noise *variance* [B], in [0, 1]: [B, 2 * frequencies] of its dtype, the sines, then
    the cosines, at frequencies from 1 to 1000 in equal ratios.

    Computed in float64: at frequency 1000 a float32 variance is known to a thousandth of a turn only."""
    f = HIGHEST ** (torch.arange(frequencies, dtype=torch.float64, device=variance.device) / (frequencies - 1))
    angle = 2 * math.pi * f * variance.double()[:, None]
    return torch.cat([angle.sin(), angle.cos()], 1).to(variance.dtype)
