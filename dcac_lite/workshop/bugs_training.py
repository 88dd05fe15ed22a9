"""Planted bugs of a training: its losses, its first weights, its memory, its batches and its schedule."""

import math

import torch
import torch.nn.functional as F

from . import broken, toy
from .chapter_02 import moved_prototypes, prototype_loss
from .exercise import Exercise, Mistake, close, follows, need
from .toy import GAMMA, TAU

# ---------------------------------------------------------------- the ID loss


def id_loss(logits, labels):
    """Eq. 5 with labels smoothed by 0.1. logits [B, N], labels int64 [B]."""
    log_p = logits.log_softmax(dim=1)
    q = torch.full_like(log_p, 0.1 / logits.shape[1])
    q[torch.arange(len(labels)), labels] += 0.9
    return -(q * log_p).sum(1).mean()


def smoothed_loss(logits, labels, smoothing=0.1):
    """Eq. 5. logits [B, N], labels int64 [B]."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _logit_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    return [(torch.randn(6, n, generator=dice), torch.randint(n, (6,), generator=dice)) for n in (4, 6, 9)]


def _test_id_loss(answer) -> None:
    for n in (5, 40):
        first = float(answer(torch.zeros(8, n), torch.arange(8) % n))
        need(
            abs(first - math.log(n)) < 1e-4, f"equal logits over {n} identities should cost ln {n} = {math.log(n):.2f}."
        )
        rival = torch.zeros(1, n, dtype=torch.float64)
        rival[0, 0] = math.log(0.9 * n / 0.1 + 1)  # the margin that fits a label smoothed by 0.1
        lowest = float(answer(rival, torch.tensor([0])))
        need(
            abs(lowest - toy.floor(n)) < 1e-3, f"the best logits should cost {toy.floor(n):.2f}, the floor for N = {n}."
        )
    follows(answer, smoothed_loss, _logit_probes(), "it differs from the smoothed cross-entropy.")


AXIS = Exercise(
    name="bug.1",
    kind="diagnose",
    given=broken.id_loss,
    solution=id_loss,
    right="With equal logits the first loss is the logarithm of what the softmax runs over. It was ln 32, the batch, "
    "and not ln 24, the identities: the softmax ran down the wrong axis.",
    hints=(
        "Which number has the logarithm that you see in the first step?",
        "There are 32 pictures in a batch and 24 identities.",
        "The softmax has to run over the identities, dim 1.",
    ),
    mistakes=(
        Mistake(
            lambda logits, labels: F.cross_entropy(logits, labels),
            "The axis is right now, but the smoothing has gone: look at the floor.",
        ),
        Mistake(
            lambda logits, labels: broken.id_loss(logits, labels) * math.log(logits.shape[1]) / math.log(len(labels)),
            "A factor only hides the symptom: gradients still come from the wrong softmax.",
        ),
    ),
    test=_test_id_loss,
    probes=_logit_probes,
)

SMOOTHING = Exercise(
    name="bug.3",
    kind="diagnose",
    given=broken.smoothed_loss,
    solution=smoothed_loss,
    right="No smoothed loss can fall below the entropy of its label. One that does is not smoothed, whatever its "
    "arguments say.",
    hints=(
        "Compare the last ID loss with the floor that is printed beside it.",
        "The floor follows from labels smoothed by 0.1. What if they are not?",
        "`smoothing` is an argument that nobody uses.",
    ),
    mistakes=(
        Mistake(
            lambda logits, labels, smoothing=0.1: F.cross_entropy(logits, labels) + smoothing,
            "A constant lifts the curve and changes no gradient. The label has to be smoothed.",
        ),
        Mistake(
            lambda logits, labels, smoothing=0.1: (1 - smoothing) * F.cross_entropy(logits, labels),
            "That is a weaker hard label: the share that was taken away has to be spread over all identities.",
        ),
    ),
    test=_test_id_loss,
    probes=_logit_probes,
)


# ---------------------------------------------------------------- the first classifier


def _test_first(answer) -> None:
    weights = answer(50, 16)
    need(tuple(weights.shape) == (50, 16), "one row of weights for each identity, [N, d].")
    need(weights.abs().max() < 0.05, "with features of size 1 such weights give logits far from 0 before any step.")
    need(weights.std() > 0, "all rows are equal; the official code draws them from N(0, 0.001).")


FIRST = Exercise(
    name="bug.2",
    kind="diagnose",
    given=broken.first_classifier,
    solution=toy.first_classifier,
    right="A classifier that knows nothing should pay ln N. One with large random weights is sure of wrong answers, "
    "and pays far more, before it has seen anything.",
    hints=(
        "The first loss is far above ln N: the model is sure, and wrong, before any training.",
        "Logits are products of features of size 1 with the rows. How large should they be at the start?",
        "N(0, 0.001): 0.001 * torch.randn(identities, width).",
    ),
    mistakes=(
        Mistake(lambda n, d: torch.randn(n, d) / d**0.5, "Better, and still far too large: the logits have size 1 "
        "then.",
                lambda answer: 0.1 < float(answer(50, 16).std()) < 0.5),
        Mistake(lambda n, d: torch.zeros(n, d), "Zeros do start at ln N. But then no gradient reaches the encoder in "
                "the first step, since it passes the rows; draw them very small.",
                lambda answer: float(answer(50, 16).abs().max()) == 0),
        Mistake(lambda n, d: 0.001 * torch.randn(d, n), "Rows and columns have changed places.",
                lambda answer: tuple(answer(50, 16).shape) == (16, 50)),
    ),
    test=_test_first,
    probes=lambda: [(50, 16)],
)  # fmt: skip


# ---------------------------------------------------------------- the memory


def memory_step(prototypes, unit, labels):
    """The prototype loss of a batch, and the prototypes afterwards. unit: features of length 1."""
    value = prototype_loss(unit, labels, prototypes, TAU)
    return value, moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def contrast_step(prototypes, unit, labels):
    """The same, with the loss written out."""
    logits = unit @ prototypes.T / TAU
    return F.cross_entropy(logits, labels), moved_prototypes(prototypes, unit.detach(), labels, GAMMA)


def _memory_probes() -> list[tuple]:
    made = []
    for seed in range(3):
        dice = torch.Generator().manual_seed(seed)
        prototypes, unit = (F.normalize(torch.randn(n, 6, generator=dice)) for n in (7, 8))
        made.append((prototypes, unit, torch.tensor([0, 2, 3, 6]).repeat_interleave(2)))
    return made


def _test_memory(answer) -> None:
    for prototypes, unit, labels in _memory_probes():
        value, moved = answer(prototypes.clone(), unit, labels)
        expected = memory_step(prototypes, unit, labels)
        need(close(value, expected[0]), "the loss is not Eq. 6 with the prototypes of the steps before.")
        need(close(moved, expected[1]), "the prototypes that come back are not those of Eq. 7.")


ORDER = Exercise(
    name="bug.4",
    kind="diagnose",
    given=broken.memory_step,
    solution=memory_step,
    right="The memory was updated before the loss, so each sample was compared with prototypes that its own batch "
    "had just moved. Loss first, then the update.",
    hints=(
        "The first prototype loss is not that of the centroids, though the memory was just filled with them.",
        "Which prototypes does the loss see?",
        "Compute the loss before `prototypes` is overwritten.",
    ),
    mistakes=(
        Mistake(
            lambda prototypes, unit, labels: (prototype_loss(unit, labels, prototypes, TAU), prototypes),
            "The loss is right now, but the prototypes no longer move: Eq. 7 has gone.",
        ),
        Mistake(
            lambda prototypes, unit, labels: (
                prototype_loss(unit, labels, prototypes, TAU),
                moved_prototypes(prototypes, unit, labels, 1 - GAMMA),
            ),
            "The order is right. Now gamma is wrong: it was GAMMA, the share of the old prototype.",
        ),
    ),
    test=_test_memory,
    probes=_memory_probes,
)

WRONG_SIDE = Exercise(
    name="bug.5",
    kind="diagnose",
    given=broken.contrast_step,
    solution=contrast_step,
    right="Cosines times 0.1 lie between -0.1 and 0.1. No softmax can be sure of anything then, and the loss stays at "
    "ln N, whatever the encoder learns: tau was on the wrong side.",
    hints=(
        "It begins near ln N and stays there, while the ID loss falls: the encoder learns, the loss cannot see it.",
        "How far apart can two logits be?",
        "Divide by TAU.",
    ),
    mistakes=(
        Mistake(
            lambda prototypes, unit, labels: (
                F.cross_entropy(unit @ prototypes.T, labels),
                moved_prototypes(prototypes, unit, labels, GAMMA),
            ),
            "Without tau the logits lie between -1 and 1: better, and still far too near to each other.",
        ),
        Mistake(
            lambda prototypes, unit, labels: (
                F.cross_entropy(unit @ prototypes.T * TAU, labels) / TAU,
                moved_prototypes(prototypes, unit, labels, GAMMA),
            ),
            "You scale the loss. The logits have to be divided, inside the softmax.",
        ),
    ),
    test=_test_memory,
    probes=_memory_probes,
)


# ---------------------------------------------------------------- the batch


def _batch_probes() -> list[tuple]:
    x, labels = torch.arange(20.0)[:, None], torch.arange(20) // 4
    return [(x, labels, torch.tensor(rows)) for rows in ([7, 3, 19, 0], [12, 1, 5], [2, 1, 0, 3, 18, 4])]


def _test_batch(answer) -> None:
    for x, labels, rows in _batch_probes():
        pictures, named = answer(x, labels, rows)
        where = pictures[:, 0].long()
        need(
            sorted(where.tolist()) == sorted(rows.tolist()),
            "these are not the pictures of the rows that were asked for.",
        )
        need(torch.equal(labels[where], named), "a picture has somebody else's label.")


BATCH = Exercise(
    name="bug.6",
    kind="diagnose",
    given=broken.take_batch,
    solution=toy.take_batch,
    right="Nothing can be learned from labels that belong to other pictures: the ID loss stays at ln N, and as many "
    "are named right as by chance.",
    hints=(
        "It behaves as if there were nothing to learn. What if there is not?",
        "Follow one picture and its label through the function, with rows = [7, 3].",
        "Sort both, or neither.",
    ),
    mistakes=(
        Mistake(
            lambda x, labels, rows: (x[rows], labels[rows.sort().values]),
            "Now the labels are sorted and the pictures are not: the same bug from the other side.",
        ),
        Mistake(
            lambda x, labels, rows: (x[: len(rows)], labels[: len(rows)]),
            "Picture and label belong together now, but they are always the first ones: `rows` is not used.",
        ),
    ),
    test=_test_batch,
    probes=_batch_probes,
)


# ---------------------------------------------------------------- the schedule


class _Rate:
    """A schedule that is its own training: a step gives its batch and how often the schedule has been moved."""

    moved = 0

    def step(self) -> None:
        self.moved += 1

    def train_on(self, batch: int) -> tuple[int, int]:
        return batch, self.moved


def _schedule_probes() -> list[tuple]:
    rates = [_Rate() for _ in range(3)]
    return [(epochs, [*range(n)], rate.train_on, rate) for rate, epochs, n in zip(rates, (3, 1, 4), (4, 5, 2))]


def _test_schedule(answer) -> None:
    for epochs, batches, step, scheduler in _schedule_probes():
        history = answer(epochs, list(batches), step, scheduler)
        need(
            [batch for batch, _ in history] == batches * epochs,
            f"{epochs} epochs of {len(batches)} batches should be {epochs * len(batches)} steps, in their order.",
        )
        moved = [moved for _, moved in history]
        need(moved[: len(batches)] == [0] * len(batches), "the first epoch should have the first rate to its end.")
        need(moved == [epoch for epoch in range(epochs) for _ in batches], "the schedule should move once an epoch.")


def _before(epochs, batches, step, scheduler):
    history = []
    for _ in range(epochs):
        scheduler.step()
        history += [step(batch) for batch in batches]
    return history


SCHEDULE = Exercise(
    name="bug.13",
    kind="diagnose",
    given=broken.train,
    solution=toy.train,
    right="The schedule was moved after every batch, and its milestones are epochs: the rate fell to a hundredth in "
    "the first epoch, and what was not learned by then never was. A scheduler counts its own calls, nothing else.",
    hints=(
        "It learns at first, and hardly afterwards. More epochs do not help. What has become small?",
        "The milestones are epochs. What does this scheduler count?",
        "scheduler.step() belongs behind the loop over the batches.",
    ),
    mistakes=(
        Mistake(
            _before,
            "Once an epoch now, but before its batches: the first epoch has the second rate already. Move it when "
            "the epoch is over.",
        ),
        Mistake(
            lambda epochs, batches, step, scheduler: [step(batch) for _ in range(epochs) for batch in batches],
            "The schedule no longer moves: the rate stays high to the end, and the weights never settle.",
        ),
    ),
    test=_test_schedule,
    probes=_schedule_probes,
)
