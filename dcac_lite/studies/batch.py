"""The tables as jobs for Snakemake: which runs there are to make, and which notebooks.

`workflow/Snakefile` asks `Batch` what there is to do; its jobs call `python -m dcac_lite tables job` and `notebook`.
What a job was told lies in a file that is named after its content, the code and the weights included, so that a
change of any of them is another job, and a change of a comment is none.

    RUNS/TIER/batch/jobs/NAME-KEY.json   what the job trains and measures
    RUNS/TIER/batch/done/NAME-KEY.json   written when all of it is finished; the runs themselves lie in RUNS/TIER/
    RUNS/TIER/batch/logs/NAME-KEY.log    what libraries said, and the errors
    RUNS/TIER/batch/errors/NAME-KEY.json the last errors of its runs, if it failed
    RUNS/TIER/batch/notebooks/NN.json    what the tables' notebook NN is made from
    RUNS/TIER/batch/plan.json            the jobs that the last batch had still to do"""

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from ..experiment import Experiment
from ..paths import CLONE, runs_root, write_changed
from ..tiers import TIERS
from .jobs import Job
from .tables import TABLES, cells, identity, left_out

#: The notebook that reads all tables. It is made when all tables are asked for.
SCORECARD = "14"


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
        left_out()  # a protocol that is none is refused here
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
            write_changed(self.folder / "jobs" / f"{job.name}.json", job.text)
            done = self.folder / "done" / f"{job.name}.json"
            if done.exists() and not _still_there(job, json.loads(done.read_text())["runs"]):
                done.unlink()
        for number in self.numbers:
            write_changed(self.folder / "notebooks" / f"{number}.json", self._made_from(number))

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


def _still_there(job: Job, runs: list[dict]) -> bool:
    """Whether the runs that a job has made are there, and, where data can change, are those of the data as it is."""
    from ..runs import find

    if not all((runs_root() / run["folder"] / "complete").is_file() for run in runs):
        return False
    if TIERS[job.experiments[0].tier].share is not None:  # the name of the job says what draws the data
        return True
    with suppress(FileNotFoundError):  # data that has gone since has not changed
        now = [found and found.place for found in map(find, job.experiments)]
        return now == [run["folder"] for run in runs]
    return True
