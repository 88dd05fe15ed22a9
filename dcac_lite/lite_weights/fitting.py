"""One optimisation loop for all stages of pre-training."""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn


def fit(
    parameters: Iterable[nn.Parameter],
    steps: int,
    lr: float,
    loss_of_step: Callable[[torch.Generator, int], Tensor],
    label: str,
    weight_decay: float = 0.01,
) -> list[dict]:
    """AdamW with a one-cycle learning rate of peak `lr`; `loss_of_step` gets a generator seeded by the step. Returns the loss,
    averaged over every hundredth of the way, and the seconds since the start."""
    from tqdm.auto import tqdm

    parameters = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    history, recent = [], []
    start = time.time()
    for step in (bar := tqdm(range(steps), desc=label, mininterval=2)):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step(torch.Generator().manual_seed(1_000_003 * step + 7), step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if (step + 1) % max(1, steps // 100) == 0 or step + 1 == steps:
            history.append({"stage": label, "step": step + 1, "loss": float(np.mean(recent)), "seconds": time.time() - start})
            bar.set_postfix(loss=f"{history[-1]['loss']:.4f}")
            recent = []
    return history
