"""The day before a workshop: what `doctor` finds, and what works in a clone that is somebody else's."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from dcac_lite import Experiment, load_domain, paths, run
from dcac_lite.__main__ import main
from dcac_lite.book.notebook import start
from dcac_lite.runs import find
from dcac_lite.tools import doctor

SMOKE = Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1)
OTHER = 65534  # nobody's number, on Linux and macOS


def test_a_right_machine_is_ready(capsys):
    """With a kernel and a training run of its own, of which nothing is left."""
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Ready." and [line[:3] for line in lines[:-1]] == ["ok "] * len(doctor.CHECKS)
    assert "trained in" in lines[-2] and not list(Path(os.environ["DCAC_RUNS"]).glob(".doctor-*"))


def test_what_is_wrong_is_said_and_the_other_checks_go_on(monkeypatch, capsys):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 0.9e9}))
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=99", "no-such-library", "voila>=99; extra == 'web'"])
    quick = ("Python", "libraries", "memory", "notebooks")
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in quick})
    assert main(["doctor"]) == 1
    python, libraries, memory, notebooks, last = capsys.readouterr().out.splitlines()
    assert python.startswith("ok ") and notebooks.startswith("ok ") and last == "2 to fix."
    assert libraries.startswith("FIX  libraries") and "expected >=99; no-such-library is missing: install" in libraries
    assert memory == "FIX  memory     0.9 GB are free; a notebook that trains takes 1.4 GB: close something."


def test_another_environment_s_kernel_is_named(tmp_path, monkeypatch):
    """Such as one that a former course has left in the home folder."""
    stray = tmp_path / "other"
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", stray])
    assert made.returncode == 0
    spec = {"argv": [f"{stray}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec | {"display_name": "Old", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(paths.CLONE), *filter(None, sys.path)]))
    with pytest.raises(ValueError, match=f"the kernel python3 is that of {stray}, not of {sys.prefix}"):
        doctor.kernel()


def test_widgets_of_another_installation_are_named(tmp_path, monkeypatch):
    there = tmp_path / "labextensions" / doctor.WIDGETS
    there.mkdir(parents=True)
    (there / "package.json").write_text("{}")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(ValueError, match=f"those of {there} come first"):
        doctor.widgets()


# ---------------------------------------------------------------- somebody else's clone


@pytest.fixture
def home(monkeypatch):
    """The home folder of somebody who uses another's clone, where one finished run and one drawn domain are."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    clone, home = folder / "clone", folder / "home"
    drawn = load_domain("MA", "smoke").root
    shutil.copytree(drawn, clone / "data" / "lite" / drawn.name)
    home.mkdir()
    for variable in ("DCAC_RUNS", "DCAC_DATA", "DCAC_FIGURES", "DCAC_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(paths, "CLONE", clone)
    monkeypatch.setattr(paths, "IN_CLONE", True)
    try:
        run(SMOKE, progress=False).evaluate("MA")
        start({"tier": "smoke"}, tier=("smoke",))  # imports what another user may not be able to read
        places = [folder, clone, *(path for path in clone.rglob("*") if path.is_dir())]
        for place in places:
            place.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(home, OTHER, OTHER)
            os.seteuid(OTHER)
        try:
            yield home
        finally:
            os.seteuid(os.getuid())
            for place in places:
                place.chmod(0o755)
    finally:
        shutil.rmtree(folder)


def test_in_somebody_else_s_clone_finished_runs_are_found_and_own_things_go_home(home):
    theirs = run(SMOKE, progress=False)
    assert theirs.folder.parent == paths.CLONE / "runs" / "smoke" == find(SMOKE).folder.parent
    assert theirs.place == str(theirs.folder) and theirs.evaluate("MA")["mAP"][0] > 0
    mine = run(replace(SMOKE, seed=1), progress=False)
    assert mine.folder == home / "dcac-lite" / "runs" / mine.place
    assert start({"tier": "smoke"}, tier=("smoke",)).folder == home / "dcac-lite" / "runs" / "smoke" / "figures"
    copies = paths.copies_folder()
    assert copies == home / "dcac-lite" / "my-notebooks" and paths.own_folder(copies).is_dir()


def test_what_somebody_else_s_folders_lack_is_one_sentence(home, monkeypatch):
    with pytest.raises(PermissionError) as told:
        load_domain("C3", "smoke")
    assert str(told.value) == (
        f"C3 of the smoke tier is not drawn and decoded in {paths.CLONE}/data/lite, where you may not write: ask its "
        "owner for `python -m dcac_lite world draw`, or set DCAC_DATA to a folder of your own."
    )
    with pytest.raises(ValueError, match=r"lacks D \(smoke\), MS \(smoke\), .* V \(lite\): ask its owner"):
        doctor.data()
    monkeypatch.setenv("DCAC_RUNS", str(paths.CLONE / "runs"))
    assert run(SMOKE, progress=False).folder.is_relative_to(paths.CLONE)
    refusal = f"You may not write in {paths.CLONE}/runs/smoke/.*: set DCAC_RUNS to a folder of your own."
    for written in (
        lambda: run(replace(SMOKE, seed=2), progress=False),
        lambda: start({"tier": "smoke"}, tier=("smoke",)),
    ):
        with pytest.raises(PermissionError, match=refusal):
            written()
