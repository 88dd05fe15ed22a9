"""A study's table as it grows, over days and machines: what a table holds need not be trained again.

`python -m dcac_lite study NAME` trains what is missing of a study and writes `results/NAME.csv` in the runs
folder, one row per run and target, again and again as it grows; `--in-place` writes the published table in
`figures/results/` instead. What a table of either folder holds, made by this code, is taken as it is.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..code_key import RESULTS, code_key
from ..data.domains import training_set
from ..data.load import load_domain
from ..experiment import Experiment
from ..paths import figures_root, replacing, results_folder, runs_root
from ..runs import find, provenance
from ..tiers import LITE
from ..tools.same import same_keys, same_pictures
from ..tools.status import recording
from .study import STUDIES, Job, experiment_of, rows_of, rows_of_run, run_study

BLOCK = 16  # jobs between two tables


def growing(jobs: Sequence[Job], known: Sequence[Path] = (), workers: int = 2, progress: bool = True) -> Iterator:
    """The table of a study, in the order of its jobs, each time that it has grown: first what the tables `known` and
    the runs folder hold, then after every BLOCK that was trained. A job that fails ends it; the blocks before it have
    been handed out.

    A job whose experiment leaves the precision to the machine counts as done in whatever precision it was. Where one
    is to be trained, so are the baselines of its source and seed, since a pair shares its precision; a table may
    therefore hold a baseline in two."""
    import pandas as pd

    wanted = [experiment.resolved() for experiment, _ in jobs]
    rows: dict[tuple[int, str], list[dict]] = {}  # by position and precision
    for path in known:
        for experiment, found in _current(path).items():
            for k in _places(wanted, jobs, experiment):
                if {row["target"] for row in found} >= set(jobs[k][1]):
                    rows[k, experiment.precision] = [row for row in found if row["target"] in jobs[k][1]]
    here = {k: run for k, (e, _) in enumerate(jobs) if (run := find(e)) is not None}
    for k in here.keys() & set(_lacking(wanted, jobs, set(rows))):
        rows[k, wanted[k].precision] = rows_of_run(here[k], jobs[k][1])
    lacking = _lacking(wanted, jobs, set(rows))
    for start in range(0, len(lacking), BLOCK):
        if rows:
            yield pd.DataFrame([row for place in sorted(rows) for row in rows[place]])
        block = lacking[start : start + BLOCK]
        trained = iter(run_study([jobs[k] for k in block], workers, progress).to_dict("records"))
        rows |= {(k, wanted[k].precision): [next(trained) for _ in jobs[k][1]] for k in block}
    yield pd.DataFrame([row for place in sorted(rows) for row in rows[place]])


def _current(path: Path) -> dict[Experiment, list[dict]]:
    """Of a table of `study.rows_of_run`, the rows that the present code would make of the present data, by experiment;
    none where there is no table."""
    import pandas as pd

    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"milestones": str})
    keys, data, found = same_keys(code_key(RESULTS)), {}, {}
    for row in table.to_dict("records"):
        of = row["sources"], row["tier"]
        if of not in data:
            data[of] = training_set([load_domain(name, of[1]) for name in of[0].split("+")]).fingerprint
        if row["code_key"] in keys and same_pictures(row["data"]) == same_pictures(data[of]):
            found.setdefault(experiment_of(row), []).append(row)
    return found


def _places(wanted: Sequence[Experiment], jobs: Sequence[Job], found: Experiment) -> list[int]:
    """The jobs that `found` is one of: the same, but for the precision where the job leaves that to the machine."""
    free = replace(found, precision=None)
    return [
        k
        for k, (e, (asked, _)) in enumerate(zip(wanted, jobs))
        if e == found or (asked.precision is None and replace(e, precision=None) == free)
    ]


def _lacking(wanted: Sequence[Experiment], jobs: Sequence[Job], there: set[tuple[int, str]]) -> list[int]:
    """The jobs to be trained, see `growing`; there: (position, precision) of what is known."""
    settled = {k for k, _ in there}
    fresh = set(range(len(jobs))) - settled
    pairs = {(wanted[k].sources, wanted[k].seed) for k in fresh}
    partners = {
        k
        for k in settled
        if wanted[k].conditioning == "none"
        and (wanted[k].sources, wanted[k].seed) in pairs
        and (k, wanted[k].precision) not in there
        and jobs[k][0].precision is None
    }
    return sorted(fresh | partners)


# ---------------------------------------------------------------- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", choices=[*STUDIES], help="which study")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--in-place", action="store_true", help="write the published table, figures/results/STUDY.csv")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one run in a process of its own
    parser.set_defaults(call=_study)


def _study(arguments: argparse.Namespace) -> None:
    if arguments.job:
        values, targets = json.loads(arguments.job)
        print(json.dumps(rows_of(Experiment(**values), targets)))
        return
    if arguments.study is None:
        raise ValueError(f"name a study: {', '.join(STUDIES)}")
    path = results_folder(arguments.in_place) / f"{arguments.study}.csv"
    known = [root / "results" / f"{study}.csv" for root in (figures_root(), runs_root()) for study in STUDIES]
    tables = growing(STUDIES[arguments.study](), known, arguments.workers)
    while True:
        with recording(path):
            if (table := next(tables, None)) is None:
                return
            with replacing(path) as temporary:
                table.to_csv(temporary, index=False)
        print(f"{len(table)} rows in {path} ({provenance()['device']}, tier {LITE.name}).")
