"""Exercises of notebook B1: the rates of its schedule, how new a person is, how much was read, and a strange rank-1."""

import torch

from .exercise import Exercise, Mistake, Prediction, close, follows, need

PREDICTIONS = (
    Prediction(
        name="B1.noise",
        asks="The judge names people from photographs. And from the noises alone that Img2Noise read?",
        options=("nobody beyond chance", "fewer", "as many"),
        right="as many",
        why="Nothing in the losses forbids the noise to carry the person. The division of labour, identity in the "
        "vector and the rest in the noise, is an intention. (In the lite run; a smoke run has learned nothing.)",
    ),
    Prediction(
        name="B1.code-r1",
        asks='Which network has the highest "rank-1" of the published code?',
        options=("a classifier on real pictures", "Img2ID, taught by generated people", "one that was not trained"),
        right="one that was not trained",
        why="It seldom finds anybody among the first 25, and finding nobody counts as 1.",
    ),
)


def _dice(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- the schedule


def signal_and_noise(t):
    """s(t) and n(t) of section 2, (signal, noise), for times t [B] in [0, 1]."""
    start, end = torch.acos(torch.tensor([0.95, 0.02], dtype=t.dtype))
    angle = start + t * (end - start)
    return torch.cos(angle), torch.sin(angle)


def _rates_probes() -> list[tuple]:
    return [(torch.linspace(0, 1, 7, dtype=torch.float64),), (torch.rand(5, generator=_dice(1), dtype=torch.float64),)]


def _test_rates(answer) -> None:
    times = torch.linspace(0, 1, 101, dtype=torch.float64)
    signal, noise = answer(times)
    need(close(signal**2 + noise**2, torch.ones_like(times)), "the squares of the two rates do not add up to 1.")
    ends = torch.tensor([0.95, 0.02], dtype=signal.dtype)
    need(close(signal[[0, -1]], ends), "the signal rate is not 0.95 at t = 0 and 0.02 at t = 1.")
    turned = torch.atan2(noise, signal).diff()
    need(close(turned, turned.mean().expand_as(turned)), "the angle does not grow in a straight line.")


_RATES = Exercise(
    name="B1.rates",
    kind="implement",
    solution=signal_and_noise,
    right="Ends as in the published code, squares that add up to 1, and an angle that grows in a straight line. So the "
    "network never sees a clean picture, and nobody divides by zero.",
    hints=(
        "A cosine and a sine of one angle have squares that add up to 1, whatever the angle is.",
        "Which angle has the cosine 0.95, and which 0.02? torch.acos says it.",
        "angle = start + t * (end - start), and then its cosine and its sine.",
    ),
    mistakes=(
        Mistake(
            lambda t: (torch.cos(t * torch.pi / 2), torch.sin(t * torch.pi / 2)),
            "Your angle goes from 0 to a right one: at t = 0 the picture is clean, at t = 1 nothing is left of it, and "
            "who computes the picture back divides by zero. The ends are 0.95 and 0.02.",
        ),
        Mistake(
            lambda t: (0.95 - 0.93 * t, (1 - (0.95 - 0.93 * t) ** 2).sqrt()),
            "The signal rate itself falls in a straight line here. It is the angle that does.",
        ),
        Mistake(
            lambda t: (signal_and_noise(t)[0], 1 - signal_and_noise(t)[0]),
            "The two rates themselves add up to 1 here. Variances add, so it is their squares that must.",
        ),
        Mistake(lambda t: signal_and_noise(t)[::-1], "Signal and noise have changed places: the signal comes first."),
    ),
    test=_test_rates,
    probes=_rates_probes,
)

# ---------------------------------------------------------------- invented people


def how_new(invented, real):
    """Nearness of section 4. invented [N, d] and real [M, d] cards -> a number; 0: learned by heart, about 1: new."""
    among = torch.cdist(real, real).fill_diagonal_(torch.inf)
    return torch.cdist(invented, real).min(1).values.median() / among.min(1).values.median()


def _new_probes() -> list[tuple]:
    return [
        (torch.randn(11, 5, generator=_dice(k)), 2 * torch.randn(8 + k, 5, generator=_dice(k + 9))) for k in range(3)
    ]


def _slowly(invented, real):
    def nearest(card, others):
        return min(float(((card - other) ** 2).sum() ** 0.5) for other in others)

    to_real = torch.tensor([nearest(card, real) for card in invented])
    among = [nearest(card, [*real[:k], *real[k + 1 :]]) for k, card in enumerate(real)]
    return to_real.median() / torch.tensor(among).median()


def _test_new(answer) -> None:
    real = torch.randn(300, 6, generator=_dice(0))
    need(abs(float(answer(real[:50], real))) < 1e-3, "copies of real cards are not at 0.")
    fresh = torch.randn(300, 6, generator=_dice(1))
    need(abs(float(answer(fresh, real)) - 1) < 0.15, "people drawn like the real ones are not near 1.")
    need(close(answer(3 * fresh, 3 * real), answer(fresh, real), 1e-3), "another unit of length changes the number.")
    follows(answer, _slowly, _new_probes(), "it differs from a slow walk through all pairs.")


def _with_the_diagonal(invented, real):
    return torch.cdist(invented, real).min(1).values.median() / torch.cdist(real, real).min(1).values.median()


def _real_to_invented(invented, real):
    among = torch.cdist(real, real).fill_diagonal_(torch.inf)
    return torch.cdist(real, invented).min(1).values.median() / among.min(1).values.median()


_NEW = Exercise(
    name="B1.new",
    kind="implement",
    solution=how_new,
    right="Copies are at 0, people drawn from the same distribution near 1, and the unit of length does not matter.",
    hints=(
        "torch.cdist gives all distances; the nearest real card is the minimum of a row.",
        "For the real cards among themselves the nearest of all is the card itself: leave it out.",
        "Median of the one over median of the other.",
    ),
    mistakes=(
        Mistake(
            _with_the_diagonal,
            "You divide by zero: among the real cards the nearest one is the card itself. Leave the diagonal out.",
            sign=lambda answer: bool(torch.isinf(torch.as_tensor(answer(*_new_probes()[0])))),
        ),
        Mistake(
            lambda v, real: torch.cdist(v, real).min(1).values.median() / torch.pdist(real).median(),
            "Below the line stands the distance of any two real people, not that of the nearest ones. New people would "
            "then seem to be copies.",
        ),
        Mistake(
            _real_to_invented,
            "You ask for the invented card nearest to each real one. That says whether all real people are covered; a "
            "single invented stranger in a crowd of copies would not be seen.",
        ),
        Mistake(
            lambda v, real: torch.cdist(v, real).min(1).values.median(),
            "A distance alone says nothing: is 2.3 near or far? Divide by how far real people lie from each other.",
        ),
        Mistake(lambda v, real: how_new(v, real) ** 2, "These are squared distances; take the root before the ratio."),
    ),
    test=_test_new,
    probes=_new_probes,
)

# ---------------------------------------------------------------- reading


def share_read(read, true):
    """Percent of the variance of the true cards [N, d] that was read; negative where their mean is a better answer."""
    return 100 * (1 - (read - true).square().mean() / (true - true.mean(0)).square().mean())


def _read_probes() -> list[tuple]:
    cards = [torch.randn(40, 4, generator=_dice(k)) * torch.tensor([0.1, 1.0, 2.0, 4.0]) + 3 for k in range(3)]
    return [(0.6 * c + torch.randn(c.shape, generator=_dice(k + 5)), c) for k, c in enumerate(cards)]


def _sums(read, true):
    missed = sum(float((read[k, j] - true[k, j]) ** 2) for k in range(len(true)) for j in range(true.shape[1]))
    there = sum(float((true[k, j] - true[:, j].mean()) ** 2) for k in range(len(true)) for j in range(true.shape[1]))
    return torch.tensor(100 * (1 - missed / there))


def _test_read(answer) -> None:
    (read, true), *_ = _read_probes()
    need(close(answer(true.clone(), true), 100.0), "who reads every card has not 100.")
    need(close(answer(true.mean(0).expand_as(true), true), 0.0, 1e-3), "who always says the mean card has not 0.")
    need(float(answer(-read, true)) < 0, "who reads worse than the mean card has not a negative number.")
    follows(answer, _sums, _read_probes(), "it differs from the sums, card by card and number by number.")


_READ = Exercise(
    name="B1.read",
    kind="implement",
    solution=share_read,
    right="100 for who reads all, 0 for who always says the mean card, and negative for worse than that.",
    hints=(
        "Two mean squares: what was missed, and what there was to read.",
        "What there was to read is the spread of the true cards around their mean.",
        "100 * (1 - missed / there)",
    ),
    mistakes=(
        Mistake(
            lambda read, true: 100 * (1 - (read - true).square().mean() / true.square().mean()),
            "You compare with the answer zero, not with the mean card. Where the mean is far from zero, who knows "
            "nothing but the mean would seem to read nearly all.",
        ),
        Mistake(
            lambda read, true: 100 * torch.corrcoef(torch.stack([read.flatten(), true.flatten()]))[0, 1] ** 2,
            "A squared correlation forgives a wrong scale and a wrong offset, and is never negative. The drawing "
            "would be of somebody else all the same.",
        ),
        Mistake(
            lambda read, true: 100 * (1 - (read - true).square().mean() / (read - read.mean(0)).square().mean()),
            "Below the line stands the spread of what was read. A network that shouts would do well.",
        ),
        Mistake(
            lambda read, true: 100 * (1 - (read - true).square().mean(0) / true.var(0, correction=0)).mean(),
            "You take the share for each of the numbers on the card and then the mean: a number that hardly differs "
            "from person to person counts as much as one that tells them apart.",
        ),
        Mistake(lambda read, true: share_read(read, true) / 100, "That is the share; asked is percent."),
    ),
    test=_test_read,
    probes=_read_probes,
)

# ---------------------------------------------------------------- a strange rank-1


def code_rank1(hits):
    """The published code's "rank-1" in percent. hits bool [Q, 25]: is the picture in this place the right person?"""
    found = hits.float().sum(1)
    return 100 * torch.where(found > 0, hits[:, 0].float() / found.clamp(min=1), torch.ones_like(found)).mean()


def _hits_probes() -> list[tuple]:
    return [(torch.rand(9, 25, generator=_dice(k)) < share,) for k, share in enumerate((0.03, 0.1, 0.4))]


def _counted(hits):
    marks = []
    for row in hits.tolist():
        marks.append(row[0] / sum(row) if any(row) else 1)
    return torch.tensor(100 * sum(marks) / len(marks))


def _test_code_rank1(answer) -> None:
    first, nobody = torch.zeros(4, 25, dtype=torch.bool), torch.zeros(4, 25, dtype=torch.bool)
    first[:, :2] = True
    need(close(answer(first), 50.0), "one of two hits in first place is not 50.")
    need(close(answer(nobody), 100.0), "finding nobody among the first 25 is not 100, which it is in that code.")
    follows(answer, _counted, _hits_probes(), "it differs from counting query by query.")


_CODE_RANK1 = Exercise(
    name="B1.code-r1",
    kind="implement",
    solution=code_rank1,
    right="As in the published code. The more right pictures among the first 25, the lower this number gets, and it is "
    "100 for who finds nobody: it is no measure of finding people.",
    hints=(
        "For each query: hits in first place (0 or 1), over hits among the first 25.",
        "Where there is no hit at all, that code answers 1.",
        "Average over the queries, not over the hits.",
    ),
    mistakes=(
        Mistake(
            lambda hits: 100 * hits[:, 0].float().mean(),
            "That is the usual rank-1, and what the paper's readers will take the number for. The code divides by the "
            "hits among the first 25.",
        ),
        Mistake(
            lambda hits: 100 * (hits[:, 0].float() / hits.float().sum(1).clamp(min=1)).mean(),
            "Finding nobody is 0 here, as it should be. In that code it is 1.",
        ),
        Mistake(
            lambda hits: 100 * hits[:, 0].float().sum() / hits.float().sum(),
            "You pool the hits of all queries. The code takes the mean over queries, those without a hit included.",
        ),
        Mistake(
            lambda hits: code_rank1(hits) / 100, "That is a share, between 0 and 1; the code's number is in percent."
        ),
    ),
    test=_test_code_rank1,
    probes=_hits_probes,
)

EXERCISES = (_RATES, _NEW, _READ, _CODE_RANK1)
