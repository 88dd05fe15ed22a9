"""What has become of a batch of tables: jobs done, failed and left, and where the time went.

`batch` says which files these functions read."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..paths import write_changed


def begin(folder: Path, jobs: Sequence[str]) -> None:
    """Note what a batch that starts now still has to do: names of jobs."""
    write_changed(folder / "plan.json", json.dumps({"at": time.time(), "jobs": list(jobs)}))


@dataclass(frozen=True)
class Standing:
    """How a batch stands: names of jobs that are done, have failed and are left, and when the batch began."""

    began: float
    done: list[str]
    failed: list[str]
    left: list[str]


def standing(folder: Path) -> Standing:
    """How the batch that began last stands. Raises ValueError where none has begun."""
    if not (folder / "plan.json").exists():
        raise ValueError(f"{folder} holds no plan.json; no batch of tables has been started in this tier.")
    plan = json.loads((folder / "plan.json").read_text())
    found = Standing(plan["at"], [], [], [])
    for name in plan["jobs"]:
        failed = folder / "errors" / f"{name}.json"
        if (folder / "done" / f"{name}.json").exists():
            found.done.append(name)
        elif failed.exists() and failed.stat().st_mtime >= plan["at"]:
            found.failed.append(name)
        else:
            found.left.append(name)
    return found


def progress(folder: Path) -> str:
    """Jobs done, failed and left of the batch that began last, and the time they will take at its pace."""
    found = standing(folder)
    ended = len(found.done) + len(found.failed)
    text = f"jobs: {len(found.done)} done, {len(found.failed)} failed, {len(found.left)} left"
    if not (found.left and ended):
        return text
    return f"{text}, about {_duration((time.time() - found.began) / ended * len(found.left))}"


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def report(folder: Path) -> str:
    """How a batch stands: the numbers, each failed run with its log and its error, and the share of the finished jobs'
    time that went into neither training nor measuring."""
    found = standing(folder)
    lines = [f"{progress(folder).capitalize()}."]
    for name in found.failed:
        errors = json.loads((folder / "errors" / f"{name}.json").read_text())
        lines += [f"  {run}: {error}\n    {folder / 'logs' / name}.log" for run, error in errors.items()]
    useful, whole = 0.0, 0.0
    for name in found.done:
        if seconds := _seconds(folder / "times" / f"{name}.tsv", found.began):
            runs = json.loads((folder / "done" / f"{name}.json").read_text())["runs"]
            useful, whole = useful + sum(run["training"] + run["measuring"] for run in runs), whole + seconds
    if whole:
        lines.append(
            f"Of {_duration(whole)} in jobs, {max(0, 1 - useful / whole):.0%} was neither training nor measuring."
        )
    return "\n".join(lines)


def _seconds(times: Path, since: float) -> float:
    """Seconds of a job as Snakemake measured them; 0 if it did not run since."""
    if not times.exists() or times.stat().st_mtime < since:
        return 0.0
    names, first = (line.split("\t") for line in times.read_text().splitlines()[:2])
    return float(first[names.index("s")])
