"""Studies: many runs side by side, gathered into one tidy table with provenance.

`python -m dcac_lite.study NAME` trains what is missing of a study and writes `figures/results/NAME.csv`,
one row per run and target. The tuning studies look at the validation domain V and at nothing else.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from pathlib import Path

from .conditioning import SCHEMES
from .experiment import DOMAIN_NAMES, Experiment, provenance, run
from .paths import figures_root, replacing
from .tiers import LITE

Job = tuple[Experiment, tuple[str, ...]]  # an experiment and the targets it is measured on

#: lambda candidates of the tuning study. The paper's lambda = 1 is among them; since lambda does not
#: carry over between scales, the table quotes the ratio of gradient norms that each one produces.
LAMBDAS: dict[str, tuple[float, ...]] = {name: (10.0, 100.0) for name in SCHEMES} | {
    "correlation-aware": (1.0, 30.0, 100.0, 300.0),
    "instance-wise": (1.0, 10.0, 100.0),
}


def baseline_tuning() -> list[Job]:
    """Learning rate and Eq. 6's temperature of the baseline, on V."""
    grid = product((0, 1, 2), (1e-3, 2e-3, 3e-3), (0.05, 0.1))
    return [(Experiment(sources="MA", conditioning="none", seed=s, lr=lr, tau=tau), ("V",)) for s, lr, tau in grid]


def scheme_tuning() -> list[Job]:
    """lambda and tau_c per conditioning scheme, on V, beside the baseline of the same seeds."""
    seeds = (0, 1, 2)
    jobs: list[Job] = [(Experiment(sources="MA", conditioning="none", seed=s), ("V",)) for s in seeds]
    for scheme, lambdas in LAMBDAS.items():
        temperatures = (0.6, 2.0) if scheme == "correlation-aware" else (None,)
        for seed, lambda_, tau_c in product(seeds, lambdas, temperatures):
            experiment = Experiment(sources="MA", conditioning=scheme, seed=seed, lambda_=lambda_, tau_c=tau_c)
            jobs.append((experiment, ("V",)))
    return jobs


def comparison() -> list[Job]:
    """Baseline, DCAC at the paper's lambda and DCAC at the tuned one, five paired seeds, two sources,
    measured on the source and on the three unseen domains. Seeds differ from those of the tuning."""
    jobs: list[Job] = []
    for seed, source in product(range(10, 15), ("MA", "MS")):
        targets = tuple(d for d in DOMAIN_NAMES if d != "V")
        for options in ({"conditioning": "none"}, {"lambda_": 1.0}, {}):
            jobs.append((Experiment(sources=source, seed=seed, **options), targets))
    return jobs


STUDIES = {"baseline-tuning": baseline_tuning, "scheme-tuning": scheme_tuning, "comparison": comparison}


def rows_of(experiment: Experiment, targets: Sequence[str]) -> list[dict]:
    """Train or find one run and describe it, one row per target. `gradient_ratio` is the median over
    the epochs of lambda * |dL_dif/dz| / |dL_ReID/dz| (0 for a baseline)."""
    result = run(experiment, progress=False)
    resolved, history = result.experiment, result.history
    ratio = 0.0
    if "gradient_dif" in history:
        ratio = float((resolved.lambda_ * history["gradient_dif"] / history["gradient_reid"]).median())
    facts = asdict(resolved) | {"sources": "+".join(resolved.sources), "gradient_ratio": round(ratio, 5)}
    known = result.provenance
    facts |= {"seconds": round(known["seconds"], 1), "commit": known["commit"], "torch": known["versions"]["torch"], "data": known["data"]}
    return [facts | row for row in result.evaluate(*targets).round(4).to_dict("records")]


def run_study(jobs: list[Job], workers: int = 2, progress: bool = True):
    """Run the jobs in `workers` processes of one thread each (two single-thread processes do more than
    one with two threads at the lite size); returns a tidy DataFrame. Interrupted, it goes on where it was."""
    import json

    import pandas as pd
    from tqdm.auto import tqdm

    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}

    def one(job: Job) -> list[dict]:
        command = [sys.executable, "-m", "dcac_lite.study", "--job", json.dumps([asdict(job[0]), job[1]])]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"{job[0].label} failed:\n{done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(workers) as pool:
        results = list(tqdm(pool.map(one, jobs), total=len(jobs), unit="run", disable=not progress))
    return pd.DataFrame([row for rows in results for row in rows])


def paired_interval(values: Sequence[float], reference: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """Mean of the differences `values - reference`, paired by position, and its t interval:
    {"mean", "low", "high", "n"}. Needs at least two pairs."""
    import numpy as np
    from scipy import stats

    difference = np.asarray(values, float) - np.asarray(reference, float)
    if len(difference) < 2:
        raise ValueError(f"{len(difference)} pair gives no interval; at least 2 seeds are needed.")
    low, high = stats.ttest_1samp(difference, 0).confidence_interval(confidence)
    return {"mean": float(difference.mean()), "low": float(low), "high": float(high), "n": len(difference)}


def results_file(study: str) -> Path:
    """Where a study's table is kept: `figures/results/STUDY.csv`."""
    return figures_root() / "results" / f"{study}.csv"


def main() -> None:
    import json

    parser = argparse.ArgumentParser(description="Train the runs of a study and gather them in figures/results/.")
    parser.add_argument("study", nargs="?", choices=[*STUDIES], help="which study")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one run in a process of its own
    arguments = parser.parse_args()
    if arguments.job:
        values, targets = json.loads(arguments.job)
        print(json.dumps(rows_of(Experiment(**values), targets)))
        return
    if arguments.study is None:
        parser.error(f"name a study: {', '.join(STUDIES)}")
    table = run_study(STUDIES[arguments.study](), arguments.workers)
    path = results_file(arguments.study)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{len(table)} rows in {path} ({provenance()['device']}, tier {LITE.name}).")


if __name__ == "__main__":
    main()
