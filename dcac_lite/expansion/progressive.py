"""Progressive learning (DLCR, Sec. 3.2.1): each original in a batch goes with one of its copies, from a growing pool.

The K copies of a picture are cut into four parts in stored order. Copies are drawn from the first part until epoch N,
from the first two until 2 N, from three until 3 N, and from all after that. Without a pool that grows (`every=None`)
what is left is the pairing: as many copies as originals in a batch, whatever K is."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PARTS = 4
EVERY = 5  # N, in epochs
RULES = ("paper", "official")


def in_use(epoch: int, copies: int, every: int | None = EVERY, rule: str = "paper") -> int:
    """How many of a picture's `copies` are drawn from in an epoch, counted from 0: the first floor(copies p / 4), at
    least one, in phase p. every: N, the epochs of a phase; None for all copies from the start. rule: "official" for the
    published code, whose first phase has one epoch more (of 10 copies 2, 5, 7, 10 from epoch 0, 6, 11, 16)."""
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}.")
    if epoch < 0 or copies < 1 or (every is not None and every < 1):
        numbers = f"{epoch}, {copies} and {every}"
        raise ValueError(f"Epoch, copies and every are {numbers}; expected at least 0, 1 and 1 (every may be None).")
    if every is None:
        return copies
    ended = epoch // every if rule == "paper" else max(0, epoch - 1) // every
    return max(1, copies * min(PARTS, 1 + ended) // PARTS)


@dataclass(frozen=True)
class Expansion:
    """Training pictures with their copies. originals: uint8 [M, 3, H, W]; copies: uint8 [M, K, 3, H, W], K of each, in
    the order of the originals (memory maps are not read as a whole); every, rule: see `in_use`."""

    originals: np.ndarray
    copies: np.ndarray
    every: int | None = EVERY
    rule: str = "paper"

    def __post_init__(self) -> None:
        one, many = self.originals.shape, self.copies.shape
        if len(one) != 4 or len(many) != 5 or not many[1] or (many[0], *many[2:]) != one:
            raise ValueError(
                f"The originals have shape {list(one)} and the copies {list(many)}; expected [M, 3, H, W] and "
                "[M, K, 3, H, W], K copies of every original at its size."
            )
        in_use(0, many[1], self.every, self.rule)

    def pairs(self, rows: Tensor, epoch: int, generator: torch.Generator | None = None) -> Tensor:
        """The pictures at `rows`, int64 [B], then one copy of each of the same pictures: uint8 [2 B, 3, H, W], to be
        augmented one by one. Labels are those of `rows` twice; the clothes losses take the first half."""
        used = in_use(epoch, self.copies.shape[1], self.every, self.rule)
        which = torch.randint(used, (len(rows),), generator=generator)
        at = rows.numpy()
        return torch.from_numpy(np.concatenate([self.originals[at], self.copies[at, which.numpy()]]))
