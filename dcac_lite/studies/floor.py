"""What a comparison shows where there is nothing to see: the baseline against itself (an A/A comparison).

Two halves of one line's seeds are the same experiment, with other first weights and other batches. What their means
differ by is the floor; the part that the two runs of a pair share does not enter a paired difference."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import sqrt

import numpy as np

from .gather import values
from .statistics import smallest_effect
from .tables import DOMAINS

LEAST = 4  # seeds that can be halved and compared


def halves(found: Sequence[float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every way to halve `found`, each once; of an odd number the last is left out."""
    even = np.asarray(found, float)[: len(found) // 2 * 2]
    places = range(1, len(even))
    for others in combinations(places, len(even) // 2):  # the first value is in the other half, so no way comes twice
        there = np.isin(np.arange(len(even)), others)
        yield even[~there], even[there]


def against_itself(known):
    """The floor of every source that has a baseline of at least four seeds in `known` (`studies.gather.measurements`),
    in the mean mAP of its unseen targets. A DataFrame: `source`, `seeds`, `between_seeds` (standard deviation of the
    baseline over seeds), `between_pairs` (that of the difference of another line to the baseline of the same seed: the
    root mean square over the lines), `sees_pairs` and `sees_strangers` (what so many pairs find with a power of 80 %,
    if their runs share a seed, and if they do not), `differences` (of the means of all `halves`, a list) and
    `told_apart` (how many of those a two-sided t test at 5 % takes for real)."""
    import pandas as pd
    from scipy import stats

    rows = []
    for source in DOMAINS:
        unseen = [target for target in DOMAINS if target != source]
        names = [name for name in known["name"].unique() if name.startswith(f"{source}-")]
        lines = {name: _mean(known, name, unseen) for name in names}
        baseline = lines.pop(f"{source}-baseline", pd.Series(dtype=float))
        if len(baseline) < LEAST:
            continue
        scatter = pd.Series([(line - baseline).var() for line in lines.values()], dtype=float)
        between_seeds, between_pairs = float(baseline.std()), sqrt(scatter.mean())
        split = list(halves(list(baseline)))
        rows.append(
            {
                "source": source,
                "seeds": len(baseline),
                "between_seeds": between_seeds,
                "between_pairs": between_pairs,
                "sees_pairs": smallest_effect(between_pairs, len(baseline)),
                "sees_strangers": smallest_effect(sqrt(2) * between_seeds, len(baseline)),
                "differences": [float(one.mean() - other.mean()) for one, other in split],
                "told_apart": sum(stats.ttest_ind(one, other)[1] < 0.05 for one, other in split),
            }
        )
    return pd.DataFrame(rows)


def _mean(known, name: str, targets: Sequence[str]):
    """mAP by seed, a Series: the mean over `targets`, of the seeds that have all of them."""
    import pandas as pd

    return pd.DataFrame({target: values(known, name, target, "mAP") for target in targets}).dropna().mean(axis=1)
