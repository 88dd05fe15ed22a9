"""Studies: many runs side by side, gathered into one tidy table with provenance. The tuning studies look at the
validation domain V and at nothing else. `growing` trains what is missing of a study and writes its table."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path

from ..code_key import RESULTS, code_key
from ..data.registry import DOMAIN_NAMES
from ..experiment import Experiment
from ..paths import CLONE, figures_root, own_folder, runs_root
from ..runs import Run, run
from ..tiers import paper_tau_c
from . import teaching
from .statistics import PAIR, paired_interval, probability

Job = tuple[Experiment, tuple[str, ...]]  # an experiment and the targets it is measured on

#: Candidates (lambda, tau_c) of the tuning study, per scheme, from a lambda at which the diffusion model hardly speaks
#: to one at which it speaks nearly half as loud as the Re-ID losses (the study's column `gradient_ratio`, lambda
#: |dL_dif/dz| / |dL_ReID/dz|; notebook 04 measures it too). No diffusion model, the baseline, is a candidate for all.
#: The rescaled class-wise condition sends no gradient; nothing to tune.
CANDIDATES: dict[str, tuple[tuple[float, float], ...]] = {
    "correlation-aware": ((1.0, 0.3), (10.0, 0.3), (30.0, 0.3), (100.0, 0.3), (10.0, 1.0), (100.0, 1.0)),
    "class-wise": ((1.0, 0.6), (10.0, 0.6)),
    "instance-wise": ((1.0, 0.6), (10.0, 0.6)),
    "non-linearity": ((1.0, 0.6), (10.0, 0.6)),
    "batch-norm": ((1.0, 0.6), (10.0, 0.6)),
    "condition-net": ((1.0, 0.6), (10.0, 0.6)),
}


def baseline_tuning() -> list[Job]:
    """Learning rate and Eq. 6's temperature of the baseline, on V."""
    settings = [(5e-4, 0.1), (7e-4, 0.1), (1e-3, 0.1), (7e-4, 0.05)]
    return [
        (Experiment(sources="MA", conditioning="none", seed=seed, lr=lr, tau=tau), ("V",))
        for seed, (lr, tau) in product(range(3), settings)
    ]


def epochs_tuning() -> list[Job]:
    """Number of epochs of the baseline at the chosen learning rate and temperature, on V. Warm-up and milestones
    move with it. (A DCAC run of twelve takes about a minute and a half on one core.)"""
    return [
        (Experiment(sources="MA", conditioning="none", seed=seed, epochs=epochs), ("V",))
        for seed, epochs in product(range(3), (8, 12, 18))
    ]


def scheme_tuning() -> list[Job]:
    """lambda and tau_c per conditioning scheme, on V, beside the baseline of the same seed. Seed by seed, so that a
    study that is cut short has pairs of every scheme."""
    jobs: list[Job] = []
    for seed in range(4):
        jobs.append((Experiment(sources="MA", conditioning="none", seed=seed), ("V",)))
        for scheme, candidates in CANDIDATES.items():
            for lambda_, tau_c in candidates:
                told = {"conditioning": scheme, "lambda_": lambda_, "tau_c": tau_c}
                jobs.append((Experiment(sources="MA", seed=seed, **told), ("V",)))
    return jobs


def comparison() -> list[Job]:
    """Baseline, DCAC at the paper's lambda and tau_c, and DCAC at the tier's where these are others; eight paired
    seeds, two sources, measured on the source and the three unseen domains. The seeds are not those of the
    tuning."""
    jobs: list[Job] = []
    for seed, source in product(range(10, 18), ("MA", "MS")):
        targets = tuple(d for d in DOMAIN_NAMES if d != "V")
        paper = {"lambda_": 1.0, "tau_c": paper_tau_c((source,))}
        chosen = [Experiment(sources=source, seed=seed, **values) for values in ({"conditioning": "none"}, paper, {})]
        jobs += [(experiment, targets) for experiment in {e.resolved(): e for e in chosen}.values()]
    return jobs


def precision() -> list[Job]:
    """Baseline and DCAC in float32 and with bfloat16, five of the comparison's seeds on MA: does rounding move a result
    by more than a seed does?"""
    return [
        (Experiment(sources="MA", conditioning=scheme, seed=seed, precision=rounded), ("MA", "D", "MS", "C3"))
        for seed in range(10, 15)
        for scheme, rounded in product(("none", "correlation-aware"), ("no", "bf16"))
    ]


STUDIES = {
    "baseline-tuning": baseline_tuning,
    "epochs-tuning": epochs_tuning,
    "scheme-tuning": scheme_tuning,
    "comparison": comparison,
    "precision": precision,
    "teaching-tuning": teaching.tuning,
    "teaching": teaching.study,
}


def rows_of(experiment: Experiment, targets: Sequence[str]) -> list[dict]:
    """Train or find one run and describe it, see `rows_of_run`."""
    return rows_of_run(run(experiment, progress=False), targets)


def rows_of_run(result: Run, targets: Sequence[str]) -> list[dict]:
    """A finished run, one row per target. `gradient_ratio` is the median over the epochs of
    lambda * |dL_dif/dz| / |dL_ReID/dz| (0 for a baseline)."""
    resolved, history = result.experiment, result.history
    ratio = 0.0
    if "gradient_dif" in history:
        ratio = float((resolved.lambda_ * history["gradient_dif"] / history["gradient_reid"]).median())
    joined = {"sources": "+".join(resolved.sources), "milestones": "+".join(map(str, resolved.milestones))}
    facts = asdict(resolved) | joined | {"gradient_ratio": float(f"{ratio:.4g}")}
    known = result.provenance
    facts |= {
        "seconds": round(known["seconds"], 1),
        "commit": known["commit"],
        "torch": known["versions"]["torch"],
        "threads": known["threads"],
        "data": known["data"],
        "code_key": code_key(RESULTS),  # a run or metrics of other code would not have been found
    }
    return [facts | row for row in result.evaluate(*targets).round(4).to_dict("records")]


def experiment_of(row) -> Experiment:
    """The resolved experiment that a row of `rows_of_run` describes. What the row does not state, or leaves empty, is
    the tier's own value."""
    names = [field.name for field in fields(Experiment) if field.name in row]
    values = {name: row[name] for name in names if row[name] == row[name]}  # an empty cell is NaN, no other is
    values["sources"] = tuple(str(row["sources"]).split("+"))
    if "milestones" in names:  # written "3+5", of which a table of single ones makes numbers
        stated = str(row["milestones"]).removesuffix(".0")
        values["milestones"] = () if stated == "nan" else tuple(map(int, stated.split("+")))
    return Experiment(**values).resolved()


def in_processes(door: str, jobs: Sequence[tuple], workers: int = 2, progress: bool = True):
    """The rows that `python -m dcac_lite DOOR --job [experiment, what]` prints as JSON for each of `jobs`, (experiment,
    what), in one tidy DataFrame. Snakemake runs `workers` of them at a time, with one thread each (two single-thread
    processes do more than one with two threads at the lite size). Raises RuntimeError if one fails; the others are
    done by then."""
    import pandas as pd

    with tempfile.TemporaryDirectory(dir=own_folder(runs_root()), prefix=f".{door}-") as name:
        folder = Path(name)
        for k, (experiment, what) in enumerate(jobs):
            (folder / f"{k}.job").write_text(json.dumps([asdict(experiment), what]))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(CLONE / "workflow" / "jobs.smk")]
        command += ["--workflow-profile", "none", "--directory", name, "--cores", str(workers), "--keep-going"]
        command += ["--quiet", *(("rules", "host", "reason") if progress else ("all",))]
        command += ["--config", f"door={door}", f"jobs={len(jobs)}", f"python={sys.executable}"]
        path = os.pathsep.join([str(CLONE), os.environ.get("PYTHONPATH", "")])  # the jobs' folder is another
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path})
        if done.returncode:
            lacking = next(k for k in range(len(jobs)) if not (folder / f"{k}.rows").exists())
            log = folder / f"{lacking}.log"
            why = (
                log.read_text().strip()[-2000:] if log.exists() else "Snakemake did not begin it; its message is above."
            )
            raise RuntimeError(f"{jobs[lacking][0].label} failed:\n{why}")
        printed = [(folder / f"{k}.rows").read_text().splitlines()[-1] for k in range(len(jobs))]
    return pd.DataFrame([row for rows in printed for row in json.loads(rows)])


def run_study(jobs: list[Job], workers: int = 2, progress: bool = True):
    """Run the jobs of a study, see `in_processes`. Interrupted, it goes on where it was."""
    return in_processes("study", jobs, workers, progress)


def arms(table):
    """The arm of `comparison` that each row of its table belongs to, a Series: "baseline", "paper" (lambda 1 and the
    paper's tau_c for the source) or "tier"."""
    import pandas as pd

    def arm(row) -> str:
        if row.conditioning == "none":
            return "baseline"
        return "paper" if (row.lambda_, row.tau_c) == (1, paper_tau_c(tuple(row.sources.split("+")))) else "tier"

    return pd.Series([arm(row) for row in table.itertuples()], index=table.index)


def against_baseline(table, metric: str = "mAP"):
    """The rows of a study's table that are no baseline, with `difference`: their metric less that of the baseline of
    the same source, target, seed and precision; rows whose baseline is not there are left out."""
    shared = ["sources", "target", *PAIR]
    baseline = table.loc[table["conditioning"] == "none", [*shared, metric]]
    pairs = table[table["conditioning"] != "none"].merge(baseline, on=shared, suffixes=("", " of the baseline"))
    return pairs.assign(difference=pairs[metric] - pairs[f"{metric} of the baseline"])


def compare(table, metric: str = "mAP"):
    """Paired differences of the arms of a comparison table to the baseline of the same source, seed and precision,
    with 95 % intervals and the p of the paired t test: a DataFrame with one row per source, arm and target, and one per
    source and arm for the mean over its unseen targets. An arm that has not yet two pairs on a source is left out."""
    import pandas as pd

    rows = []
    for source, group in table.assign(arm=arms(table)).groupby("sources", sort=False):
        values = group.pivot_table(index=["arm", "lambda_", "tau_c", *PAIR], columns="target", values=metric)
        unseen = [t for t in values.columns if t not in source.split("+")]
        values = values.assign(**{"mean of unseen": values[unseen].mean(axis=1)})
        baseline = values.loc["baseline"].droplevel(["lambda_", "tau_c"])
        for (arm, lambda_, tau_c), variant in values.drop("baseline").groupby(level=["arm", "lambda_", "tau_c"]):
            variant = variant.droplevel(["arm", "lambda_", "tau_c"])
            pairs = variant.index.intersection(baseline.index)
            for target in values.columns if len(pairs) > 1 else ():
                ours, theirs = variant.loc[pairs, target], baseline.loc[pairs, target]
                seen = "source" if target in source.split("+") else "unseen"
                facts = {"source": source, "arm": arm, "lambda_": lambda_, "tau_c": tau_c, "target": target}
                facts |= {"domain": seen, "baseline": theirs.mean(), "variant": ours.mean()}
                rows.append(facts | paired_interval(ours, theirs) | {"p": probability(ours - theirs)})
    return pd.DataFrame(rows)


def results_file(study: str) -> Path:
    """The published table of a study: `figures/results/STUDY.csv`."""
    return figures_root() / "results" / f"{study}.csv"
