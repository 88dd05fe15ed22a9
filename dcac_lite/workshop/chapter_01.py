"""Exercises of notebook 01: latents, Eq. 4, and the way back from noise to a picture."""

import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need

PREDICTIONS = (
    Prediction(
        name="01.error",
        asks="More noise is added (t grows). What happens to the network's error in naming that noise?",
        options=("it grows", "it falls", "it stays"),
        right="it falls",
        why="When nearly all of a sample is noise, reading the noise off it is easy. The hard part is at small t, "
        "where a little noise hides among the fine detail of the picture.",
    ),
)


def _probes(*shapes: tuple, seeds: int = 3) -> list[tuple]:
    """Random tensors, one set a seed, in float64."""
    dice = (torch.Generator().manual_seed(seed) for seed in range(seeds))
    return [tuple(torch.randn(*shape, generator=d, dtype=torch.float64) for shape in shapes) for d in dice]


_ABAR = ((0.9, 0.97), (0.5, 0.6), (0.05, 0.2))  # at t and at an earlier s, as in a schedule

# ---------------------------------------------------------------- a latent


def latent(mean, logvar, eta, scaling):
    """x_0 of section 2. mean, logvar and eta of one shape; scaling a number."""
    return scaling * (mean + torch.exp(logvar / 2) * eta)


def _latent_probes() -> list[tuple]:
    return [(m, 0.5 * v - 1, e, s) for (m, v, e), s in zip(_probes(*[(2, 4, 3, 3)] * 3), (0.18, 1.3, 0.7))]


def _test_latent(answer) -> None:
    (mean, logvar, _, scaling), *_ = _latent_probes()
    draws = torch.randn(4000, *mean.shape[1:], generator=torch.Generator().manual_seed(5), dtype=mean.dtype)
    drawn = answer(mean[:1].expand_as(draws), logvar[:1].expand_as(draws), draws, scaling)
    need(close(drawn.mean(0), scaling * mean[0], 0.05), "the mean of many draws is not the scaled posterior mean.")
    need(close(drawn.std(0), scaling * (logvar[0] / 2).exp(), 0.05), "the spread of many draws is not sigma, scaled.")
    follows(answer, lambda m, v, e, s: s * m + s * v.exp().sqrt() * e, _latent_probes(), "it differs from section 2.")


_LATENT = Exercise(
    name="01.latent",
    kind="implement",
    solution=latent,
    right="Four thousand of your draws have the posterior's mean and spread, both scaled. DCAC draws afresh in every "
    "step; only mean and log-variance are stored.",
    hints=(
        "The VAE gives the logarithm of the variance; sigma is the root of the variance.",
        "exp(logvar / 2) is sigma. A draw is mean + sigma * eta.",
        "The scaling factor multiplies the whole draw.",
    ),
    mistakes=(
        Mistake(
            lambda m, v, e, s: s * m,
            "That is the mode of the posterior, not a sample: eta is not in it. The official code never uses the mean "
            "alone.",
        ),
        Mistake(lambda m, v, e, s: s * (m + v.exp() * e), "exp(logvar) is the variance; the draw needs its root."),
        Mistake(lambda m, v, e, s: s * (m + v * e), "You multiply by the log-variance itself, which may be negative."),
        Mistake(
            lambda m, v, e, s: s * m + (v / 2).exp() * e,
            "Only the mean is scaled. The factor belongs to the whole latent, noise of the posterior included.",
        ),
        Mistake(
            lambda m, v, e, s: (m + (v / 2).exp() * e) / s,
            "You divide by the scaling factor. That is the way back, before the VAE decodes.",
        ),
        Mistake(lambda m, v, e, s: m + (v / 2).exp() * e, "The scaling factor is missing."),
    ),
    test=_test_latent,
    probes=_latent_probes,
)

# ---------------------------------------------------------------- Eq. 4


def noised(x0, eps, abar_t):
    """Eq. 4: the clean latent x0 after t steps of noise. abar_t: the number alpha-bar at t."""
    return abar_t**0.5 * x0 + (1 - abar_t) ** 0.5 * eps


def _noised_probes() -> list[tuple]:
    return [(x, e, abar) for (x, e), (abar, _) in zip(_probes((2, 4, 3, 3), (2, 4, 3, 3)), _ABAR)]


def _chain(x0, eps, abar_t):
    """Three small steps with the same end; their noises are shares of eps that add up to it."""
    alpha, signal, noise = abar_t ** (1 / 3), 1.0, 0.0
    for _ in range(3):
        signal, noise = alpha**0.5 * signal, alpha * noise + 1 - alpha
    return signal * x0 + noise**0.5 * eps


def _test_noised(answer) -> None:
    many = torch.randn(2, 50_000, generator=torch.Generator().manual_seed(0))
    for abar in (0.9, 0.5, 0.1):
        need(abs(float(answer(*many, abar).var()) - 1) < 0.03, "the variance of x_t is not 1 where that of x_0 is.")
    follows(answer, _chain, _noised_probes(), "it differs from a chain of small steps with the same alpha-bar.")


_NOISED = Exercise(
    name="01.noised",
    kind="implement",
    solution=noised,
    right="One jump equals a chain of small steps, and the variance stays at 1: the squared coefficients add up to it.",
    hints=(
        "Two terms: what is left of the sample, and the noise.",
        "alpha-bar and 1 - alpha-bar are shares of the variance; the coefficients are their roots.",
    ),
    mistakes=(
        Mistake(
            lambda x, e, a: a * x + (1 - a) * e,
            "The roots are missing: alpha-bar and 1 - alpha-bar are shares of the variance, and your variance falls.",
        ),
        Mistake(
            lambda x, e, a: (1 - a) ** 0.5 * x + a**0.5 * e,
            "Sample and noise have changed places: alpha-bar near 1 means nearly clean.",
        ),
        Mistake(lambda x, e, a: x + (1 - a) ** 0.5 * e, "The sample is not shrunk, so the variance grows above 1."),
        Mistake(lambda x, e, a: a**0.5 * x + (1 - a) * e, "The root of the second share is missing."),
    ),
    test=_test_noised,
    probes=_noised_probes,
)

# ---------------------------------------------------------------- one step of DDIM


def ddim_step(x_t, eps, abar_t, abar_s):
    """From x_t to the lower noise level s, with the predicted noise eps."""
    x0 = (x_t - (1 - abar_t) ** 0.5 * eps) / abar_t**0.5
    return abar_s**0.5 * x0 + (1 - abar_s) ** 0.5 * eps


def _ddim_probes() -> list[tuple]:
    return [(x, e, *abar) for (x, e), abar in zip(_probes((2, 4, 3, 3), (2, 4, 3, 3)), _ABAR)]


def _test_ddim(answer) -> None:
    for x0, eps, abar_t, abar_s in _ddim_probes():
        x_t, x_s = noised(x0, eps, abar_t), noised(x0, eps, abar_s)
        need(close(answer(x_t, eps, abar_t, abar_t), x_t), "a step to the same level should change nothing.")
        need(close(answer(x_t, eps, abar_t, 1.0), x0), "a step to alpha-bar = 1 should give the clean latent.")
        need(close(answer(x_t, eps, abar_t, abar_s), x_s), "with the true noise it should land on Eq. 4 at s.")


_DDIM = Exercise(
    name="01.ddim",
    kind="implement",
    solution=ddim_step,
    right="With the true noise your step lands where Eq. 4 is at s, and a step to alpha-bar = 1 gives the clean "
    "latent.",
    hints=(
        "First the clean latent that x_t points to: solve Eq. 4 for x_0.",
        "Then Eq. 4 once more, with alpha-bar at s and the same eps.",
    ),
    mistakes=(
        Mistake(
            lambda x, e, t, s: s**0.5 * (x - (1 - t) ** 0.5 * e) + (1 - s) ** 0.5 * e,
            "x_0 is not divided by the root of alpha-bar at t: what is left of the sample in x_t is smaller than x_0.",
        ),
        Mistake(
            lambda x, e, t, s: s**0.5 * (x - (1 - t) ** 0.5 * e) / t**0.5 + (1 - t) ** 0.5 * e,
            "You add the noise of level t again, not that of the lower level s.",
        ),
        Mistake(
            lambda x, e, t, s: (x - (1 - t) ** 0.5 * e) / t**0.5,
            "That is the whole way to the clean latent in one jump. A step goes to level s: noise is added back.",
        ),
        Mistake(
            lambda x, e, t, s: t**0.5 * (x - (1 - s) ** 0.5 * e) / s**0.5 + (1 - t) ** 0.5 * e,
            "t and s have changed places: this adds noise.",
        ),
    ),
    test=_test_ddim,
    probes=_ddim_probes,
)

# ---------------------------------------------------------------- "Try it" of the notebook


def _first_noisy(betas) -> int:
    abar = torch.cumprod(1 - betas, 0)
    return int((abar / (1 - abar) < 1).nonzero()[0, 0])


def _crossings() -> tuple[int, int]:
    ends = 0.00085, 0.012
    used = torch.linspace(ends[0] ** 0.5, ends[1] ** 0.5, 1000) ** 2
    return _first_noisy(used), _first_noisy(torch.linspace(*ends, 1000))


def _test_crossing(answer) -> None:
    used, linear = (float(x) for x in answer)
    need(linear < used, "the truly linear schedule adds more noise early, so it crosses first.")
    need(close((used, linear), _crossings(), 1e-6), "the SNR is alpha-bar over 1 - alpha-bar: below 1 where it is 0.5.")


_CROSSING = Exercise(
    name="01.1",
    kind="change",
    solution=_crossings(),
    in_notebook='(int(crossing["scaled_linear (used)"]), int(crossing["linear"]))',
    right="The SNR is 1 where alpha-bar is a half. The truly linear schedule crosses much earlier and spends more of "
    "its timesteps on nearly hopeless pictures.",
    hints=(
        "`curves` has a row for each schedule and timestep, with its snr.",
        "Take the smallest t of each schedule among the rows with snr below 1.",
        "Hand in (the schedule in use, the linear one).",
    ),
    mistakes=(
        Mistake(_crossings()[::-1], "The schedule in use first, then the linear one: yours have changed places."),
        Mistake(
            tuple(t + 1 for t in _crossings()),
            "You count from 1, as the paper does. Code counts timesteps from 0, and the library is asked in its way.",
        ),
        Mistake(
            tuple(t - 1 for t in _crossings()),
            "These are the last timesteps with an SNR above 1. The first below was asked for.",
        ),
    ),
    test=_test_crossing,
)


def _test_one_word(answer) -> None:
    right, one, shuffled = (float(x) for x in answer)
    need(0 < min(answer) and max(answer) < 2, "an error of Eq. 3 lies between 0 and about 1.")
    need(len({right, one, shuffled}) == 3, "two of the three are equal: were the captions really different?")
    need(right < shuffled, "a stranger's caption should cost something at t = 700.")
    need(right < one, "a wrong colour should cost something at t = 700.")
    need(one < shuffled, "one wrong word should cost less than a wholly wrong caption.")


_ONE_WORD = Exercise(
    name="01.2",
    kind="change",
    solution=(0.0401, 0.0452, 0.0538),
    in_notebook='(at["right"], at["one wrong colour"], at["shuffled"])',
    right="The damage of one word over that of a wholly wrong caption is how much of what the caption says is in it.",
    hints=(
        "Replace ' red ' by another colour in each caption, once; samples[k].appearance.top.colour says which one.",
        "errors_at(700, embed(new_captions)).mean() is the error.",
        "Hand in three errors at t = 700: right, one wrong colour, shuffled.",
    ),
    mistakes=(
        Mistake((0.0452, 0.0401, 0.0538), "Your wrong colour costs less than the right caption: is the order right, "
                "wrong colour, shuffled?", lambda answer: answer[1] < answer[0] < answer[2]),
        Mistake((0.0401, 0.0401, 0.0538), "The first two are equal, so no caption has changed. Mind the blanks around "
                "the word.", lambda answer: answer[0] == answer[1]),
        Mistake((4.37, 4.52, 5.38), "These are no mean squared errors of noise with variance 1; percent, perhaps?",
                lambda answer: min(answer) >= 1.5),
    ),
    test=_test_one_word,
)  # fmt: skip


def ddpm_step(x_t, eps, eta, abar_t, abar_before, beta_t):
    """x_{t-1} of the sampler with dice: eps the predicted noise, eta a fresh draw."""
    mean = (x_t - beta_t / (1 - abar_t) ** 0.5 * eps) / (1 - beta_t) ** 0.5
    variance = (1 - abar_before) / (1 - abar_t) * beta_t
    return mean + variance**0.5 * eta


def _ddpm_probes() -> list[tuple]:
    made = []
    for drawn, (abar_t, before) in zip(_probes(*[(2, 4, 3, 3)] * 3), _ABAR):
        made.append((*drawn, abar_t, before, 1 - abar_t / before))
    return made


def _posterior(x_t, eps, eta, abar_t, before, beta_t):
    """The same in its other form: the posterior of x_{t-1}, given x_t and the x_0 that eps points to."""
    x0 = (x_t - (1 - abar_t) ** 0.5 * eps) / abar_t**0.5
    mean = (before**0.5 * beta_t * x0 + (1 - beta_t) ** 0.5 * (1 - before) * x_t) / (1 - abar_t)
    return mean + ((1 - before) / (1 - abar_t) * beta_t) ** 0.5 * eta


_DDPM = Exercise(
    name="01.3",
    kind="implement",
    solution=ddpm_step,
    right="It equals the posterior of x_{t-1} given x_t and the clean latent that eps points to. DDIM is the same walk "
    "without the dice.",
    hints=(
        "alpha_t is 1 - beta_t; alpha-bar before is that of t - 1.",
        "The dice have the variance (1 - abar_before) / (1 - abar_t) * beta_t; eta is multiplied by its root.",
    ),
    mistakes=(
        Mistake(
            lambda x, e, n, t, b, beta: (x - beta / (1 - t) ** 0.5 * e) / (1 - beta) ** 0.5
            + (1 - b) / (1 - t) * beta * n,
            "The dice are multiplied by their variance; it must be the root of it.",
        ),
        Mistake(
            lambda x, e, n, t, b, beta: (x - beta / (1 - t) ** 0.5 * e) / (1 - beta) ** 0.5,
            "The dice are missing: eta is not in your step.",
        ),
        Mistake(
            lambda x, e, n, t, b, beta: (x - (1 - t) ** 0.5 * e) / t**0.5 + ((1 - b) / (1 - t) * beta) ** 0.5 * n,
            "Your first term is the clean latent, the whole way in one jump, and not one step.",
        ),
        Mistake(
            lambda x, e, n, t, b, beta: (x - beta / (1 - t) ** 0.5 * e) / t**0.5
            + ((1 - b) / (1 - t) * beta) ** 0.5 * n,
            "You divide by the root of alpha-bar. One step undoes one alpha_t = 1 - beta_t only.",
        ),
    ),
    test=lambda answer: follows(
        answer, _posterior, _ddpm_probes(), "it differs from the posterior of x_{t-1} given x_t and x_0."
    ),
    probes=_ddpm_probes,
)  # fmt: skip

EXERCISES = (_LATENT, _NOISED, _DDIM, _CROSSING, _ONE_WORD, _DDPM)
