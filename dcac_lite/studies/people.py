"""How much of a number is luck with the people who are asked for? Average precision, person by person.

A t interval over seeds says what other first weights and batches would have given, for these queries and this gallery.
What other people would have given does not shrink with seeds; it is estimated here from how unlike persons are to each
other, all queries of a person together, since they resemble each other.

`python -m dcac_lite people` measures baseline and DCAC of some seeds, trains what is missing, and writes
`results/people.csv` in the runs folder, with `--in-place` the published `figures/results/people.csv` instead."""

import argparse
import json
from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np

from ..code_key import RESULTS, code_key
from ..data.load import load_domain
from ..encoder import ReIDModel
from ..evaluation import rank_metrics
from ..experiment import Experiment
from ..paths import replacing, results_folder
from ..runs import run
from ..tools.status import recording
from .study import in_processes
from .tables import DOMAINS

SOURCE = "MA"
LINES = {"baseline": {"conditioning": "none"}, "DCAC": {}}
#: What the numbers depend on besides what runs and their metrics do.
MEASURING = ("studies.people",)


def by_person(model: ReIDModel, domain) -> Iterator[dict]:
    """For each person who is asked for in a `data.domains.Domain`: `person`, `queries` that count, and their mean
    average precision `AP`, in percent, by `evaluation.rank_metrics`. Raises ValueError as that does, also for a person
    of whom no query counts."""
    query, gallery = model.features(domain.query.images), model.features(domain.gallery.images)
    for person in np.unique(domain.query.pids):
        own = domain.query.pids == person
        asked = domain.query.pids[own], domain.gallery.pids, domain.query.cameras[own], domain.gallery.cameras
        found = rank_metrics(query[own], gallery, *asked)
        yield {"person": int(person), "queries": found["queries"], "AP": found["mAP"]}


def spread(values: Sequence[float], queries: Sequence[int]) -> dict[str, float]:
    """Mean over queries of what persons have, and its standard error with persons drawn anew: {"mean", "error"}.
    values: one mean per person over as many `queries`; the error is that of a ratio of two sums over persons (NaN for
    fewer than two)."""
    value, weight = np.asarray(values, float), np.asarray(queries, float)
    mean, count = float(np.average(value, weights=weight)), len(value)
    if count < 2:
        return {"mean": mean, "error": float("nan")}
    squares = np.square(weight * (value - mean)).sum()
    return {"mean": mean, "error": sqrt(count / (count - 1) * squares) / weight.sum()}


def luck(table):
    """From `people.csv`, one row per target and one for the mean of them: mAP of the baseline with its error over
    `people` persons (`baseline`, `baseline_error`), averaged over seeds; the same of DCAC less the baseline
    (`difference`, `difference_error`); and that difference's error over seeds (`seeds_error`, NaN for one seed). A
    DataFrame."""
    import pandas as pd

    keys = ["target", "person", "queries", "seed"]
    each = table.pivot_table(index=keys, columns="line", values="AP").reset_index()
    each["difference"] = each["DCAC"] - each["baseline"]
    of_people = each.groupby(["target", "person", "queries"], as_index=False)[["baseline", "difference"]].mean()
    rows = []
    for target, there in of_people.groupby("target", sort=False):
        row: dict[str, object] = {"target": target, "people": len(there)}
        for name in ("baseline", "difference"):
            found = spread(there[name], there["queries"])
            row |= {name: found["mean"], f"{name}_error": found["error"]}
        rows.append(row | {"seeds_error": _over_seeds(each[each["target"] == target])})
    result = pd.DataFrame(rows)
    count = len(result)
    mean = {"target": "mean of unseen", "people": result["people"].sum()}
    mean |= {name: result[name].mean() for name in ("baseline", "difference")}
    # other people in every target, so that their errors are independent; seeds are the same in all
    mean |= {f"{n}_error": sqrt(result[f"{n}_error"].pow(2).sum()) / count for n in ("baseline", "difference")}
    return pd.concat([result, pd.DataFrame([mean | {"seeds_error": _over_seeds(each)}])], ignore_index=True)


def _over_seeds(each) -> float:
    """Standard error over seeds of the difference, the mean over targets of the mean over queries."""
    weighted = each.assign(sum=each["difference"] * each["queries"]).groupby(["seed", "target"])[["sum", "queries"]]
    sums = weighted.sum()
    return float((sums["sum"] / sums["queries"]).groupby("seed").mean().sem())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, nargs="+", default=[40, 41, 42], help="default: 40 41 42")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--in-place", action="store_true", help="write the published table, figures/results/people.csv")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one run in a process of its own
    parser.set_defaults(call=_people)


def _people(arguments: argparse.Namespace) -> None:
    if arguments.job:
        values, targets = json.loads(arguments.job)
        print(json.dumps(rows_of(Experiment(**values), targets)))
        return
    experiments = [
        Experiment(sources=(SOURCE,), seed=seed, **told) for seed in arguments.seeds for told in LINES.values()
    ]
    targets = [target for target in DOMAINS if target != SOURCE]
    path = results_folder(arguments.in_place) / "people.csv"
    with recording(path):
        table = in_processes("people", [(e, targets) for e in experiments], arguments.workers)
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")
    print(f"{len(table)} rows in {path}.")


def rows_of(experiment: Experiment, targets: Sequence[str]) -> list[dict]:
    """`by_person` of one run, which is trained if it is not there, on some targets."""
    made = run(experiment, progress=False)
    resolved, model = made.experiment, made.reid()
    facts = {
        "line": "baseline" if resolved.conditioning == "none" else "DCAC",
        "seed": resolved.seed,
        "precision": resolved.precision,
        "code_key": code_key((*RESULTS, *MEASURING)),
    }
    found = [(t, load_domain(t, resolved.tier, resolved.test_resize)) for t in targets]
    return [facts | {"target": t} | row for t, domain in found for row in by_person(model, domain)]
