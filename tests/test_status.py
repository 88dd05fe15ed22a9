"""What is current and what is stale because of which file, in a small copy of the clone."""

import json
import shutil

import pytest

from dcac_lite import code_key
from dcac_lite.__main__ import main
from dcac_lite.paths import CLONE, PACKAGE
from dcac_lite.tools import status

COMPARISON, CAM = "figures/results/comparison.csv", "figures/results/cam.csv"
READER, OTHER = "notebooks/reader.ipynb", "notebooks/other.ipynb"
#: One notebook reads a table, and one imports lazily what only it uses.
CELLS = {
    READER: ["from dcac_lite.studies.study import results_file", 'table = results_file("comparison")'],
    OTHER: ["import numpy as np", "from dcac_lite import rank_metrics\nrank_metrics"],
}


def notebook(cells) -> str:
    listed = [{"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": ["text"]}, *listed]})


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The package with two notebooks, two tables and a stand-in for the weights, all of it just published."""
    ignored = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(PACKAGE, tmp_path / "dcac_lite", ignore=ignored)
    monkeypatch.setattr(code_key, "PACKAGE", tmp_path / "dcac_lite")
    contents = {name: notebook(cells) for name, cells in CELLS.items()}
    for name, text in (contents | {COMPARISON: "mAP\n1\n", CAM: "value\n1\n", "dcac_lite/weights/w": "1"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in status.artefacts():
        with status.recording(tmp_path / name):
            pass
    return tmp_path


def stale() -> dict[str, tuple[str, ...]]:
    return {verdict.artefact: verdict.files for verdict in status.verdicts() if verdict.state != "current"}


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_was_just_published_is_current(clone, capsys):
    assert stale() == {} and main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [COMPARISON, "current"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("evaluation", {READER, OTHER, COMPARISON, CAM}),
        ("trainer", {READER, COMPARISON, CAM}),  # imported by what the study imports
        ("world/truth", {CAM}),
        ("benchmark", set()),
        ("tools/status", set()),  # which is imported by the studies, but makes nothing
    ],
)
def test_changed_code_makes_stale_what_was_made_with_it(module, expected, clone, capsys):
    path = clone / "dcac_lite" / f"{module}.py"
    path.write_text(path.read_text() + "\n\ndef added():\n    return 1\n")
    files = (f"dcac_lite/{module}.py",)
    assert stale() == dict.fromkeys(expected, files)
    assert main(["status"]) == (1 if expected else 0)
    assert (f"stale because of {files[0]}" in capsys.readouterr().out) == bool(expected)


def test_a_changed_body_counts_and_words_about_it_do_not(clone):
    path = clone / "dcac_lite" / "evaluation.py"
    text = path.read_text()
    first = next(line for line in text.splitlines() if line.startswith('    """'))
    edit(path, first, first.replace('"""', '"""More words. ', 1))
    path.write_text(path.read_text() + "\n# a comment\n")
    assert path.read_text() != text and stale() == {}
    line = next(line for line in text.splitlines() if line.startswith("    return "))
    edit(path, line, "    1 + 1\n" + line)
    assert stale() == dict.fromkeys([READER, OTHER, COMPARISON, CAM], ("dcac_lite/evaluation.py",))


def test_a_changed_table_makes_its_reader_stale(clone):
    (clone / COMPARISON).write_text("mAP\n2\n")
    assert stale() == {READER: (COMPARISON,)}


def test_changed_cells_and_weights_are_named(clone):
    (clone / OTHER).write_text(notebook(["# said differently", *CELLS[OTHER]]))
    assert stale() == {OTHER: (OTHER,)}  # a cell more
    assert any("stale because of its own code cells" in str(verdict) for verdict in status.verdicts())
    (clone / "dcac_lite" / "weights" / "w").write_text("2")
    weights = ("dcac_lite/weights",)
    assert stale() == {READER: weights, COMPARISON: weights, CAM: weights, OTHER: (*weights, OTHER)}


def test_what_is_listed_does_not_fail_until_it_is_made_again(clone, capsys):
    listed = clone / "figures" / "stale.toml"
    blocks = [f'["{name}"]\nsince = "today"\nwhy = "No time."' for name in (READER, CAM)]
    listed.write_text("# why\n\n" + "\n\n".join(blocks) + "\n")
    edit(clone / COMPARISON, "1", "2")
    edit(clone / "dcac_lite" / "world" / "truth.py", "\ndef ", "\nADDED = 1\n\n\ndef ")
    assert set(stale()) == {READER, CAM} and main(["status"]) == 0
    assert "(tolerated since today: No time.)" in capsys.readouterr().out
    with status.recording(clone / CAM):
        edit(clone / CAM, "1", "2")
    assert set(stale()) == {READER} and set(status.tolerated()) == {READER} and main(["status"]) == 0
    edit(clone / COMPARISON, "2", "1")  # current again, and still listed
    assert main(["status"]) == 1 and "current; take it off figures/stale.toml" in capsys.readouterr().out


def test_what_was_never_recorded_is_unknown(clone):
    (clone / "figures" / "made_from.json").unlink()
    assert {verdict.state for verdict in status.verdicts()} == {"unknown"} and main(["status"]) == 1


def test_what_changes_while_something_is_made_makes_it_stale(clone):
    with status.recording(clone / CAM):
        edit(clone / "dcac_lite" / "world" / "truth.py", "\ndef ", "\nADDED = 1\n\n\ndef ")
    assert stale() == {CAM: ("dcac_lite/world/truth.py",)}


def test_nothing_is_kept_of_a_failure_or_of_what_is_not_published(clone):
    kept = status.recorded()
    edit(clone / COMPARISON, "1", "2")
    with pytest.raises(ZeroDivisionError), status.recording(clone / READER):
        1 / 0
    for path in (clone / "runs" / "results" / "cam.csv", clone.parent / "elsewhere.ipynb"):
        with status.recording(path):
            pass
    assert status.recorded() == kept and set(stale()) == {READER}


def test_the_list_of_the_clone_has_a_reason_for_each():
    listed = status.tolerated()
    assert set(listed) <= set(status.artefacts()) and (CLONE / "figures" / "stale.toml").exists()
    assert all(set(entry) == {"since", "why"} and len(entry["why"]) > 20 for entry in listed.values())
