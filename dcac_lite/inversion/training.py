"""One optimisation loop for all stages: Adam as the published code has it, resumable, seeded step by step."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..device import AUTOCAST, bfloat16_is_fast, compute_device
from ..paths import replacing
from ..progress import line

POINTS = 20  # of a stage at which its loss is noted and its state is saved


def seeded(*parts: object) -> torch.Generator:
    """A generator for the CPU whose seed is made of `parts`, such as a stage, a seed and a step."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def fresh(build: Callable[[], nn.Module], *parts: object) -> nn.Module:
    """A network whose starting weights are drawn from a seed made of `parts`, on the device that computes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(*parts).initial_seed())
        return build().to(compute_device())


def autocast(precision: str) -> torch.autocast:
    """The arithmetic of training: `precision` is a value of `device.AUTOCAST`, or "fastest"."""
    dtype = torch.bfloat16 if precision == "fastest" and bfloat16_is_fast() else AUTOCAST.get(precision)
    return torch.autocast(compute_device().type, dtype, enabled=dtype is not None)


def fit(
    module: nn.Module,
    groups: list[dict],
    steps: int,
    decay: float,
    loss_of_step: Callable[[int], Tensor],
    label: str,
    partial: Path,
    precision: str,
) -> list[dict]:
    """Train `module` in place and leave it in evaluation mode; returns its loss, the mean of every twentieth of the
    way: step and loss.

    groups: parameter groups of Adam, with their learning rates, which stay until the last `decay` (share) of the steps
    and fall to 0 there in a straight line. loss_of_step: the loss of a step, which draws whatever it draws from a
    generator of its own. The state lies in the file `partial` meanwhile; a call that finds it there goes on from it."""
    optimizer = torch.optim.Adam(groups, eps=1e-7)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (steps - step) / (decay * steps)) if decay else 1.0
    )
    history, recent, first = [], [], 0
    parts = {"module": module, "optimizer": optimizer, "schedule": schedule}
    if partial.exists():
        state = torch.load(partial, map_location=compute_device(), weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        history, first = state["history"], state["step"]
    module.train()
    for step in (bar := line(range(first, steps), label)):
        with autocast(precision):
            loss = loss_of_step(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if (step + 1) % max(1, steps // POINTS) == 0 or step + 1 == steps:
            history.append({"step": step + 1, "loss": float(np.mean(recent))})
            bar.set_postfix(loss=f"{history[-1]['loss']:.4g}")
            recent = []
            state = {name: part.state_dict() for name, part in parts.items()}
            with replacing(partial) as temporary:
                torch.save(state | {"history": history, "step": step + 1}, temporary)
    module.eval()
    return history
