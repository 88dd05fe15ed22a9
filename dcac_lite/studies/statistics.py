"""How sure a number is: t intervals over seeds, pairs, equivalence, and many comparisons at once.

A seed is the unit: two methods of one seed share their first weights and their batches, so they make a pair."""

from collections.abc import Sequence

#: What two runs share that make a pair: batches and first weights, and how they round.
PAIR = ["seed", "precision"]


def interval(values: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """Mean of `values` and its t interval: {"mean", "low", "high", "n"}. Without two values there is no interval,
    and without one no mean: they are NaN then."""
    import numpy as np
    from scipy import stats

    values = np.asarray(values, float)
    nan = float("nan")
    if len(values) < 2:
        return {"mean": float(values[0]) if len(values) else nan, "low": nan, "high": nan, "n": len(values)}
    reach = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    mean = float(values.mean())
    return {"mean": mean, "low": float(mean - reach), "high": float(mean + reach), "n": len(values)}


def paired_interval(values: Sequence[float], reference: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """Mean of the differences `values - reference`, paired by position, and its t interval:
    {"mean", "low", "high", "n"}. Needs at least two pairs."""
    import numpy as np

    difference = np.asarray(values, float) - np.asarray(reference, float)
    if len(difference) < 2:
        raise ValueError(f"{len(difference)} pair gives no interval; at least 2 seeds are needed.")
    return interval(difference, confidence)


def probability(differences: Sequence[float]) -> float:
    """p of the two-sided t test that paired differences have mean 0; NaN for fewer than two."""
    import numpy as np
    from scipy import stats

    differences = np.asarray(differences, float)
    if len(differences) < 2:
        return float("nan")
    spread = stats.sem(differences)
    if spread == 0:  # equal differences leave no doubt, and the test would divide by zero
        return 1.0 if differences[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean() / spread), len(differences) - 1))


def holm(probabilities: Sequence[float]) -> list[float]:
    """p values after Holm's correction for their number, in the same order; NaN are not counted and stay."""
    counted = sorted((p, k) for k, p in enumerate(probabilities) if p == p)
    corrected, largest = list(map(float, probabilities)), 0.0
    for place, (p, k) in enumerate(counted):
        largest = max(largest, min(1.0, p * (len(counted) - place)))  # never less than a smaller p's
        corrected[k] = largest
    return corrected


def equivalence(differences: Sequence[float], margin: float) -> float:
    """p of two one-sided t tests (TOST) that the mean of paired differences lies within `margin` of zero, on either
    side; small means "no difference that matters". NaN for fewer than two."""
    import numpy as np
    from scipy import stats

    differences = np.asarray(differences, float)
    if len(differences) < 2:
        return float("nan")
    spread, mean = stats.sem(differences), differences.mean()
    if spread == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(stats.t.sf((margin - abs(mean)) / spread, len(differences) - 1))


def smallest_effect(spread: float, pairs: int, power: float = 0.8, level: float = 0.05) -> float:
    """The difference that `pairs` pairs with standard deviation `spread` find in `power` of all cases, by a two-sided
    t test at `level`. NaN for fewer than two pairs."""
    from scipy import optimize, stats

    if pairs < 2 or spread != spread:
        return float("nan")
    if spread == 0:
        return 0.0
    limit = stats.t.ppf(1 - level / 2, pairs - 1)

    def lacking(effect: float) -> float:
        # to find it on the wrong side is too rare to count
        return stats.nct.sf(limit, pairs - 1, effect * pairs**0.5) - power

    return float(spread * optimize.brentq(lacking, 1e-6, 3 * limit))


def smallest_paired_effect(values: Sequence[float], reference: Sequence[float], power: float = 0.8) -> float:
    """`smallest_effect` of as many pairs that scatter as these do, in the unit of the values. Needs at least two."""
    import numpy as np

    difference = np.asarray(values, float) - np.asarray(reference, float)
    if len(difference) < 2:
        raise ValueError(f"{len(difference)} pair has no scatter; at least 2 seeds are needed.")
    return smallest_effect(float(difference.std(ddof=1)), len(difference), power)
