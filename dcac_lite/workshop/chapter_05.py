"""Exercises of notebook 05: the order of a training step, lambda, and what a difference between runs is worth."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats

from ..experiment import Experiment
from .chapter_02 import moved_prototypes, prototype_loss
from .exercise import Exercise, Mistake, Prediction, close, follows, need, slope, slopes

PREDICTIONS = (
    Prediction(
        name="05.gradient",
        asks="At the end of the first epoch: how long is the diffusion loss's gradient at z (without lambda), beside "
        "that of the Re-ID losses?",
        options=("larger", "about equal", "smaller"),
        right="smaller",
        why="It passes a softmax and a classifier whose weights began near zero. That is why a lambda is quoted with "
        "the ratio it makes.",
    ),
)

# ---------------------------------------------------------------- the order of a step


def memory_step(prototypes, z, labels, tau, gamma, loss, update):
    """The memory's part of a training step: (L_pcl, prototypes afterwards). z as it comes from the neck."""
    unit = F.normalize(z)
    value = loss(unit, labels, prototypes, tau)
    return value, update(prototypes, unit, labels, gamma)


def _step_probes() -> list[tuple]:
    made = []
    for seed in range(3):
        dice = torch.Generator().manual_seed(seed)
        prototypes = F.normalize(torch.randn(6, 5, generator=dice))
        z, labels = 3 * torch.randn(8, 5, generator=dice), torch.tensor([0, 2, 3, 5]).repeat_interleave(2)
        made.append((prototypes, z, labels, 0.5, 0.2, prototype_loss, moved_prototypes))
    return made


def _updated_first(prototypes, z, labels, tau, gamma, loss, update):
    moved = update(prototypes, F.normalize(z), labels, gamma)
    return loss(F.normalize(z), labels, moved, tau), moved


def _plain(prototypes, z, labels, tau, gamma, loss, update):
    return loss(z, labels, prototypes, tau), update(prototypes, F.normalize(z), labels, gamma)


def _plain_both(prototypes, z, labels, tau, gamma, loss, update):
    return loss(z, labels, prototypes, tau), update(prototypes, z, labels, gamma)


def _test_step(answer) -> None:
    for prototypes, z, labels, tau, gamma, loss, update in _step_probes():
        got = answer(prototypes.clone(), z, labels, tau, gamma, loss, update)
        need(isinstance(got, tuple) and len(got) == 2, "give back two things: the loss and the prototypes.")
        louder = answer(prototypes.clone(), 7 * z, labels, tau, gamma, loss, update)
        need(close(got[0], louder[0]), "a longer z changes the loss; Eq. 6 takes z at length 1.")
        need(
            close(got[0], loss(F.normalize(z), labels, prototypes, tau)), "the loss is not that of the old prototypes."
        )
        need(close(got[1], update(prototypes, F.normalize(z), labels, gamma)), "the prototypes are not moved by Eq. 7.")
    slopes(_loss_alone(answer), _loss_alone(memory_step), _step_probes(), 1, "the gradient that comes back to z is not "
           "that of Eq. 6.")  # fmt: skip


def _loss_alone(answer):
    return lambda *arguments: answer(*arguments)[0]


_STEP = Exercise(
    name="05.step",
    kind="implement",
    solution=memory_step,
    right="First the loss, with the prototypes as they were; then the update, for the next step. z is scaled to "
    "length 1 for both.",
    hints=(
        "z comes from the neck and has any length; Eq. 6 and 7 want length 1.",
        "The prototypes must not know this batch when its loss is computed.",
        "loss(unit, labels, prototypes, tau) first, then update(prototypes, unit, labels, gamma).",
    ),
    mistakes=(
        Mistake(
            _updated_first,
            "You update the memory before the loss. Then a sample is compared with a prototype that this very batch "
            "has moved, perhaps to that sample: the loss must see the memory of earlier batches.",
        ),
        Mistake(
            _plain,
            "z enters the loss as it comes from the neck. Its products with the prototypes are cosines only at length "
            "1.",
        ),
        Mistake(_plain_both, "z is not scaled to length 1, neither for the loss nor for the update."),
        Mistake(
            lambda prototypes, z, labels, tau, gamma, loss, update: (
                loss(F.normalize(z), labels, prototypes, tau),
                prototypes,
            ),
            "The prototypes come back as they were: Eq. 7 was not applied.",
        ),
        Mistake(
            lambda prototypes, z, *rest: memory_step(prototypes, z.detach(), *rest),
            "The loss has the right value and sends nothing back: z is detached before it. Only what goes into the "
            "memory may be.",
            lambda answer: slope(_loss_alone(answer), _step_probes()[0], 1) is None,
        ),
    ),
    test=_test_step,
    probes=_step_probes,
)

# ---------------------------------------------------------------- lambda


def lambda_for(ratio, gradient_reid, gradient_dif):
    """The lambda at which the diffusion gradient is `ratio` times the Re-ID gradient."""
    return ratio * gradient_reid / gradient_dif


def _lambda_probes() -> list[tuple]:
    return [(0.1, 0.04, 1e-5), (0.5, 2.0, 0.3), (1.0, 0.2, 5.0)]


def _test_lambda(answer) -> None:
    for ratio, reid, dif in _lambda_probes():
        need(close(answer(ratio, reid, dif) * dif / reid, ratio),
             "with your lambda the diffusion gradient over the Re-ID gradient is not the wanted ratio.")  # fmt: skip


_LAMBDA = Exercise(
    name="05.lambda",
    kind="change",
    solution=lambda_for,
    right="lambda times gradient_dif over gradient_reid is the ratio. The same lambda is another ratio on another "
    "U-Net, so quote both.",
    hints=(
        "What the encoder feels is lambda * gradient_dif, beside gradient_reid.",
        "Solve lambda * gradient_dif / gradient_reid = ratio for lambda.",
    ),
    mistakes=(
        Mistake(
            lambda ratio, reid, dif: ratio * dif / reid, "Turned over: a small diffusion gradient needs a large lambda."
        ),
        Mistake(lambda ratio, reid, dif: reid / dif, "That makes the two equal; the ratio is missing."),
        Mistake(
            lambda ratio, reid, dif: ratio * reid,
            "That is how long the gradient should be. Divide by how long it is without lambda.",
        ),
    ),
    test=_test_lambda,
    probes=_lambda_probes,
)

# ---------------------------------------------------------------- a paired interval


def paired(variant, baseline):
    """Mean difference of runs that share a seed, and its 95 % t interval: (mean, low, high)."""
    difference = np.asarray(variant) - np.asarray(baseline)
    n = len(difference)
    half = stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / n**0.5
    return difference.mean(), difference.mean() - half, difference.mean() + half


def _interval_probes() -> list[tuple]:
    made = []
    for seed, n in enumerate((3, 5, 8)):
        dice = np.random.default_rng(seed)
        luck = 3 * dice.normal(size=n)
        made.append((52 + luck + 0.4 * dice.normal(size=n), 51.5 + luck))
    return made


def _half(rule):
    """An interval whose half width is `rule(variant, baseline)`."""

    def answer(variant, baseline):
        mean = np.mean(variant) - np.mean(baseline)
        return mean, mean - rule(variant, baseline), mean + rule(variant, baseline)

    return answer


def _spread(variant, baseline, ddof=1):
    return (variant - baseline).std(ddof=ddof) / len(variant) ** 0.5


def _test_interval(answer) -> None:
    for variant, baseline in _interval_probes():
        got = answer(variant.copy(), baseline.copy())
        need(len(np.shape(got)) == 1 and len(got) == 3, "give back three numbers: mean, low and high.")
        need(got[1] <= got[0] <= got[2], "the mean should lie between low and high.")
        need(close(answer(variant + 5, baseline + 5), got), "five points more in both arms change it; they should not.")
    reference = stats.ttest_rel

    def slow(variant, baseline):
        low, high = reference(variant, baseline).confidence_interval(0.95)
        return float(np.mean(variant - baseline)), low, high

    follows(answer, slow, _interval_probes(), "it differs from scipy's paired t test.")


_INTERVAL = Exercise(
    name="05.interval",
    kind="implement",
    solution=paired,
    right="It is the interval of scipy's paired t test. Runs that share a seed share their luck, and the difference "
    "takes it away.",
    hints=(
        "One difference for each seed; everything else is about these n numbers.",
        "Standard error: SD with ddof=1, over the root of n. Factor: stats.t.ppf(0.975, n - 1).",
    ),
    mistakes=(
        Mistake(
            _half(lambda v, b: 1.959964 * _spread(v, b)),
            "1.96 is for many runs. With a handful, take the t distribution with n - 1 degrees of freedom.",
        ),
        Mistake(
            _half(lambda v, b: stats.t.ppf(0.975, len(v) - 1) * _spread(v, b, 0)),
            "The SD of a sample divides by n - 1: ddof=1. NumPy's default is 0.",
        ),
        Mistake(
            _half(lambda v, b: stats.t.ppf(0.975, len(v) - 1) * (v - b).std(ddof=1)),
            "That is an interval for single differences. The mean of n is surer by the root of n.",
        ),
        Mistake(
            _half(lambda v, b: stats.t.ppf(0.975, 2 * len(v) - 2) * ((v.var(ddof=1) + b.var(ddof=1)) / len(v)) ** 0.5),
            "You treat the arms as unrelated. They are paired by seed: take the difference of each pair first, and the "
            "shared luck is gone.",
        ),
        Mistake(lambda v, b: paired(b, v), "Baseline minus variant: turn it round, so that better is positive."),
        Mistake(
            _half(lambda v, b: stats.t.ppf(0.95, len(v) - 1) * _spread(v, b)),
            "That is a 90 % interval: 95 % leaves 2.5 % on each side, so ppf(0.975).",
        ),
    ),
    test=_test_interval,
    probes=_interval_probes,
)

# ---------------------------------------------------------------- "Try it" of the notebook

# fmt: off
_OTHER = dict(rank=4, lambda_=3.0, tau_c=0.9, adaptation="full", tau=0.3, gamma=0.5, lr=1e-4, epochs=3, seed=5,
              identities=8, instances=2, iterations=7, jitter=0.5, weight_decay=0.1, erasing=0.3, padding=2)
# fmt: on


def _matters(name: str) -> bool:
    told = {"tier": "lite", "sources": "MA", "conditioning": "none"}
    return Experiment(**told).resolved() != Experiment(**told, **{name: _OTHER[name]}).resolved()


def _test_silent(answer) -> None:
    names = [answer] if isinstance(answer, str) else list(answer)
    unknown = [name for name in names if name not in _OTHER]
    need(not unknown, f"{unknown} is not among the values that can be changed here: {', '.join(_OTHER)}.")
    loud = [name for name in names if _matters(name)]
    need(not loud, f"two baselines that differ in {' and '.join(loud)} are two experiments.")
    missing = [name for name in _OTHER if name not in names and not _matters(name)]
    need(not missing, f"right so far, and {len(missing)} more do not matter to a baseline.")


_SILENT = Exercise(
    name="05.1",
    kind="change",
    solution=["rank", "lambda_", "tau_c", "adaptation"],
    in_notebook='["rank", "lambda_", "tau_c", "adaptation"]',
    right="These four describe the diffusion model and its condition. A baseline has neither, so the values fall "
    "away and one run stands for all.",
    hints=(
        "A baseline has no U-Net and no condition. Which values describe these?",
        "Experiment(conditioning='none', NAME=OTHER).resolved() == Experiment(conditioning='none').resolved()?",
        "tau (Eq. 6) is not tau_c (Eq. 12).",
    ),
    mistakes=(
        Mistake(["rank", "lambda_", "tau_c", "tau", "adaptation"], "tau is the temperature of the prototype loss, "
                "Eq. 6, which the baseline has. tau_c is another one.", lambda answer: "tau" in answer),
        Mistake(["rank", "lambda_", "tau_c", "adaptation", "seed"], "The seed matters to everything: batches, "
                "initialisation, luck.", lambda answer: "seed" in answer),
        Mistake(["rank", "lambda_", "tau_c", "adaptation", "gamma"], "gamma is the momentum of the prototypes, Eq. 7, "
                "and the baseline has prototypes.", lambda answer: "gamma" in answer),
    ),
    test=_test_silent,
)  # fmt: skip


def _test_widths(answer) -> None:
    two, every = (float(x) for x in answer)
    need(min(two, every) > 0, "a width is above 0: high minus low.")
    need(two > every, "two pairs should say much less than all of them.")


_WIDTHS = Exercise(
    name="05.2",
    kind="change",
    solution=(3.1, 0.5),
    in_notebook='tuple(float(r["high"] - r["low"]) for d in (compare(two), differences[differences["source"] == first])'
    ' for r in [d[d["target"] == "mean of unseen"].iloc[-1]])',
    right="With two pairs the t factor alone is 12.7, and the scatter itself is hardly known. Two seeds are an "
    "anecdote.",
    hints=(
        "compare(part of the table) gives low and high; take the rows with target 'mean of unseen'.",
        "Hand in two widths, high minus low: (over two seeds, over all).",
    ),
    mistakes=(
        Mistake((0.5, 3.1), "The order: first the width over two seeds, then over all.",
                lambda answer: 0 < float(answer[0]) < float(answer[1])),
        Mistake((0.5, 0.5), "The two are equal: the first is over all seeds as well.",
                lambda answer: float(answer[0]) == float(answer[1])),
        Mistake((-3.1, -0.5), "Low minus high: a width is positive.", lambda answer: max(map(float, answer)) < 0),
    ),
    test=_test_widths,
)  # fmt: skip

EXERCISES = (_STEP, _LAMBDA, _INTERVAL, _SILENT, _WIDTHS)
