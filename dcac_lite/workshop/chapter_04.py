"""Exercises of notebook 04: the condition, its size, and its gradient."""

import numpy as np
import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need, numbers, slope, slopes

PREDICTIONS = (
    Prediction(
        name="04.softer",
        asks="The temperature rises and p gets softer. What happens to the size of the condition c?",
        options=("it grows", "it shrinks", "it stays"),
        right="it shrinks",
        why="Prompts are independent random vectors, and mixing them cancels them: the size is the root of the sum of "
        "p_j squared, from 1 for a one-hot p down to 1 / sqrt(N).",
    ),
    Prediction(
        name="04.coded",
        asks="Class-wise as coded divides p_y e_y by p_y. How much gradient does it send into the encoder?",
        options=("as much as class-wise", "a little", "none at all"),
        right="none at all",
        why="p_y is divided away, so c = e_y contains nothing that the encoder computed. Autograd answers None.",
    ),
)


# ---------------------------------------------------------------- Eq. 12


def condition(logits, prompts, tau_c):
    """Eq. 12: logits [B, N], prompts [N, D] -> c [B, D]."""
    p = (logits / tau_c).softmax(dim=1)
    return p @ prompts


def _slow_condition(logits, prompts, tau_c):
    rows = []
    for scores in logits:
        p = torch.exp((scores - scores.max()) / tau_c)
        rows.append(sum(p_j / p.sum() * e_j for p_j, e_j in zip(p, prompts)))
    return torch.stack(rows)


def _condition_probes() -> list[tuple]:
    made = []
    for seed, (B, N, D, tau_c) in enumerate([(5, 6, 4, 0.5), (4, 7, 3, 2.0), (6, 4, 8, 0.3)]):
        dice = torch.Generator().manual_seed(seed)
        made.append((torch.randn(B, N, generator=dice), torch.randn(N, D, generator=dice), tau_c))
    return made


def _test_condition(answer) -> None:
    for logits, prompts, tau_c in _condition_probes():
        c = answer(logits, prompts, tau_c)
        expected = (len(logits), prompts.shape[1])
        need(np.shape(c) == expected, f"c has the shape {tuple(np.shape(c))}, and should be [B, D], {expected}.")
        need(close(answer(logits + 3, prompts, tau_c), c), "a constant added to all logits changes c; it should not.")
        order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(3))
        need(close(answer(logits[:, order], prompts[order], tau_c), c), "other numbers for the identities change c.")
        need(
            close(answer(logits[:1], prompts, tau_c), c[:1]), "a picture's condition depends on the rest of the batch."
        )
    probes, sentence = _condition_probes(), "the gradient that comes back to the {} is not that of Eq. 12."
    follows(answer, _slow_condition, probes, "it differs from Eq. 12 written out sum by sum.")
    need(not _overflows(answer), "it is not finite where logits are large.")
    slopes(answer, _slow_condition, probes, 0, sentence.format("logits"))
    slopes(answer, _slow_condition, probes, 1, sentence.format("prompts"))


def _overflows(answer) -> bool:
    (logits, prompts, tau_c), *_ = _condition_probes()
    return not all(np.isfinite(numbers(answer(logits + far, prompts, tau_c))).all() for far in (1000, -1000))


def _exponentials(logits, prompts, tau_c):
    p = torch.exp(logits / tau_c)
    return p / p.sum(1, keepdim=True) @ prompts


_CONDITION = Exercise(
    name="04.eq12",
    kind="implement",
    solution=condition,
    right="A mixture of prompts, weighted by what the classifier believes. Each picture's condition is its own "
    "business, and neither the numbering of the identities nor a constant in the logits matters.",
    hints=(
        "Two steps: probabilities p [B, N] first, then their mixture of prompts.",
        "The softmax runs over the identities, so that a picture's N probabilities add up to 1.",
        "(logits / tau_c).softmax(dim=1) @ prompts",
    ),
    mistakes=(
        Mistake(
            lambda logits, prompts, tau_c: (logits / tau_c).softmax(0) @ prompts,
            "Your softmax runs over the batch, the wrong axis: then probabilities of different pictures compete. The "
            "sum over k in Eq. 12 goes over identities, dim 1.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: (logits * tau_c).softmax(1) @ prompts,
            "tau_c is on the wrong side: you multiply. A high temperature must make p softer, so divide.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: logits.softmax(1) @ prompts / tau_c,
            "tau_c is outside of the softmax, where it only scales c. It belongs to the logits.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: logits.softmax(1) @ prompts,
            "tau_c is missing: that is the classifier's own softmax.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: prompts[logits.argmax(1)],
            "You take the prompt of the first guess only. The others are the dark knowledge, and argmax lets no "
            "gradient pass.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: (logits / tau_c) @ prompts,
            "The softmax is missing: logits are no probabilities, and may be below 0.",
        ),
        Mistake(
            lambda logits, prompts, tau_c: (logits / tau_c).softmax(1),
            "These are the probabilities, [B, N]. The condition is the mixture of prompts that they weigh, [B, D].",
        ),
        Mistake(
            _exponentials,
            "It is right as long as the logits are small: exp of a large one is infinite, and infinite over infinite "
            "is no number. Take each row's largest logit off first, or let softmax do so.",
            lambda answer: _overflows(answer),
        ),
        Mistake(
            lambda logits, prompts, tau_c: condition(logits.detach(), prompts, tau_c),
            "The value is right, and no gradient comes back to the logits: they are detached, or p is computed under "
            "no_grad or in NumPy. Then the diffusion model teaches the encoder nothing, which is all it is there for.",
            lambda answer: slope(answer, _condition_probes()[0], 0) is None,
        ),
        Mistake(
            lambda logits, prompts, tau_c: condition(logits, prompts.detach(), tau_c),
            "No gradient comes back to the prompts. They are parameters, too, and would stay what they were drawn as.",
            lambda answer: slope(answer, _condition_probes()[0], 1) is None,
        ),
    ),
    test=_test_condition,
    probes=_condition_probes,
)


# ---------------------------------------------------------------- the size of c


def size_of_condition(p):
    """Typical size of an entry of c for prompts from N(0, 1). p [B, N] -> [B]."""
    return p.square().sum(1).sqrt()


def _size_probes() -> list[tuple]:
    dice = torch.Generator().manual_seed(0)
    return [((s * torch.randn(5, 40, generator=dice)).softmax(1),) for s in (0.1, 1.0, 3.0)]


def _test_size(answer) -> None:
    for (p,) in _size_probes():
        prompts = torch.randn(p.shape[1], 20_000, generator=torch.Generator().manual_seed(1))
        measured = (p @ prompts).square().mean(1).sqrt()
        said = answer(p)
        need(np.shape(said) == (len(p),), f"one number per picture, [B]; got the shape {tuple(np.shape(said))}.")
        need(close(said, measured, 0.03), "mixing 20,000 random prompts gives another size.")


_SIZE = Exercise(
    name="04.size",
    kind="change",
    solution=size_of_condition,
    right="It is what 20,000 random prompts show. One-hot: 1. Uniform over N: 1 / sqrt(N). The softer p is, the more "
    "quietly the condition speaks to the U-Net.",
    hints=(
        "An entry of c is a sum of independent draws, each with variance 1, times p_j.",
        "Variances of independent terms add, and a factor p_j multiplies a variance by p_j squared.",
        "The size is the root of the variance.",
    ),
    mistakes=(
        Mistake(lambda p: p.square().sum(1), "That is the variance. The size of an entry is its root."),
        Mistake(lambda p: p.sum(1).sqrt(), "You add the p_j, which always gives 1. Variances take the factor squared."),
        Mistake(
            lambda p: torch.full((len(p),), p.shape[1] ** -0.5),
            "That is right for a uniform p only; a surer p gives a larger condition.",
        ),
        Mistake(lambda p: -(p * p.log()).sum(1), "That is the entropy. It rises as p gets softer; the size falls."),
    ),
    test=_test_size,
    probes=_size_probes,
)


# ---------------------------------------------------------------- the gradient


def gradient_at_z(z, W, prompts, tau_c, g):
    """dL/dz of the correlation-aware scheme. z [B, d], W [N, d], prompts [N, D], g = dL/dc [B, D] -> [B, d]."""
    p = (z @ W.T / tau_c).softmax(dim=1)
    help_of = g @ prompts.T  # e_j . g, [B, N]
    mean_help = (p * help_of).sum(1, keepdim=True)  # c . g
    return p * (help_of - mean_help) @ W / tau_c


def _gradient_probes() -> list[tuple]:
    made = []
    for seed, (B, N, d, D, tau_c) in enumerate([(3, 5, 4, 6, 0.7), (2, 6, 5, 3, 2.0)]):
        dice = torch.Generator().manual_seed(seed)
        shapes = (B, d), (N, d), (N, D), (B, D)
        z, W, E, g = (torch.randn(*shape, generator=dice, dtype=torch.float64) for shape in shapes)
        made.append((z, W, E, tau_c, g))
    return made


def _finite_differences(z, W, prompts, tau_c, g):
    """The slope of L = c . g along every entry of z, by moving it a little up and down."""
    found, step = torch.zeros_like(z), 1e-5
    for place in np.ndindex(*z.shape):
        up, down = z.clone(), z.clone()
        up[place], down[place] = up[place] + step, down[place] - step
        rise = ((condition(up @ W.T, prompts, tau_c) - condition(down @ W.T, prompts, tau_c)) * g).sum()
        found[place] = rise / (2 * step)
    return found


def _partly(rule):
    def answer(z, W, prompts, tau_c, g):
        p, help_of = (z @ W.T / tau_c).softmax(1), g @ prompts.T
        return rule(p, help_of, W, tau_c)

    return answer


_GRADIENT = Exercise(
    name="04.gradient",
    kind="implement",
    solution=gradient_at_z,
    right="It agrees with finite differences. Read it once more: a logit is pulled up in proportion to its probability "
    "and to how much more its prompt would have helped than the mixture did.",
    hints=(
        "Section 7 has it. First p [B, N], then e_j . g for all j at once: g @ prompts.T.",
        "c . g is the mean of the e_j . g under p.",
        "Sum over j of p_j (e_j . g - c . g) w_j is a matrix product with W; then 1 / tau_c.",
    ),
    mistakes=(
        Mistake(
            _partly(lambda p, h, W, t: p * (h - (p * h).sum(1, keepdim=True)) @ W),
            "The factor 1 / tau_c is missing: the logits are divided by tau_c, so the slope is, too.",
        ),
        Mistake(
            _partly(lambda p, h, W, t: (p * h) @ W / t),
            "c . g is missing. Probabilities add up to 1, so raising one lowers the others: only what is better than "
            "the mixture is pulled up.",
        ),
        Mistake(
            _partly(lambda p, h, W, t: (h - (p * h).sum(1, keepdim=True)) @ W / t),
            "The factor p_j is missing: an identity that was out of the question is not pulled at.",
        ),
        Mistake(
            _partly(lambda p, h, W, t: t * (p * (h - (p * h).sum(1, keepdim=True)) @ W)),
            "tau_c is on the wrong side: a high temperature flattens the slope, so divide by it.",
        ),
        Mistake(
            _partly(lambda p, h, W, t: -(p * (h - (p * h).sum(1, keepdim=True)) @ W) / t),
            "The sign is turned round: this is the direction of descent, and the gradient was asked for.",
        ),
    ),
    test=lambda answer: follows(
        answer, _finite_differences, _gradient_probes(), "it differs from finite differences: move z a little and see."
    ),
    probes=_gradient_probes,
)


EXERCISES = (_CONDITION, _SIZE, _GRADIENT)
