"""The clone as a user finds it: pins, import time, notebooks that run and outputs that belong to them."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from stops import stops

from dcac_lite.book.notebook import ParameterError, readable, start
from dcac_lite.paths import CLONE
from dcac_lite.tools import architecture
from dcac_lite.tools.reproduce import NOTEBOOKS, execute, tidy
from dcac_lite.tools.status import verdicts

ALL_NOTEBOOKS = sorted(NOTEBOOKS.glob("[0-9AB]?_*.ipynb"))
#: Committed outputs that are not current; each entry says why.
TOLERATED = tomllib.loads((CLONE / "figures" / "stale.toml").read_text())

by_name = pytest.mark.parametrize("path", ALL_NOTEBOOKS, ids=lambda p: p.stem)


def pip_pins() -> dict[str, str]:
    listed = yaml.safe_load((CLONE / "environment.yml").read_text())["dependencies"][-1]["pip"]
    return dict(item.split("==") for item in listed if "==" in item)


def test_pins_lie_in_the_ranges_of_pyproject():
    from packaging.requirements import Requirement

    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    extras = [r for group in project["optional-dependencies"].values() for r in group]
    ranges = [Requirement(r) for r in [*project["dependencies"], *extras] if not r.startswith("dcac-lite")]
    pins = {name.lower().replace("_", "-"): version for name, version in pip_pins().items()}
    assert {r.name.lower().replace("_", "-") for r in ranges} == set(pins)
    for requirement in ranges:
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), requirement


def test_the_set_up_installs_the_same_list():
    sys.path.insert(0, str(CLONE))
    from setup_environment import pins

    assert pins() == yaml.safe_load((CLONE / "environment.yml").read_text())["dependencies"][-1]["pip"]


def test_import_loads_nothing_heavy():
    code = "import sys, dcac_lite; print([m for m in ('torch', 'numpy', 'pandas', 'diffusers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_public_names_exist():
    import dcac_lite

    for name in dcac_lite.__all__:
        assert getattr(dcac_lite, name).__doc__ or isinstance(getattr(dcac_lite, name), (dict, tuple)), name
    with pytest.raises(AttributeError, match="it offers .*Experiment"):
        dcac_lite.experiment_


def test_the_drawing_is_that_of_the_imports():
    page = architecture.PAGE.read_text(encoding="utf-8")
    assert page == architecture.with_drawing(page), "run python -m dcac_lite architecture"


def test_the_drawing_leaves_out_only_what_follows():
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"a", "c"}}
    left = architecture.reduced(graph)
    assert left == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": {"a"}}
    whole = architecture.arrows()
    left = architecture.reduced(whole)
    assert all(left[a] <= whole[a] for a in whole)
    assert all(architecture._reached(a, left) == architecture._reached(a, whole) for a in whole)


# ---------------------------------------------------------------- notebooks


def test_numbers_are_written_as_people_write_them():
    values = (4.3e-6, 0, 0.0598, 13.86, 1390.2, float("inf"))
    assert [readable(v) for v in values] == ["4.30 × 10⁻⁶", "0", "0.0598", "13.9", "1,390", "none"]


def test_a_line_of_progress_is_text_and_leaves_nothing(monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    code = "from dcac_lite.progress import line\nfor _ in line(range(3), 'counting'): pass"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    shown = []
    client = NotebookClient(notebook, kernel_name="python3")
    keep = client.process_message

    def look(message, *rest):
        shown.append(message["content"].get("data"))
        return keep(message, *rest)

    monkeypatch.setattr(client, "process_message", look)
    client.execute()
    assert any("counting" in data.get("text/plain", "") for data in shown if data)
    assert not any("widget" in kind for data in shown if data for kind in data)
    tidy(notebook)
    assert notebook.cells[0].outputs == []


def test_the_book_is_complete():
    numbers = [p.name[:2] for p in ALL_NOTEBOOKS]
    assert numbers == [f"{k:02}" for k in range(15)] + ["A1", "A2", "B1", "B2"]


@by_name
def test_notebook_runs_in_the_smoke_tier(path, tmp_path):
    execute(path, tmp_path / path.name, {"tier": "smoke"})
    assert (tmp_path / path.name).exists() and not list(tmp_path.glob("*.failed.ipynb"))


def test_committed_outputs_belong_to_their_sources_or_are_listed():
    assert not [f"{verdict.artefact}: {verdict}" for verdict in verdicts() if verdict.fails]


@by_name
def test_committed_outputs_are_of_one_run_of_the_lite_tier(path):
    notebook = nbformat.read(path, as_version=4)
    if f"notebooks/{path.name}" in TOLERATED:
        pytest.skip(f"not current: {TOLERATED[f'notebooks/{path.name}']['why']}")
    assert notebook.metadata["dcac_lite"]["tier"] == "lite"
    code = [c for c in notebook.cells if c.cell_type == "code"]
    ours = [c for c in code if "exercise" not in c.metadata.get("tags", []) or c.execution_count]
    assert [c.execution_count for c in ours] == list(range(1, len(ours) + 1))
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@by_name
def test_notebook_reads_like_a_book(path):
    notebook = nbformat.read(path, as_version=4)
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    assert max(len(c.splitlines()) for c in code) <= 25
    assert words >= 3 * sum(len(c.splitlines()) for c in code)
    assert notebook.metadata.kernelspec.language == "python"
    assert sum("parameters" in c.metadata.get("tags", []) for c in notebook.cells) == 1
    assert str(CLONE) not in json.dumps(notebook), "an output names a folder of the machine it ran on"


@by_name
def test_every_picture_is_described(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [
        o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    for output in outputs:
        assert len(output.metadata.get("image/png", {}).get("alt", "")) >= 40, (
            f"{path.name}: a figure was not shown by setup.save"
        )


@by_name
def test_parameters_are_literals_with_help(path):
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    for statement, line in zip(ast.parse(cell.source).body, cell.source.splitlines(), strict=True):
        ast.literal_eval(statement.value)
        assert re.search(r"  # \w", line), f"{path.name}: no help for {line}"


def namespace(injected: str = "", **values) -> dict:
    return {"In": ["", 'tier = "lite"', f"# Parameters\n{injected}\n"], "tier": "lite", "seed": 0, "lr": None, **values}


RULES = {"tier": ("smoke", "lite", "full"), "seed": int, "lr": float | None}


def test_wrong_parameters_are_refused_in_a_sentence():
    start(namespace("seed = 3", seed=3), **RULES)
    start(namespace("lr = 1", lr=1), **RULES)  # a whole number is a number
    with pytest.raises(ParameterError, match="Unknown parameter sead: this notebook has tier, seed, lr"):
        start(namespace("sead = 3"), **RULES)
    with pytest.raises(ParameterError, match="tier is 'large': expected one of 'smoke', 'lite', 'full', 'rehearsal'"):
        start(namespace(tier="large"), **RULES)
    with pytest.raises(ParameterError, match=r"lr is '1e-3' \(str\): expected float or None"):
        start(namespace(lr="1e-3"), **RULES)
    with pytest.raises(ParameterError, match=r"seed is True \(bool\): expected int"):
        start(namespace(seed=True), **RULES)


def test_a_misspelt_parameter_stops_the_training_notebook(tmp_path):
    from papermill.exceptions import PapermillExecutionError

    (path,) = NOTEBOOKS.glob("05_*.ipynb")
    with pytest.raises(PapermillExecutionError, match="Unknown parameter sources_"):
        execute(path, tmp_path / "out.ipynb", {"tier": "smoke", "sources_": "MA"})
    assert not (tmp_path / "out.ipynb").exists() and (tmp_path / "out.failed.ipynb").exists()


UNUSABLE = {
    "domain is 'nope'; expected one of MA": {"targets": "D+nope"},
    "There is no folder .*nope": {"targets": "D+./nope"},
    "milestones is .5, 'x'.; expected rising epochs": {"milestones": "5+x"},
    "identities is 1.5 .float.: expected int or None": {"identities": 1.5},
}


def test_what_the_training_notebook_cannot_use_stops_it_early(tmp_path):
    (path,) = NOTEBOOKS.glob("05_*.ipynb")
    jobs = [(path, {"tier": "smoke"} | parameters) for parameters in UNUSABLE.values()]
    for sentence, stop in zip(UNUSABLE, stops(jobs, DCAC_RUNS=str(tmp_path)), strict=True):
        assert re.search(sentence, stop.sentence), stop
    assert not list(tmp_path.rglob("config.json"))


def test_the_training_notebook_trains_what_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path / "runs"))
    (path,) = NOTEBOOKS.glob("05_*.ipynb")
    told = {"epochs": 3, "iterations": 2, "identities": 6, "instances": 3, "warmup": 1, "padding": 0}
    told |= {"weight_decay": 0.1, "erasing": 0.5, "gamma": 0.5}
    execute(path, tmp_path / "out.ipynb", {"tier": "smoke", "targets": "D", "milestones": "2+3"} | told)
    (config,) = (tmp_path / "runs").rglob("config.json")
    experiment = json.loads(config.read_text())["experiment"]
    assert {name: experiment[name] for name in told} == told and experiment["milestones"] == [2, 3]


# ---------------------------------------------------------------- set-up


def test_wrong_python_is_one_sentence(monkeypatch, tmp_path):
    import setup_environment

    monkeypatch.setattr(setup_environment, "STAMP", tmp_path / "no-stamp")
    monkeypatch.setattr(setup_environment.sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3.11 to 3.14, but .* is Python 3.9.1"):
        setup_environment.main()


def test_full_disk_is_one_sentence(monkeypatch, tmp_path):
    import setup_environment

    monkeypatch.setattr(setup_environment, "STAMP", tmp_path / "no-stamp")
    monkeypatch.setattr(setup_environment.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2e9}))
    with pytest.raises(SystemExit, match="has 2.0 GB free"):
        setup_environment.main()


@pytest.mark.parametrize("reached", [True, False])
def test_without_a_gpu_the_builds_without_cuda_are_tried_first(monkeypatch, capsys, reached):
    from pathlib import Path

    import setup_environment

    asked = []

    def pretend(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0 if reached else 2)

    monkeypatch.setattr(setup_environment.subprocess, "run", pretend)
    setup_environment.install_for_cpu(Path("python"), "uv")
    (command,) = asked
    assert command[:3] == ["uv", "pip", "install"] and "cpu" in command
    assert [pin.split("==")[0] for pin in command if "==" in pin] == ["torch", "torchvision"]
    assert ("its usual ones, 6 GB, do as well" in capsys.readouterr().out) != reached


def pretending(monkeypatch):
    """The commands that `setup_environment` would run, and the module."""
    import setup_environment

    asked = []

    def pretend(command, **options):
        asked.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(setup_environment.subprocess, "run", pretend)
    monkeypatch.setattr(setup_environment, "has_nvidia_driver", lambda: False)
    return asked, setup_environment


def test_the_wheelhouse_holds_every_pin_and_what_installs_the_clone(monkeypatch, tmp_path):
    asked, setup_environment = pretending(monkeypatch)
    setup_environment.wheelhouse(tmp_path)
    pins = [f"{name}=={version}" for name, version in pip_pins().items()]
    assert set(asked[-1]) >= {"wheel", "--wheel-dir", str(tmp_path), *pins, "setuptools>=77"}
    assert not [command for command in asked if "-e" in command or "-e ." in command]


def test_without_a_network_pip_alone_installs(monkeypatch, tmp_path):
    """It reads PIP_NO_INDEX and PIP_FIND_LINKS, which uv does not."""
    asked, setup_environment = pretending(monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(setup_environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(setup_environment, "VENV", tmp_path)
    monkeypatch.setattr(setup_environment, "STAMP", tmp_path / "installed-from")
    monkeypatch.setattr(setup_environment, "NEEDED_GB", 0)
    setup_environment.main()
    made, installed = asked
    assert made[1:3] == ["-m", "venv"] and installed[:3] == [str(tmp_path / "bin" / "python"), "-m", "pip"]
    assert not [word for word in made + installed if "uv" in word.split("/")]
