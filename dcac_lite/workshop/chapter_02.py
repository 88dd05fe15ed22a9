"""Exercises of notebook 02: the losses of the baseline, and how far they can fall."""

import numpy as np
import torch
import torch.nn.functional as F

from .exercise import Exercise, Mistake, Prediction, close, follows, need, numbers, overwrites, slope, slopes

PREDICTIONS = (
    Prediction(
        name="02.first-loss",
        asks="A classifier over N = 150 people has not learned anything yet. What is its first ID loss (Eq. 5)?",
        options=("0", "0.7", "ln 150", "150"),
        right="ln 150",
        why="All logits are nearly equal, so every identity has probability 1/N, and -ln(1/N) = ln N. 0.7 would be "
        "ln 2, a guess between two people. Any first loss far from ln N is a bug's address.",
    ),
    Prediction(
        name="02.prototype",
        asks="After Eq. 7 with gamma = 0.2, what is a prototype nearest to?",
        options=("its old place", "the mean of the four samples", "the hardest sample"),
        right="the hardest sample",
        why="Four fifths of the new prototype are the hardest sample of the batch; a fifth of the old place stays.",
    ),
)


# ---------------------------------------------------------------- Eq. 6


def prototype_loss(z, labels, prototypes, tau):
    """Eq. 6, mean over the batch. z [B, d] and prototypes [N, d] of length 1, labels int64 [B]."""
    return F.cross_entropy(z @ prototypes.T / tau, labels)


def _slow_prototype_loss(z, labels, prototypes, tau):
    terms = []
    for feature, y in zip(z, labels):
        scores = torch.stack([feature @ row / tau for row in prototypes])
        terms.append(scores.logsumexp(0) - scores[y])
    return torch.stack(terms).mean()


def _unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _loss_probes() -> list[tuple]:
    made = []
    for seed, (batch, identities, tau) in enumerate([(6, 5, 0.1), (8, 8, 0.5), (4, 9, 1.0)]):
        labels = torch.randint(identities, (batch,), generator=torch.Generator().manual_seed(seed))
        made.append((_unit(batch, 7, seed=seed), labels, _unit(identities, 7, seed=seed + 50), tau))
    return made


def _test_prototype_loss(answer) -> None:
    for z, labels, prototypes, tau in _loss_probes():
        loss = answer(z, labels, prototypes, tau)
        need(np.ndim(loss) == 0, f"it has the shape {tuple(np.shape(loss))}; a loss is one number, the mean.")
        need(loss > 0, "it is below 0; minus the logarithm of a probability never is.")
        order = torch.randperm(len(prototypes), generator=torch.Generator().manual_seed(1))
        renamed = torch.argsort(order)[labels]
        moved = answer(z, renamed, prototypes[order], tau)
        need(close(loss, moved), "it changes when the identities are given other numbers; it should not.")
    follows(answer, _slow_prototype_loss, _loss_probes(), "it differs from Eq. 6 computed sample by sample.")
    need(not _overflows(answer), "at the paper's tau = 0.01 it is not finite.")
    slopes(answer, _slow_prototype_loss, _loss_probes(), 0, "the gradient that comes back to z is not that of Eq. 6.")


def _overflows(answer) -> bool:
    (z, labels, prototypes, _), *_ = _loss_probes()
    prototypes[labels] = z
    return not np.isfinite(numbers(answer(z, labels, prototypes, 0.01))).all()


def _exponentials(cosines, tau, y):
    p = torch.exp(cosines / tau)
    return -(p.gather(1, y[:, None]) / p.sum(1, keepdim=True)).log().mean()


def _logits_mistake(logits):
    return lambda z, labels, prototypes, tau: logits(z @ prototypes.T, tau, labels)


def _others_only(cosines, tau, y):
    own = torch.zeros_like(cosines, dtype=torch.bool).scatter(1, y[:, None], True)
    others = (cosines / tau).masked_fill(own, -torch.inf)
    return (others.logsumexp(1) - (cosines / tau)[own]).mean()


_PROTOTYPE_LOSS = Exercise(
    name="02.eq6",
    kind="implement",
    solution=prototype_loss,
    right="Eq. 6 is a cross-entropy: logits are cosines over tau, and the prototypes stand where Eq. 5 has a "
    "classifier. It agrees with the slow loop and does not care how the identities are numbered.",
    hints=(
        "One matrix product gives the cosines of all samples with all prototypes, [B, N].",
        "Divide by tau, then it is a cross-entropy with the labels as targets.",
        "torch.nn.functional.cross_entropy takes logits and labels, softmax included.",
    ),
    mistakes=(
        Mistake(
            _logits_mistake(lambda cosines, tau, y: -(cosines / tau).log_softmax(0).gather(1, y[:, None]).mean()),
            "Your softmax runs over the batch (dim 0). Eq. 6 asks which of the N prototypes a sample belongs to: the "
            "probabilities of one sample add up to 1 over the prototypes, dim 1.",
        ),
        Mistake(
            _logits_mistake(lambda cosines, tau, y: F.cross_entropy(cosines * tau, y)),
            "tau is on the wrong side: you multiply by it. A small tau must make small differences large, so divide.",
        ),
        Mistake(
            _logits_mistake(lambda cosines, tau, y: F.cross_entropy(cosines, y)),
            "tau is missing: cosines lie between -1 and 1, and without it no softmax can be sure of anything.",
        ),
        Mistake(
            _logits_mistake(lambda cosines, tau, y: F.cross_entropy(cosines / tau, y, reduction="sum")),
            "You add the samples up. The loss is their mean, so that it does not grow with the batch.",
        ),
        Mistake(
            _logits_mistake(lambda cosines, tau, y: -F.cross_entropy(cosines / tau, y)),
            "The sign: a loss is minus the logarithm of the probability, and is to be made small.",
        ),
        Mistake(
            _logits_mistake(_others_only),
            "The denominator of Eq. 6 runs over all k, the own prototype included. Without it this is no probability "
            "and can fall below 0.",
        ),
        Mistake(
            _logits_mistake(_exponentials),
            "It is right as long as the numbers are small. At the paper's tau = 0.01 a cosine of 1 is a logit of 100, "
            "and exp(100) is more than float32 can hold. cross_entropy and logsumexp take the largest logit off first.",
            lambda answer: _overflows(answer),
        ),
        Mistake(
            lambda z, labels, prototypes, tau: prototype_loss(z.detach(), labels, prototypes, tau),
            "The value is right, and no gradient comes back to z: it is detached, or computed under no_grad or in "
            "NumPy. The encoder would learn nothing from this loss.",
            lambda answer: slope(answer, _loss_probes()[0], 0) is None,
        ),
    ),
    test=_test_prototype_loss,
    probes=_loss_probes,
)


# ---------------------------------------------------------------- Eq. 7


def moved_prototypes(prototypes, z, labels, gamma):
    """Eq. 7 for every identity of the batch; the other rows as they were. Returns prototypes [N, d] of length 1."""
    moved = prototypes.clone()
    for y in labels.unique():
        own = z[labels == y]
        hardest = own[(own @ prototypes[y]).argmin()]
        moved[y] = F.normalize(gamma * prototypes[y] + (1 - gamma) * hardest, dim=0)
    return moved


def _moved(choose, unit=True, swap=False):
    """Eq. 7 with another sample in the place of the hardest, and other mistakes."""

    def answer(prototypes, z, labels, gamma):
        moved, stays = prototypes.clone(), 1 - gamma if swap else gamma
        for y in labels.unique():
            row = stays * prototypes[y] + (1 - stays) * choose(z, labels, y, prototypes)
            moved[y] = F.normalize(row, dim=0) if unit else row
        return moved

    return answer


def _hardest(z, labels, y, prototypes):
    own = z[labels == y]
    return own[(own @ prototypes[y]).argmin()]


def _easiest(z, labels, y, prototypes):
    own = z[labels == y]
    return own[(own @ prototypes[y]).argmax()]


def _one_by_one(prototypes, z, labels, gamma):
    moved = prototypes.clone()
    for feature, y in zip(z, labels):
        moved[y] = F.normalize(gamma * moved[y] + (1 - gamma) * feature, dim=0)
    return moved


def _in_place(prototypes, z, labels, gamma):
    prototypes[:] = moved_prototypes(prototypes, z, labels, gamma)
    return prototypes


def _update_probes() -> list[tuple]:
    return [
        (_unit(9, 6, seed=k), _unit(12, 6, seed=k + 20), torch.tensor([0, 4, 7]).repeat_interleave(4), gamma)
        for k, gamma in enumerate((0.2, 0.5, 0.9))
    ]


def _test_moved_prototypes(answer) -> None:
    for prototypes, z, labels, gamma in _update_probes():
        moved = answer(prototypes.clone(), z, labels, gamma)
        need(np.shape(moved) == tuple(prototypes.shape), f"give back all {len(prototypes)} prototypes, [N, d].")
        absent = torch.ones(len(prototypes), dtype=torch.bool).index_fill(0, labels, False)
        need(close(moved[absent], prototypes[absent]), "identities that are not in the batch have moved.")
    follows(answer, moved_prototypes, _update_probes(), "it differs from Eq. 7 with the hardest sample of each.")


_UPDATE = Exercise(
    name="02.eq7",
    kind="implement",
    solution=moved_prototypes,
    right="The hardest sample is the one least similar to its own prototype, four fifths of the way go there, and the "
    "row has length 1 again. Identities outside the batch stay.",
    hints=(
        "Take the identities of the batch one at a time: labels.unique().",
        "The hardest of an identity's samples has the smallest cosine with the prototype, as it was before.",
        "gamma * old + (1 - gamma) * hardest, then scale to length 1.",
    ),
    mistakes=(
        Mistake(
            _moved(lambda z, labels, y, prototypes: z[labels == y].mean(0)),
            "You move towards the mean of the samples. Eq. 7 takes the hardest one only: the least similar to the "
            "prototype.",
        ),
        Mistake(
            _moved(_easiest),
            "You move towards the easiest sample, the most similar one. Hard is what is far away: the smallest cosine.",
        ),
        Mistake(
            _moved(_hardest, swap=True),
            "gamma and 1 - gamma have changed places: gamma is the share of the OLD prototype that stays.",
        ),
        Mistake(
            _moved(_hardest, unit=False),
            "The rows have lost their length of 1. The code scales every updated row again; only then is a product "
            "with it a cosine.",
        ),
        Mistake(
            _moved(lambda z, labels, y, prototypes: z[(z @ prototypes[y]).argmin()]),
            "You look for the hardest sample in the whole batch, which is somebody else's. Look among the samples of "
            "this identity.",
        ),
        Mistake(
            _one_by_one,
            "You update once per sample, in turn. Eq. 7 moves each identity once, with the hardest sample, measured "
            "against the prototype as it was.",
        ),
        Mistake(
            _in_place,
            "The rows are right, and you have overwritten the prototypes that you were given. Whoever still needs the "
            "old ones, for a loss, say, finds the new ones: begin with prototypes.clone().",
            lambda answer: overwrites(answer, _update_probes()),
        ),
    ),
    test=_test_moved_prototypes,
    probes=_update_probes,
)


# ---------------------------------------------------------------- "Try it" of the notebook


def _smoothed(margin: float, n: int = 751, eps: float = 0.1) -> float:
    logits = torch.zeros(1, n, dtype=torch.float64)
    logits[0, 0] = margin
    return float(F.cross_entropy(logits, torch.tensor([0]), label_smoothing=eps))


def _floor(n: int = 751, eps: float = 0.1) -> tuple[float, float]:
    own, other = 1 - eps + eps / n, eps / n
    return -(own * np.log(own) + (n - 1) * other * np.log(other)), float(np.log(own / other))


def _test_floor(answer) -> None:
    floor, margin = (float(x) for x in answer)
    best = _smoothed(margin)
    need(best <= _smoothed(margin + 0.2) and best <= _smoothed(margin - 0.2),
         "another margin, 0.2 larger or smaller, costs less than yours: it is not the best one.")  # fmt: skip
    need(abs(floor - best) < 0.005, f"your margin costs {best:.3f}, and you say the floor is {floor:.3f}.")


_FLOOR = Exercise(
    name="02.1",
    kind="change",
    solution=_floor(),
    in_notebook="(lowest, margin)",
    right="No margin costs less than yours, and the floor is the entropy of the smoothed label: about 0.99 nats for "
    "751 identities. A loss below it would mean that labels are not smoothed.",
    hints=(
        "A cross-entropy is smallest where the probabilities equal the label: p = q.",
        "q is 1 - eps + eps / N for the true identity and eps / N for each of the others.",
        "The margin is ln(q_true / q_other), the floor the entropy of q: -sum q ln q.",
    ),
    mistakes=(
        Mistake(
            (0.0, float("inf")),
            "That is the floor without smoothing. A smoothed label is not certain, so its cross-entropy cannot be 0.",
            lambda answer: abs(float(answer[0])) < 1e-6,
        ),
        Mistake(
            (_floor()[0] / np.log(2), _floor()[1] / np.log(2)),
            "These are bits (log to the base 2). The losses of this book are in nats: natural logarithms.",
        ),
        Mistake(
            (-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)), np.log(9)),
            "You treat all other identities as one with 0.1. The 0.1 is spread over all N, so each of the others has "
            "0.1 / 751.",
            lambda answer: abs(float(answer[0]) - 0.325) < 0.01,
        ),
        Mistake((_floor()[1], _floor()[0]), "Floor first, then margin: yours have changed places."),
    ),
    test=_test_floor,
)


def _test_extremes(answer) -> None:
    need(tuple(str(a).lower() for a in answer) == ("old", "hardest"),
         'hand in two words, for gamma = 1 and gamma = 0, each "old", "mean" or "hardest".')  # fmt: skip


_EXTREMES = Exercise(
    name="02.3",
    kind="change",
    solution=("old", "hardest"),
    in_notebook='("old", "hardest")',
    right="gamma = 1 keeps the old prototype, whatever the batch holds; gamma = 0 forgets it and takes the hardest "
    "sample. The paper's 0.2 is much nearer to the second.",
    hints=(
        "Put 1 for gamma in Eq. 7: which of the two terms is left?",
        'The answer is two of the words "old", "mean" and "hardest": (for gamma = 1, for gamma = 0).',
    ),
    mistakes=(
        Mistake(("hardest", "old"), "The other way round: gamma is the share of the old prototype that stays."),
        Mistake(("old", "mean"), "Half right. The second term of Eq. 7 is not the mean of the samples but z_hard."),
    ),
    test=_test_extremes,
)


EXERCISES = (_PROTOTYPE_LOSS, _UPDATE, _FLOOR, _EXTREMES)
