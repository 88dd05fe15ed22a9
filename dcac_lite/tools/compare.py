"""`python -m dcac_lite compare RUN`: does a run made again agree with the shipped table of many seeds?

A run agrees where its number lies in the 95 % prediction interval of one more run, mean +- t s sqrt(1 + 1/n)
over the table's n seeds of the same settings. What differs in where, in which arithmetic and with which code both were
made stands below: whether a machine computes in bfloat16 or float32 is the machine's, and moves a result less than
another seed does."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from ..experiment import Experiment
from ..paths import figures_root, runs_root
from ..studies.study import experiment_of
from .same import same_keys

#: Of both a run and a row of a table: what may explain a difference.
FACTS = ("precision", "torch", "threads", "code_key", "commit")


def prediction_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Where one more value falls with this probability, if it is drawn as `values` were, from one normal
    distribution. Raises ValueError for fewer than two values."""
    import numpy as np
    from scipy import stats

    n = len(values)
    if n < 2:
        raise ValueError(f"{n} seed gives no interval; at least 2 are needed.")
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def matching(experiment: Experiment, table):
    """The rows of a results table whose experiment is `experiment`, whatever the seed and the precision. What the
    table does not state is taken to be the tier's own value.

    Raises ValueError if there are none, naming what differs from the nearest rows."""
    free = {"seed": 0, "precision": "no"}
    names = [field.name for field in fields(Experiment) if field.name in table.columns and field.name not in free]
    found, nearest = [], {}
    wanted = asdict(replace(experiment, **free).resolved())
    for _, rows in table.groupby(names, sort=False, dropna=False):
        had = asdict(replace(experiment_of(rows.iloc[0]), **free))
        differing = {name: (wanted[name], had[name]) for name in wanted if wanted[name] != had[name]}
        if not differing:
            found.append(rows)
        elif not nearest or len(differing) < len(nearest):
            nearest = differing
    if not found:
        words = ", ".join(f"{name} {ours} here and {theirs} there" for name, (ours, theirs) in nearest.items())
        raise ValueError(f"nothing in the table matches this run; the nearest rows differ in {words}.")
    import pandas as pd

    return pd.concat(found)


def compare(run, table, metric: str = "mAP"):
    """A finished `Run` against a results table: a DataFrame with one row per target that the table has of this
    run's settings: number of seeds, `low` and `high` of the interval, the run's number, and the verdict.

    Measures the run on these targets, unless that was done before. Raises ValueError if nothing matches."""
    import pandas as pd

    rows = matching(run.experiment, table)
    measured = run.evaluate(*rows["target"].unique()).set_index("target")[metric]
    cells = []
    for target, of_target in rows.groupby("target", sort=False):
        low, high = prediction_interval(of_target[metric].to_numpy())
        # a table has four decimals
        verdict = "inside" if low - 5e-5 <= measured[target] <= high + 5e-5 else "outside"
        facts = {"target": target, "seeds": len(of_target), "mean": of_target[metric].mean(), "low": low, "high": high}
        cells.append(facts | {"run": measured[target], "verdict": verdict})
    return pd.DataFrame(cells)


def differing_facts(run, rows) -> dict[str, tuple[str, str]]:
    """Of FACTS those in which a `Run` and the rows of a table differ: the run's and the table's.
    What one of them does not tell counts as different, and is said to be "not recorded"."""
    known = {"torch": run.provenance.get("versions", {}).get("torch"), "precision": run.experiment.precision}
    known |= run.provenance
    found = {}
    for name in FACTS:
        ours = str(known.get(name) or "not recorded")
        stated = rows[name].dropna().unique() if name in rows.columns else []
        theirs = ", ".join(str(value).removesuffix(".0") if name == "threads" else str(value) for value in stated)
        if ours != theirs and not (name == "code_key" and set(stated) <= same_keys(ours)):
            found[name] = (ours, theirs or "not recorded")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run, or its name in runs/lite")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="a study's table; default: figures/results/comparison.csv"
    )
    parser.add_argument("--metric", default="mAP", choices=("mAP", "R1", "R5", "R10"), help="default: mAP")
    parser.set_defaults(call=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from ..runs import Run

    file = arguments.table or figures_root() / "results" / "comparison.csv"
    by_name = runs_root() / "lite" / arguments.run
    run = Run(by_name if by_name.is_dir() and not arguments.run.is_dir() else arguments.run)
    table = pd.read_csv(file)
    cells = compare(run, table, arguments.metric)
    print(f"{run.experiment.label}, {arguments.metric}, against {file.name}: where one more run falls, 19 times in 20")
    print(cells.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    outside = int((cells["verdict"] == "outside").sum())
    print(f"{outside} of {len(cells)} outside." if outside else "All inside.")
    rows = matching(run.experiment, table)
    if run.experiment.seed in set(rows["seed"]):
        print(f"The table has seed {run.experiment.seed} itself, so this is that run again and not one more.")
    for name, (ours, theirs) in differing_facts(run, rows).items():
        print(f"{name.replace('_', ' ')}: {ours} here, {theirs} in the table")
