"""Where files go and are looked for: what is published stays as it is, and folders are looked up when used."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch

from dcac_lite import TIERS, Experiment, code_key, evaluate, load_domain, run
from dcac_lite import runs as runs_module
from dcac_lite.__main__ import main
from dcac_lite.book.notebook import start
from dcac_lite.code_key import EVALUATION, TRAINING, imports_of
from dcac_lite.paths import CLONE, PACKAGE
from dcac_lite.runs import _key
from dcac_lite.studies.study import results_file
from dcac_lite.tools.reproduce import NOTEBOOKS


def changed() -> str:
    """What git sees in the published folders."""
    command = ["git", "status", "--porcelain", "figures", "notebooks"]
    return subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=True).stdout


def python(code, *arguments, folder=CLONE, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split("\n")[:-1]


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("tier", ["smoke", "lite"])
def test_figures_go_below_the_runs_folder(tier, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    before = changed()
    setup = start({"In": [], "tier": tier}, tier=("smoke", "lite", "full"))
    setup.save(plt.figure(), "05_history", pd.DataFrame({"step": [1]}), values={"steps": 1, "said": "no loss " * 6})
    written = sorted(p.name for p in (tmp_path / tier / "figures").iterdir())
    assert written == ["05_history.csv", "05_history.png", "05_history.svg"]
    assert changed() == before


def test_only_the_publishing_command_writes_where_the_figures_are_published(tmp_path, monkeypatch):
    """`reproduce` with and without --in-place, on a notebook that only says where its figures would go."""
    from dcac_lite.tools import reproduce

    told = []
    monkeypatch.setattr(reproduce, "execute", lambda *a: told.append(reproduce.figures_folder("lite")) or 0.0)
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    monkeypatch.setenv("DCAC_FIGURES", "")  # so that what the command sets is undone
    for words in (["00"], ["--in-place", "00"]):
        main(["reproduce", *words])
    assert told == [tmp_path / "lite" / "figures", CLONE / "figures"]


def test_a_study_by_hand_leaves_the_published_table(tmp_path, monkeypatch):
    from dcac_lite.studies import growing

    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    monkeypatch.setattr(growing, "growing", lambda *_: iter([pd.DataFrame({"mAP": [1.0]})]))
    before = results_file("comparison").read_bytes()
    main(["study", "comparison"])
    assert (tmp_path / "results" / "comparison.csv").exists() and results_file("comparison").read_bytes() == before
    assert results_file("comparison") == CLONE / "figures" / "results" / "comparison.csv"


def test_readme_s_papermill_line_leaves_the_clone_clean(tmp_path):
    """In the smoke tier, and with the line's own output file beside the clone's."""
    before = changed()
    (path,) = NOTEBOOKS.glob("05_*.ipynb")
    words = "-p source MS -p conditioning class-wise -p seed 3 -p tier smoke -p targets D"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", path, tmp_path / "out.ipynb", *words.split()]
    subprocess.run(command, check=True, cwd=CLONE, env=os.environ | {"DCAC_RUNS": str(tmp_path)})
    assert changed() == before and (tmp_path / "smoke" / "figures" / "05_history.csv").exists()
    made = ["out.ipynb", "notebooks/05_full_training.failed.ipynb"]
    ignored = subprocess.run(["git", "check-ignore", *made], cwd=CLONE, capture_output=True, text=True)
    assert ignored.stdout.split() == made


# ---------------------------------------------------------------- roots

ROOTS = """
import sys
from dcac_lite import paths, tiers
from dcac_lite.runs import provenance
import os
print(paths.PACKAGE.parent)
for root in (paths.data_root, paths.runs_root, paths.weights_root, paths.figures_root):
    print(root())
print(provenance()["commit"])
"""


def test_an_installed_package_works_in_the_working_folder(tmp_path):
    """As a wheel, the package lies among others, here inside somebody else's clone."""
    packages = tmp_path / "theirs" / "site-packages"
    shutil.copytree(PACKAGE, packages / "dcac_lite", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], cwd=tmp_path / "theirs", check=True)
    work = tmp_path / "work"
    work.mkdir()
    variables = dict.fromkeys(("DCAC_DATA", "DCAC_RUNS", "DCAC_WEIGHTS"), "")
    place, *roots, commit = python(ROOTS, folder=work, PYTHONPATH=str(packages), **variables)
    assert place == str(packages) and roots == [str(work / name) for name in ("data", "runs", "weights", "figures")]
    assert commit == "None"


def test_in_a_clone_the_roots_are_the_clone_s(tmp_path):
    variables = dict.fromkeys(("DCAC_DATA", "DCAC_RUNS", "DCAC_WEIGHTS"), "")
    place, *roots, commit = python(ROOTS, folder=tmp_path, PYTHONPATH=str(CLONE), **variables)
    assert place == str(CLONE) and roots == [str(CLONE / name) for name in ("data", "runs", "weights", "figures")]


def test_the_rehearsal_s_material_is_where_the_runs_are_now(tmp_path, monkeypatch):
    tier = TIERS["rehearsal"]
    for name in ("one", "other"):
        monkeypatch.setenv("DCAC_RUNS", str(tmp_path / name))
        for value, part in ((tier.clip, "clip"), (tier.stable_diffusion, "stable-diffusion"), (tier.data, "data")):
            assert os.fspath(value) == str(value) == str(tmp_path / name / "rehearsal-material" / part)


# ---------------------------------------------------------------- the code that a number came from


def keys(folder, monkeypatch) -> tuple[str, str]:
    monkeypatch.setattr(code_key, "PACKAGE", folder)
    return code_key.code_key.__wrapped__(TRAINING), code_key.code_key.__wrapped__(EVALUATION)


def test_a_changed_method_has_another_key_and_a_changed_comment_has_not(tmp_path, monkeypatch):
    folder = tmp_path / "package"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    first = keys(folder, monkeypatch)

    def edit(module, old, new):
        text = (folder / f"{module}.py").read_text()
        assert old in text
        (folder / f"{module}.py").write_text(text.replace(old, new, 1))
        return keys(folder, monkeypatch)

    assert edit("memory", '"""', '"""Put otherwise. ') == first
    assert edit("memory", "\nimport torch\n", "\n# why\nimport torch\n\n") == first
    assert edit("evaluation", "ROWS = 16", "ROWS = 32")[0] == first[0] != edit("evaluation", "", "")[1]
    assert edit("memory", "gamma: float = 0.2", "gamma: float = 0.3")[0] != first[0]


def test_runs_and_metrics_of_other_code_are_not_taken(tmp_path, monkeypatch):
    experiment = Experiment(tier="smoke", conditioning="none", seed=5)
    first = run(experiment, progress=False)
    expected, key = first.evaluate("D"), _key(experiment.resolved(), "data")
    measured, measure = [], runs_module.evaluate
    monkeypatch.setattr(runs_module, "evaluate", lambda *a, **k: measured.append(1) or measure(*a, **k))
    assert run(experiment, progress=False).evaluate("D").equals(expected) and not measured  # as stored
    monkeypatch.setattr(runs_module, "code_key", lambda modules: "another version")
    assert first.evaluate("D").equals(expected) and first.evaluate("D").equals(expected) and len(measured) == 1
    assert _key(experiment.resolved(), "data") != key


#: Modules that training and evaluation import, and why no number depends on their code.
NOT_COUNTED = {
    "experiment": "its values and the data's and weights' fingerprints are in the key",
    "tiers": "its values are in the key",
    "paths": "says where files are",
    "pretrained.hub": "says where files are",
    "data.registry": "says where files are",
    "progress": "shows how far a loop is",
    "checkpoints": "keeps what was computed",
    "pretrained.files": "loads what is stored, or nothing",
    "world.appearance": "the data's fingerprint is in the key",
    "world.captioning": "the data's fingerprint is in the key",
    "world.domains": "the data's fingerprint is in the key",
    "world.figure": "the data's fingerprint is in the key",
    "stopping": "a run that was stopped goes on to the same numbers",
    "world.renderer": "the data's fingerprint is in the key",
    "world.people": "the data's fingerprint is in the key",
    "world.places": "the data's fingerprint is in the key",
    "world.plan": "the data's fingerprint is in the key",
    "world.scenes": "the data's fingerprint is in the key",
    "world.shots": "the data's fingerprint is in the key",
    "world.specs": "the data's fingerprint is in the key",
}


CASES = [(("training",), TRAINING), (("evaluation", "encoder", "pretrained.clip", "data.domains"), EVALUATION)]


@pytest.mark.parametrize(("roots", "counted"), CASES)
def test_all_code_that_numbers_depend_on_is_counted(roots, counted):
    reached, waiting = set(), set(roots)
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if module not in NOT_COUNTED:
            waiting |= imports_of(module) - reached
    assert reached - NOT_COUNTED.keys() == set(counted)


def test_float32_is_float32_in_commands_and_notebooks_alike(smoke_data):
    from dcac_lite.trainer import Trainer
    from dcac_lite.training import build

    e = Experiment(tier="smoke", conditioning="none", epochs=1).resolved()
    reid = build(e, smoke_data.identities)[0].reid
    domain = load_domain("D", "smoke")
    flags = (torch.backends.cudnn, torch.backends.cuda.matmul)  # which monkeypatch cannot set back
    doors = {
        "training": lambda: Trainer(e, smoke_data, *build(e, smoke_data.identities)),
        "evaluation": lambda: evaluate(reid, domain),
        "a notebook": lambda: start({"In": [], "tier": "smoke"}, tier=("smoke",)),
    }
    for name, enter in doors.items():
        for flag in flags:
            flag.allow_tf32 = True
        enter()  # and leaves them off, as every other test finds them
        assert not any(flag.allow_tf32 for flag in flags), name
