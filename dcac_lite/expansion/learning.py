"""Stage 2: who somebody is, learnt from pictures and their copies (DLCR, Sec. 3.2.1).

The identity loss is on all of a batch, the clothes losses on the originals. All that is random in a step comes from the
seed and the step, so arms of one seed see the same views of the same originals and start from the same weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..device import compute_device
from ..encoder import id_loss
from ..inversion.training import fit, fresh, seeded
from ..sampling import epoch_batches
from .adversary import outfit_classes
from .head import Head, Learner
from .progressive import in_use
from .recipe import Recipe

#: How copies enter a batch: not at all; one with each original, from all copies or from a pool that grows; or as
#: further training pictures of which a batch is drawn, so that copies outnumber originals by K to 1.
PAIRINGS = ("none", "paired", "growing", "concatenated")


@dataclass(frozen=True)
class Material:
    """What is learnt from. originals: float16 [M, V, d], each picture in several views; copies: float16 [M, K, d], or
    None; pids, clothes: int64 [M] (see `adversary.outfit_classes`)."""

    originals: np.ndarray
    copies: np.ndarray | None
    pids: np.ndarray
    clothes: np.ndarray


@dataclass(frozen=True)
class Batch:
    """x: float32 [B, d]; rows: which original each is or is a copy of, int64 [B]; original: bool [B]."""

    x: Tensor
    rows: Tensor
    original: Tensor


class Batches:
    """The batches of a training, by step: identities x instances originals, and with copies as many again."""

    def __init__(self, material: Material, labels: Tensor, pairing: str, recipe: Recipe, seed: int):
        if pairing not in PAIRINGS or (pairing == "none") != (material.copies is None):
            given = "no copies" if material.copies is None else "copies"
            raise ValueError(f"pairing is {pairing!r} with {given}; expected one of {', '.join(PAIRINGS)}.")
        self._material, self._pairing, self._recipe, self._seed = material, pairing, recipe, seed
        self._count = 0 if material.copies is None else material.copies.shape[1]
        together = pairing == "concatenated"
        self._labels = labels.repeat_interleave(1 + self._count) if together else labels
        self._instances = recipe.instances * (2 if together else 1)
        self._epoch, self._rows = -1, labels[:0]

    def __call__(self, step: int) -> Batch:
        recipe, copies = self._recipe, self._material.copies
        epoch, place = divmod(step, recipe.iterations)
        if epoch != self._epoch:  # the rows of a whole epoch are drawn at once
            plan = (recipe.identities, self._instances, self._seed, 1 + epoch, recipe.iterations)
            self._epoch, self._rows = epoch, epoch_batches(self._labels, *plan)
        at = self._rows[place]
        if copies is None:
            return Batch(self._views(at, step), at, torch.ones(len(at), dtype=torch.bool))
        if self._pairing == "concatenated":
            rows, k = at // (1 + self._count), at % (1 + self._count)
            chosen = _taken(copies, rows, (k - 1).clamp(min=0))
            return Batch(torch.where((k == 0)[:, None], self._views(rows, step), chosen), rows, k == 0)
        used = in_use(epoch, self._count, recipe.every if self._pairing == "growing" else None)
        which = torch.randint(used, (len(at),), generator=seeded("copies", self._seed, step))
        both = torch.cat([self._views(at, step), _taken(copies, at, which)])
        return Batch(both, at.repeat(2), torch.arange(2 * len(at)) < len(at))

    def _views(self, rows: Tensor, step: int) -> Tensor:
        originals = self._material.originals
        which = torch.randint(originals.shape[1], (len(rows),), generator=seeded("views", self._seed, step))
        return _taken(originals, rows, which)


def _taken(seen: np.ndarray, rows: Tensor, which: Tensor) -> Tensor:
    return torch.from_numpy(seen[rows.numpy(), which.numpy()]).float()


def learn(
    material: Material, pairing: str, adversarial: bool, recipe: Recipe, seed: int, partial: Path
) -> tuple[Head, list[dict]]:
    """Train a head (see `Batches` for what it is shown); returns it with the history of `inversion.training.fit`, which
    also says what the file `partial` is. adversarial: with CAL's clothes losses.

    Raises ValueError for a pairing that is none of PAIRINGS or does not go with the copies given."""
    labels = torch.from_numpy(np.unique(material.pids, return_inverse=True)[1].reshape(-1))
    outfits, owners = outfit_classes(material.pids, material.clothes)
    batches = Batches(material, labels, pairing, recipe, seed)
    sizes = material.originals.shape[2], recipe.dim, int(labels.max()) + 1
    learner = fresh(lambda: Learner(Head(*sizes), owners if adversarial else None, recipe.start), "clothes", seed)
    assert isinstance(learner, Learner)
    device = compute_device()

    def loss_of_step(step: int) -> Tensor:
        batch = batches(step)
        f, logits = learner.head(batch.x.to(device))
        loss = id_loss(logits, labels[batch.rows].to(device))
        if learner.adversary and batch.original.any():
            own = outfits[batch.rows[batch.original]].to(device)
            loss = loss + learner.adversary.step(f[batch.original.to(device)], own, step // recipe.iterations)
        return loss

    learning = [p for p in learner.head.parameters() if p.requires_grad]
    groups = [{"params": learning, "lr": recipe.lr, "weight_decay": recipe.weight_decay}]
    history = fit(learner, groups, recipe.steps, recipe.decay, loss_of_step, "stage 2", partial, "no")
    return learner.head, history
