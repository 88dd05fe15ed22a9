"""Stage 2: an encoder that learns who somebody is from pictures and their copies (DLCR, Sec. 3.2.1).

The identity loss is on all pictures of a batch, the clothes losses on the originals. All that is random in a step comes
from the seed and the step, so arms of one seed see the same originals and start from the same weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..augment import augment
from ..data.clothes import ClothesSplit
from ..device import compute_device
from ..encoder import ReIDModel, id_loss
from ..inversion.training import fit, fresh, seeded
from ..sampling import epoch_batches
from .adversary import ClothesAdversary, ClothesClassifier, outfit_classes
from .network import encoder
from .progressive import Expansion
from .recipe import Recipe

#: How copies enter a batch: not at all; one with each original, from all copies or from a pool that grows; or as further
#: training pictures among which a batch is drawn, so that copies outnumber originals by K to 1.
PAIRINGS = ("none", "paired", "growing", "concatenated")


@dataclass(frozen=True)
class Pictures:
    """A batch before augmentation. images: uint8 [B, 3, H, W]; rows: which original each is or is a copy of, int64 [B];
    original: bool [B]."""

    images: Tensor
    rows: Tensor
    original: Tensor


def batches(
    images: np.ndarray, labels: Tensor, copies: np.ndarray | None, pairing: str, recipe: Recipe, seed: int
) -> Callable[[int], Pictures]:
    """What shows the pictures of a step. images: uint8 [M, 3, H, W]; labels: int64 [M]; copies: uint8 [M, K, 3, H, W],
    None with the pairing "none". A batch has identities x instances originals, and with copies as many again."""
    size, kept = recipe.identities * recipe.instances, _Epochs(recipe, seed)
    if copies is None:
        whole = torch.ones(size, dtype=torch.bool)

        def alone(step: int) -> Pictures:
            rows = kept.rows(labels, recipe.identities, step)
            return Pictures(torch.from_numpy(images[rows.numpy()]), rows, whole)

        return alone
    if pairing == "concatenated":
        several = 1 + copies.shape[1]

        def drawn(step: int) -> Pictures:
            at = kept.rows(labels.repeat_interleave(several), 2 * recipe.identities, step)
            rows, k = at // several, at % several
            shown = [copies[r, j - 1] if j else images[r] for r, j in zip(rows.tolist(), k.tolist())]
            return Pictures(torch.from_numpy(np.stack(shown)), rows, k == 0)

        return drawn
    expansion = Expansion(images, copies, recipe.every if pairing == "growing" else None)
    halves = torch.arange(2 * size) < size

    def paired(step: int) -> Pictures:
        rows, epoch = kept.rows(labels, recipe.identities, step), step // recipe.iterations
        return Pictures(expansion.pairs(rows, epoch, seeded("copies", seed, step)), rows.repeat(2), halves)

    return paired


class _Epochs:
    """The row numbers of each step, an epoch's drawn at once."""

    def __init__(self, recipe: Recipe, seed: int):
        self._recipe, self._seed, self._epoch = recipe, seed, -1

    def rows(self, labels: Tensor, identities: int, step: int) -> Tensor:
        epoch, place = divmod(step, self._recipe.iterations)
        if epoch != self._epoch:
            plan = (identities, self._recipe.instances, self._seed, epoch + 1, self._recipe.iterations)
            self._epoch, self._batches = epoch, epoch_batches(labels, *plan)
        return self._batches[place]


class Learner(nn.Module):
    """The encoder with identity classifier, and CAL's adversary or none. Their state is whole in `state_dict`, the
    optimizer of the adversary included, so that an interrupted training goes on as it would have."""

    def __init__(self, reid: ReIDModel, owners: Tensor | None, start: int):
        super().__init__()
        self.reid = reid
        self.clothes = None if owners is None else ClothesClassifier(owners, reid.classifier.in_features)
        self._start = start
        self._adversary: ClothesAdversary | None = None

    @property
    def adversary(self) -> ClothesAdversary | None:
        """Made when it is first used: its optimizer holds the classifier's weights where they are by then."""
        if self._adversary is None and self.clothes is not None:
            self._adversary = ClothesAdversary(self.clothes, self._start)
        return self._adversary

    def get_extra_state(self) -> dict:
        return self.adversary.optimizer.state_dict() if self.adversary else {}

    def set_extra_state(self, state: dict) -> None:
        if self.adversary:
            self.adversary.optimizer.load_state_dict(state)


def learn(
    split: ClothesSplit, copies: np.ndarray | None, pairing: str, adversarial: bool, recipe: Recipe, seed: int, partial: Path
) -> tuple[ReIDModel, list[dict]]:
    """Train an encoder on a training split and its copies (see `batches`); returns it with the history of
    `inversion.training.fit`, which also says what `partial` is. adversarial: with CAL's clothes losses.

    Raises ValueError for a pairing that is none of PAIRINGS or does not go with the copies given."""
    if pairing not in PAIRINGS or (pairing == "none") != (copies is None):
        given = "no copies" if copies is None else "copies"
        raise ValueError(f"pairing is {pairing!r} with {given}; expected one of {', '.join(PAIRINGS)}, none without.")
    labels = torch.from_numpy(np.unique(split.pids, return_inverse=True)[1])
    outfits, owners = outfit_classes(split.pids, split.clothes)
    pictures = batches(np.asarray(split.images), labels, copies, pairing, recipe, seed)
    build = lambda: Learner(  # noqa: E731
        encoder(recipe.encoder, int(labels.max()) + 1), owners if adversarial else None, recipe.start
    )
    learner = fresh(build, "clothes", seed)
    assert isinstance(learner, Learner)
    device = compute_device()

    def loss_of_step(step: int) -> Tensor:
        shown = pictures(step)
        generator = torch.Generator(device).manual_seed(seeded("views", seed, step).initial_seed())
        x = augment(shown.images.to(device), recipe.padding, recipe.erasing, recipe.jitter, generator)
        f, logits = learner.reid(x)
        loss = id_loss(logits, labels[shown.rows].to(device))
        if learner.adversary and shown.original.any():
            own = outfits[shown.rows[shown.original]].to(device)
            loss = loss + learner.adversary.step(f[shown.original.to(device)], own, step // recipe.iterations)
        return loss

    groups = [{"params": list(_learning(learner.reid)), "lr": recipe.lr, "weight_decay": recipe.weight_decay}]
    history = fit(learner, groups, recipe.steps, recipe.decay, loss_of_step, "stage 2", partial, "no")
    return learner.reid, history


def _learning(module: nn.Module) -> Iterator[nn.Parameter]:
    return (p for p in module.parameters() if p.requires_grad)
