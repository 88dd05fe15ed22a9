"""`python -m dcac_lite same COMMIT`: does the present code compute the very numbers that COMMIT's code computed?

Code that was only written better would make every published number stale, and every run another one. So small runs, of
every conditioning scheme, adaptation and recipe, are made with both, and their weights and metrics compared bit by bit.
With `--in-place` equality is kept in `figures/same_numbers.json`: `status`, `compare` and the tables then take what
COMMIT's code has made for what the present code would make, until that is changed again."""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from .. import code_key
from ..paths import replacing

#: What differs between equal runs.
OF_THE_MAKING = ("seconds", "commit", "code_key")
#: The table whose making is repeated in small; what it is made from is everything that a run depends on.
TABLE = "figures/results/comparison.csv"
_PROGRAM = """
import json, sys
from safetensors import safe_open
from dcac_lite import Experiment, run
from dcac_lite.code_key import RESULTS, code_key
from dcac_lite.studies.study import rows_of
from dcac_lite.tools.status import Sources

for values in json.loads(sys.argv[1]):
    experiment = Experiment(**values)
    rows = rows_of(experiment, experiment.sources)
    with safe_open(run(experiment).folder / "model.safetensors", "pt") as weights:  # the file's order is any
        print(json.dumps([rows, weights.metadata()["sha256"]]), flush=True)
print(json.dumps([Sources().of(sys.argv[2]), code_key(RESULTS)]))
"""


def experiments() -> list[dict]:
    """What is trained with both codes, as arguments of `Experiment`: small, one for every way that a run can take."""
    from ..adaptation import MODES
    from ..conditioning import SCHEMES
    from ..recipes import RECIPES

    small = {"tier": "smoke", "precision": "no", "epochs": 1}
    ways = [{"conditioning": "none"}, *({"conditioning": scheme} for scheme in SCHEMES)]
    ways += [{"adaptation": mode} for mode in MODES if mode != "lora"]
    ways += [{"recipe": recipe} for recipe in RECIPES if recipe != "default"]
    ways += [{"sources": ("MA", "C3")}, {"accumulation": 2}, {"precision": "bf16"}, {"padding": 4, "erasing": 0.5}]
    return [small | way for way in ways]


def made_by(clone: Path, folder: Path, wanted: list[dict]) -> tuple[list, dict[str, str], str]:
    """What the code in `clone` computes: rows and weights' hash of each experiment; the files that it is, by hash; and
    its code key. Data and runs land in `folder`. Raises RuntimeError with the last lines of what failed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # several threads add up in any order
    environment |= {"DCAC_DATA": str(folder / "data"), "DCAC_RUNS": str(folder / "runs")}
    done = subprocess.run(  # from the clone, whose package comes before an installed one
        [sys.executable, "-c", _PROGRAM, json.dumps(wanted), TABLE],
        cwd=clone, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the code in {clone} did not come to its end:\n{done.stderr.strip()[-1500:]}")
    *runs, (files, key) = map(json.loads, done.stdout.splitlines())
    numbers = [[[{k: v for k, v in row.items() if k not in OF_THE_MAKING} for row in rows], sha] for rows, sha in runs]
    return numbers, files, key


def unpack(commit: str, folder: Path) -> str:
    """Write the files of a commit of this clone into `folder`; returns the commit's full name. Raises ValueError for
    what is no commit."""
    clone = code_key.PACKAGE.parent
    found = subprocess.run(["git", "rev-parse", "--verify", f"{commit}^{{commit}}"], cwd=clone, capture_output=True)
    if found.returncode:
        raise ValueError(f"{commit!r} is no commit of {clone}; expected one such as HEAD~3 or b218d80.")
    archive = subprocess.run(["git", "archive", commit], cwd=clone, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return found.stdout.decode().strip()


# ---------------------------------------------------------------- what is known


def _known() -> Path:
    return code_key.PACKAGE.parent / "figures" / "same_numbers.json"


def records() -> list[dict]:
    """What was found equal, newest first: `commit`, `was` and `now` (the files of a run by hash, then and when it was
    found), `key_was` and `key_now`, and how many `runs` were compared."""
    return json.loads(_known().read_text(encoding="utf-8")) if _known().exists() else []


def same_keys(key: str) -> set[str]:
    """The code keys that are known to stand for the same numbers as `key`, itself among them."""
    found = {key}
    for record in records():
        if record["key_now"] in found:
            found.add(record["key_was"])
    return found


def same_pictures(fingerprint: str) -> str:
    """The fingerprint under which the pictures of a training set are drawn today, which may differ in rounding
    (`figures/same_pictures.toml`); any other fingerprint as it is."""
    file = code_key.PACKAGE.parent / "figures" / "same_pictures.toml"
    known = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return known.get(fingerprint, {}).get("now", fingerprint)


def as_it_was(then: dict[str, str], today: dict[str, str]) -> list[dict[str, str]]:
    """`today`, what an artefact would be made from (see `status.Sources.of`), as other code with the same numbers would
    have it, once for each record that holds, itself first. then: what the artefact was made from."""
    states = [today]
    for record in records():
        was, now = record["was"], record["now"]
        for state in tuple(states):
            if any(state[file] != now[file] for file in state.keys() & now.keys()):
                continue
            # a module that only one of both codes imports may be the artefact's own import as well
            kept = {f: h for f, h in state.items() if f not in now or (f not in was and then.get(f) == h)}
            states.append(kept | {f: was[f] for f in was if f in then or f in state})
    return states


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commit", help="an earlier commit of this clone")
    parser.add_argument("--in-place", action="store_true", help="keep it in figures/same_numbers.json")
    parser.set_defaults(call=_same)


def compare(clone: Path, folder: Path) -> tuple[list[dict], tuple[dict, str], tuple[dict, str]]:
    """Train `experiments` with the code in `clone` and with this one, in `folder`. Returns those whose numbers differ,
    and the files and code key of both."""
    wanted, made = experiments(), []
    for name, code in (("then", clone), ("now", code_key.PACKAGE.parent)):
        (folder / name).mkdir()
        made.append(made_by(code, folder / name, wanted))
    (before, *was), (after, *now) = made
    return [values for values, a, b in zip(wanted, before, after) if a != b], tuple(was), tuple(now)


def _same(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="dcac-same-") as name:
        clone = Path(name) / "clone"
        clone.mkdir()
        commit = unpack(arguments.commit, clone)
        different, (was, key_was), (now, key_now) = compare(clone, Path(name))
    for values in different:
        print(f"other numbers: {values}")
    runs = len(experiments())
    if different:
        print(f"{len(different)} of {runs} small runs differ from those of {commit[:12]}.")
        return 1
    print(f"{runs} small runs have the weights and metrics of {commit[:12]}, bit by bit.")
    if arguments.in_place:
        facts = {"commit": commit, "runs": runs, "key_was": key_was, "key_now": key_now, "was": was, "now": now}
        kept = [facts, *(record for record in records() if record["commit"] != commit)]
        with replacing(_known()) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0
