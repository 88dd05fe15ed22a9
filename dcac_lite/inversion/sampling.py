"""From noise to a picture, or to a vector: the deterministic sampler.

It is DDIM with trailing time steps and eta 0, whose answer is the last step's estimate of the clean picture."""

from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import rates

#: Predicts the noise in x [B, ...] at the times t [B], which are the same for the whole batch.
Predictor = Callable[[Tensor, Tensor], Tensor]


def sample(predict_noise: Predictor, z: Tensor, steps: int) -> Tensor:
    """The picture (or vector) that noise z [B, ...], the state at t = 1, becomes in `steps` steps, like z.

    Each step estimates the clean picture and noises it again to the next lower level. The estimate of the last
    step, at t = 1 / steps, is the answer; nothing is clipped on the way. Gradients pass, if they are wanted."""
    clean = x = z
    times = torch.linspace(1, 0, steps + 1, dtype=z.dtype, device=z.device)
    for now, after in zip(times[:-1], times[1:]):
        noise = predict_noise(x, now.expand(len(x)))
        signal, amount = rates(now)
        clean = (x - amount * noise) / signal
        signal, amount = rates(after)
        x = signal * clean + amount * noise
    return clean
