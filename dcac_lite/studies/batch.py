"""The tables as jobs for Snakemake: which runs, which notebooks, and what has become of them.

`workflow/Snakefile` asks `Batch` what there is to do; its jobs call `python -m dcac_lite tables job` and `notebook`.
What a job was told lies in a file that is named after its content, the code and the weights included, so that a
change of any of them is another job, and a change of a comment is none.

    RUNS/TIER/batch/jobs/NAME-KEY.json   what the job trains and measures
    RUNS/TIER/batch/done/NAME-KEY.json   written when all of it is finished; the runs themselves lie in RUNS/TIER/
    RUNS/TIER/batch/logs/NAME-KEY.log    what libraries said, and the errors
    RUNS/TIER/batch/errors/NAME-KEY.json the last errors of its runs, if it failed
    RUNS/TIER/batch/notebooks/NN.json    what the tables' notebook NN is made from
    RUNS/TIER/batch/plan.json            the jobs that the last batch had still to do"""

import argparse
import hashlib
import json
import os
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path

from ..code_key import RESULTS, code_key
from ..experiment import Experiment
from ..paths import CLONE, replacing, runs_root
from ..stopping import Stopped, listen
from ..tiers import TIERS
from .tables import TABLES, cells, identity, name_of

#: The notebook that reads all tables. It is made when all tables are asked for.
SCORECARD = "14"
#: What draws the embedded domains.
DRAWING = tuple(f"world.{name}" for name in ("appearance", "captioning", "domains", "figure", "renderer", "scenes"))


@dataclass(frozen=True)
class Job:
    """One process: experiments that differ in their seed only, and the targets each is measured on."""

    experiments: tuple[Experiment, ...]
    targets: tuple[str, ...]

    @property
    def text(self) -> str:
        """What the job is told, as JSON."""
        told = {
            "experiments": [asdict(e) for e in self.experiments],
            "targets": self.targets,
            "code": code_key(RESULTS),
        }
        return json.dumps(told, indent=1)

    @cached_property
    def name(self) -> str:
        """The name of its files: readable, and different for different content, weights and data."""
        first = self.experiments[0]
        origins = _weights(first.tier) + _drawings(first.tier)
        return f"{name_of(first)}-{hashlib.sha256((self.text + origins).encode()).hexdigest()[:8]}"


class Batch:
    """What a batch of tables consists of.

    tables: numbers, all of them if empty; a notebook shows whole tables, so others that it shows come with them. holes:
    leave out what failed, and make the notebooks all the same. Raises ValueError in a sentence for what cannot be."""

    def __init__(self, tier: str, seeds: int, tables: Sequence[int] = (), holes: bool = False):
        if tier not in TIERS:
            raise ValueError(f"TIER is {tier!r}; expected one of {', '.join(TIERS)}.")
        if not isinstance(seeds, int) or seeds < 1:
            raise ValueError(f"SEEDS is {seeds!r}; expected a whole number of at least 1.")
        if unknown := [n for n in tables if n not in TABLES]:
            raise ValueError(f"there is no table {unknown[0]}; expected one of {', '.join(map(str, TABLES))}.")
        self.tier, self.seeds, self.holes = tier, seeds, holes
        chosen = {TABLES[n].notebook for n in tables or TABLES}
        self.tables = tuple(n for n, table in TABLES.items() if table.notebook in chosen)
        self.numbers = sorted(chosen) + ([] if tables else [SCORECARD])
        self.folder = runs_root() / tier / "batch"

    @cached_property
    def _jobs(self) -> dict[tuple, list[Job]]:
        """The jobs by the identity of their experiments."""
        found: dict[tuple, tuple[tuple[Experiment, ...], list[str]]] = {}
        for cell in cells(self.tables, self.tier, self.seeds):
            _, targets = found.setdefault(identity(cell.experiments[0]), (cell.experiments, []))
            if cell.target not in targets:
                targets.append(cell.target)
        # a run of minutes shares its process with the other seeds, one of hours gets a machine of its own
        alone = TIERS[self.tier].share is None
        jobs = {}
        for key, (experiments, targets) in found.items():
            groups = [(e,) for e in experiments] if alone else [experiments]
            jobs[key] = [Job(group, tuple(targets)) for group in groups]
        return jobs

    @cached_property
    def _sources(self):
        from ..tools.status import Sources

        return Sources()  # the files as they are at one moment, each read once

    @cached_property
    def jobs(self) -> list[Job]:
        """All jobs, in the order of the tables."""
        return [job for jobs in self._jobs.values() for job in jobs]

    def prepare(self) -> None:
        """Write what the jobs are told, and forget the jobs whose runs have gone since."""
        for job in self.jobs:
            _write(self.folder / "jobs" / f"{job.name}.json", job.text)
            done = self.folder / "done" / f"{job.name}.json"
            if done.exists() and not _still_there(job, json.loads(done.read_text())["runs"]):
                done.unlink()
        for number in self.numbers:
            _write(self.folder / "notebooks" / f"{number}.json", self._made_from(number))

    def done(self, number: str | None = None) -> list[str]:
        """The files, relative to the folder, that say that the runs of all tables, or of a notebook, are there; with
        `holes` those that exist."""
        tables = [n for n in self.tables if number in (None, SCORECARD, TABLES[n].notebook)]
        keys = {identity(cell.experiments[0]): None for cell in cells(tables, self.tier, self.seeds)}
        names = [f"done/{job.name}.json" for key in keys for job in self._jobs[key]]
        return [name for name in names if not self.holes or (self.folder / name).exists()]

    @staticmethod
    def template(number: str) -> Path:
        """The notebook in notebooks/ that starts with this number."""
        found = sorted((CLONE / "notebooks").glob(f"{number}_*.ipynb"))
        if len(found) != 1:
            raise ValueError(f"{len(found)} notebooks in {CLONE / 'notebooks'} start with {number}; expected one.")
        return found[0]

    def _made_from(self, number: str) -> str:
        own = self._sources.of(self.template(number).relative_to(CLONE).as_posix())
        told = {"tier": self.tier, "seeds": self.seeds, "runs": self.done(number), "files": own}
        return json.dumps(told, indent=1)


def numbers_in(text) -> list[int]:
    """The numbers of tables in "7" or "2,3". Raises ValueError for anything else."""
    try:
        return [int(number) for number in str(text).split(",") if number]
    except ValueError:
        raise ValueError(f"there is no table {text}; expected one of {', '.join(map(str, TABLES))}.") from None


@cache
def _weights(tier: str) -> str:
    """Of weights that lie in folders their content, of others their names: their versions are part of the code."""
    digest = hashlib.sha256()
    for source in (str(TIERS[tier].clip), str(TIERS[tier].stable_diffusion)):
        files = sorted(Path(source).rglob("*.safetensors")) if Path(source).is_dir() else []
        digest.update(b"".join(file.read_bytes() for file in files) or source.encode())
    return digest.hexdigest()


def _drawings(tier: str) -> str:
    """Of embedded domains the code that draws them; real ones are looked at by the run itself."""
    return "" if TIERS[tier].share is None else code_key(DRAWING)


def _write(path: Path, text: str) -> None:
    """Write a file unless it says so already: its time is that of its last change."""
    if not path.exists() or path.read_text() != text:
        with replacing(path) as temporary:
            temporary.write_text(text)


def _still_there(job: Job, runs: list[dict]) -> bool:
    """Whether the runs that a job has made are there, and, where data can change, are those of the data as it is."""
    from ..runs import find

    if not all((runs_root() / run["folder"] / "complete").is_file() for run in runs):
        return False
    if TIERS[job.experiments[0].tier].share is not None:  # the name of the job says what draws the data
        return True
    with suppress(FileNotFoundError):  # data that has gone since has not changed
        now = [found and found.folder.relative_to(runs_root()).as_posix() for found in map(find, job.experiments)]
        return now == [run["folder"] for run in runs]
    return True


# ---------------------------------------------------------------- the jobs


def measure(told: Path, done: Path) -> None:
    """Train and measure what is missing of a job and print a line for each run; then write `done`. A run that fails is
    named, and the other seeds go on; RuntimeError at the end.

    Raises ValueError when the code has changed since the job was made."""
    from ..tools.reproduce import stderr_in

    job = json.loads(told.read_text())
    if job["code"] != code_key(RESULTS):
        raise ValueError(
            f"{told.name} was made for code {job['code']}, and this is {code_key(RESULTS)}: ask for the tables again."
        )
    folder, finished, errors = told.parent.parent, [], {}
    log, failed = folder / "logs" / f"{told.stem}.log", folder / "errors" / f"{told.stem}.json"
    try:
        with stderr_in(log):
            for values in job["experiments"]:
                experiment = Experiment(**values | {"sources": tuple(values["sources"])})
                run = f"{told.stem[:-9]} seed {experiment.seed}"
                try:
                    finished.append(_one(experiment, job["targets"]))
                    print(f"{run}: {finished[-1]['training'] + finished[-1]['measuring']:.0f} s", flush=True)
                except Stopped as error:  # no time left for the other seeds either
                    errors[run] = str(error)
                    raise
                except Exception as error:
                    with open(log, "a") as whole:
                        traceback.print_exc(file=whole)
                    errors[run] = (str(error).strip() or type(error).__name__).splitlines()[-1]
                    print(f"{run}: failed: {errors[run]}", flush=True)
    finally:
        if errors:  # anew, even the same ones: the file's time tells which batch they belong to
            with replacing(failed) as temporary:
                temporary.write_text(json.dumps(errors, indent=1))
    if errors:
        raise RuntimeError(
            f"{len(errors)} of {len(job['experiments'])} runs of {told.stem} failed; {log} has the errors."
        )
    failed.unlink(missing_ok=True)
    _write(done, json.dumps({"runs": finished}, indent=1))
    print(f"[{progress(folder)}]", flush=True)


def _one(experiment: Experiment, targets: Sequence[str]) -> dict:
    from ..runs import find, run

    started = time.time()
    known = find(experiment)
    result = known or run(experiment, progress=False)
    trained = time.time()
    result.evaluate(*targets)
    folder = result.folder.relative_to(runs_root()).as_posix()
    training = 0.0 if known else trained - started
    return {"folder": folder, "training": round(training, 1), "measuring": round(time.time() - trained, 1)}


# ---------------------------------------------------------------- what has become of a batch


def begin(folder: Path, jobs: Sequence[str]) -> None:
    """Note what a batch that starts now still has to do: names of jobs."""
    _write(folder / "plan.json", json.dumps({"at": time.time(), "jobs": list(jobs)}))


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


# ---------------------------------------------------------------- the door


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(title="what", metavar="WHAT", required=True)
    job = words.add_parser("job", help="train and measure what a job's file says (called by Snakemake)")
    job.add_argument("told", type=Path, metavar="FILE", help="a file of RUNS/TIER/batch/jobs")
    job.add_argument("done", type=Path, metavar="DONE", help="written when all is finished")
    job.set_defaults(call=_job)
    notebook = words.add_parser("notebook", help="execute a tables' notebook (called by Snakemake)")
    notebook.add_argument("template", type=Path, metavar="NOTEBOOK")
    notebook.add_argument("executed", type=Path, metavar="OUT")
    notebook.set_defaults(call=_notebook)
    status = words.add_parser("status", help="how the last batch stands")
    status.set_defaults(call=lambda arguments: print(report(runs_root() / arguments.tier / "batch")))
    publish = words.add_parser("publish", help="write the published measurements, and the page of all tables")
    publish.add_argument("--in-place", action="store_true", help="into figures/, not into the runs folder")
    publish.set_defaults(call=_publish)
    for parser in (notebook, status, publish):
        parser.add_argument("--tier", default="lite", choices=[*TIERS], help="default: lite")
    for parser in (notebook, publish):
        parser.add_argument("--seeds", type=int, default=5, help="default: 5")


def _job(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("TQDM_DISABLE", "1")
    listen()
    try:
        measure(arguments.told.resolve(), arguments.done.resolve())
    except RuntimeError as error:
        print(error, flush=True)
        return 1
    return 0


def _notebook(arguments: argparse.Namespace) -> None:
    from ..tools.reproduce import execute, stderr_in

    with stderr_in(runs_root() / arguments.tier / "kernels.log"):
        told = {"tier": arguments.tier, "seeds": arguments.seeds}
        seconds = execute(arguments.template, arguments.executed.resolve(), told)
    print(f"{arguments.template.name}: {seconds:.0f} s", flush=True)


def _publish(arguments: argparse.Namespace) -> None:
    from .publish import publish

    table, page = publish(arguments.tier, arguments.seeds, arguments.in_place)
    print(f"{table}\n{page}")
