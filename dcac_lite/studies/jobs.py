"""One job of a batch of tables: what it is told, what its files are called, and doing it."""

import hashlib
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path

from ..code_key import RESULTS, code_key
from ..experiment import Experiment
from ..paths import replacing, write_changed
from ..stopping import Stopped
from ..tiers import TIERS
from ..world.domains import DRAWING
from .standing import progress
from .tables import name_of


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
    return "" if TIERS[tier].share is None else code_key(tuple(f"world.{name}" for name in DRAWING))


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
    write_changed(done, json.dumps({"runs": finished}, indent=1))
    print(f"[{progress(folder)}]", flush=True)


def _one(experiment: Experiment, targets: Sequence[str]) -> dict:
    from ..runs import find, run

    started = time.time()
    known = find(experiment)
    result = known or run(experiment, progress=False)
    trained = time.time()
    result.evaluate(*targets)
    training = 0.0 if known else trained - started
    return {"folder": result.place, "training": round(training, 1), "measuring": round(time.time() - trained, 1)}
