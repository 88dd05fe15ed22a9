"""One optimisation loop for all stages of pre-training."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..progress import line

DECAY = 0.3  # share of the steps


def learning_rate_factor(step: int, steps: int, warm_up: int) -> float:
    """Linear warm-up, a plateau, and a linear descent towards zero over the last part."""
    return min(1.0, (step + 1) / warm_up, (steps - step) / (DECAY * steps))


def fit(
    module: nn.Module,
    steps: int,
    lr: float,
    warm_up: int,
    loss_of_step: Callable[[torch.Generator, int], Tensor],
    label: str,
    partial: Path,
    weight_decay: float = 0.01,
) -> list[dict]:
    """AdamW with a peak learning rate of `lr` after `warm_up` steps; `loss_of_step` gets a generator seeded by the
    step. Returns the loss, averaged over every hundredth of the way, and the seconds since the start. The state is
    saved to the file `partial` at each of these points, and a call that finds it there goes on from it."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, warm_up))
    history, recent, first = [], [], 0
    if partial.exists():
        state = torch.load(partial, weights_only=True)
        for part, name in ((module, "module"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        history, first = state["history"], state["step"]
    start = time.time() - (history[-1]["seconds"] if history else 0.0)
    for step in (bar := line(range(first, steps), label)):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step(torch.Generator().manual_seed(1_000_003 * step + 7), step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if (step + 1) % max(1, steps // 100) == 0 or step + 1 == steps:
            history.append(
                {"stage": label, "step": step + 1, "loss": float(np.mean(recent)), "seconds": time.time() - start}
            )
            bar.set_postfix(loss=f"{history[-1]['loss']:.4f}")
            recent = []
            state = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"schedule": schedule.state_dict(), "history": history, "step": step + 1}
            torch.save(state, partial.with_suffix(".new"))
            os.replace(partial.with_suffix(".new"), partial)
    return history
