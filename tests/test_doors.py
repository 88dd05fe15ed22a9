"""The one command line: every door opens, and what is wrong ends in one sentence and exit status 2."""

import subprocess
import sys

import pytest

from dcac_lite import Experiment
from dcac_lite import __main__ as command
from dcac_lite.__main__ import DOORS, main, parse
from dcac_lite.studies.study import in_processes, run_study


def test_without_a_door_the_doors_are_shown(capsys):
    assert not main([])
    shown = " ".join(capsys.readouterr().out.split())  # as wide as the terminal is
    assert all(f"{name} {words}" in shown for name, (_, words) in DOORS.items())


@pytest.mark.parametrize("door", DOORS)
def test_every_door_explains_itself(door, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([door, "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m dcac_lite {door} ") and "--help" in shown


def test_only_the_door_that_is_asked_for_is_imported():
    code = "import sys; from dcac_lite.__main__ import main; main([]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "invalid choice: 'trian'"),
        ("train --sedd 3", "unrecognized arguments: --sedd 3"),
        ("train --seed x", "argument --seed: invalid int value: 'x'"),
        ("train --recipe text", "dcac_lite train: recipe is 'text'; expected one of default, official, paper"),
        ("reproduce --in-place --tier smoke", "--in-place is for the lite tier"),
        ("reproduce 77", "starts with 77"),
        ("study", "dcac_lite study: name a study: baseline-tuning"),
        ("weights", "weights: the following arguments are required: COMMAND"),
        ("world report --sources XX --tier smoke", "XX"),
    ],
)
def test_wrong_input_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line and line.startswith("python -m dcac_lite")


def test_an_error_that_is_not_ours_says_where_it_came_from(monkeypatch):
    parsed = parse(["verify"])
    parsed.call = lambda _: int("a mistake in the code")
    monkeypatch.setattr(command, "parse", lambda _: parsed)
    with pytest.raises(ValueError, match="invalid literal"):
        main(["verify"])


def test_studies_send_their_jobs_through_the_door(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    small = Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1)
    table = run_study([(small, ("D", "MS"))], progress=False)
    assert table["target"].tolist() == ["D", "MS"] and table["mAP"].between(0, 100).all()
    untrained = in_processes("cam-study", [(small, False)], progress=False)
    assert set(untrained["model"]) == {"untrained"} and "rank correlation with looks" in set(untrained["measure"])
    with pytest.raises(RuntimeError, match="dcac_lite study: target is 'XX'; expected one of MA"):
        run_study([(small, ("XX",))], progress=False)
