"""PK sampling: batches of P identities with K images each, as the official sampler draws them."""

import random
from collections import defaultdict

import torch
from torch import Tensor


def pk_batches(labels: Tensor, identities: int, instances: int, seed: int, epoch: int) -> Tensor:
    """The batches of one epoch: row numbers, int64 [batches, identities * instances].

    Each identity's images are shuffled and cut into groups of K = `instances`; the remainder sits this
    epoch out, and an identity with fewer than K images gives one group drawn with replacement. While
    at least P = `identities` identities still have a group, a batch takes the next group of P of them,
    chosen uniformly. The rest is dropped. Depends on `seed` and `epoch` only.

    Raises ValueError if there are fewer than P identities, since no batch could be formed."""
    rng = random.Random(f"pk {seed} {epoch}")
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels.tolist()):
        rows_of[label].append(row)
    if len(rows_of) < identities:
        raise ValueError(
            f"A batch takes {identities} identities, but the training set has {len(rows_of)}: lower `identities`."
        )
    groups: dict[int, list[list[int]]] = {}
    for label, rows in rows_of.items():
        rows = rows.copy()
        rng.shuffle(rows)
        if len(rows) < instances:
            rows = rng.choices(rows, k=instances)
        groups[label] = [rows[k : k + instances] for k in range(0, len(rows) - instances + 1, instances)]
    batches = []
    available = sorted(groups)
    while len(available) >= identities:
        chosen = rng.sample(available, identities)
        batches.append([row for label in chosen for row in groups[label].pop()])
        available = [label for label in available if groups[label]]
    return torch.tensor(batches, dtype=torch.int64)


def epoch_batches(
    labels: Tensor, identities: int, instances: int, seed: int, epoch: int, iterations: int | None
) -> Tensor:
    """The batches of one epoch, int64 [iterations, P * K]: one natural pass (`iterations` None, the
    paper's way), or passes cut or repeated to a fixed number of iterations (the
    lite tiers)."""
    batches = pk_batches(labels, identities, instances, seed, epoch)
    if iterations is None:
        return batches
    passes = 1
    while len(batches) < iterations:
        more = pk_batches(labels, identities, instances, seed, epoch + 1_000_000 * passes)
        batches, passes = torch.cat([batches, more]), passes + 1
    return batches[:iterations]
