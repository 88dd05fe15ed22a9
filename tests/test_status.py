"""What is current and what is stale because of which file, in a small copy of the clone; and whether a run made
again agrees with a table."""

import ast
import hashlib
import json
import math
import shutil
from dataclasses import asdict

import pandas as pd
import pytest
from scipy import stats

from dcac_lite import Experiment, code_key
from dcac_lite.__main__ import main
from dcac_lite.paths import CLONE, PACKAGE
from dcac_lite.tools import compare, status

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
        ("tools/architecture", set()),
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


def test_a_changed_caption_makes_its_notebook_stale(clone):
    captions = clone / "dcac_lite" / "book" / "captions.toml"
    captions.write_text(captions.read_text(encoding="utf-8") + '\n[re_figure]\ncaption = "More."\n', encoding="utf-8")
    assert stale() == {READER: ("dcac_lite/book/captions.toml",)}


def test_a_table_whose_name_cannot_be_found_is_refused():
    with pytest.raises(ValueError, match="results_file.*name in quotes"):
        status.tables_read(ast.parse("results_file(study)"))


def test_changed_cells_and_weights_are_named(clone):
    (clone / OTHER).write_text(notebook(["# said differently", *CELLS[OTHER]]))
    assert stale() == {OTHER: (OTHER,)}  # a cell more
    assert any("stale because of its own code cells" in str(verdict) for verdict in status.verdicts())
    (clone / "dcac_lite" / "weights" / "w").write_text("2")
    weights = ("dcac_lite/weights",)
    assert stale() == {READER: weights, COMPARISON: weights, CAM: weights, OTHER: (*weights, OTHER)}


def test_a_reader_s_own_cell_makes_nothing_stale(clone):
    page = json.loads((clone / OTHER).read_text())
    own = {"cell_type": "code", "metadata": {"tags": ["exercise"]}, "source": ["from dcac_lite import Run\n", "Run"]}
    page["cells"].append(own)
    (clone / OTHER).write_text(json.dumps(page))
    assert stale() == {}


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


def test_a_notebook_that_is_run_in_place_is_recorded(clone, monkeypatch):
    """And the same one run into another folder is not. (What papermill would run is only copied.)"""
    import nbformat
    import papermill

    from dcac_lite.tools.reproduce import execute

    path = clone / OTHER
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from dcac_lite import evaluate")]), path)
    monkeypatch.setattr(papermill, "execute_notebook", lambda source, target, *_, **__: shutil.copy(source, target))
    execute(path, clone / "runs" / "lite" / "notebooks" / path.name, {})
    assert OTHER in stale()
    execute(path, path, {})
    assert stale() == {}


def test_the_list_of_the_clone_has_a_reason_for_each():
    listed = status.tolerated()
    assert set(listed) <= set(status.artefacts()) and (CLONE / "figures" / "stale.toml").exists()
    assert all(set(entry) == {"since", "why"} and len(entry["why"]) > 20 for entry in listed.values())


# ---------------------------------------------------------------- compare


class Again:
    """Stands for a finished run: its experiment, what it measures, and where it was made."""

    def __init__(self, experiment: Experiment, provenance=None, **metrics: float):
        self.experiment, self.metrics = experiment.resolved(), metrics
        self.provenance = provenance or {"versions": {"torch": "2.15.0"}, "threads": 2, "code_key": "k", "commit": "c"}

    def evaluate(self, *targets: str) -> pd.DataFrame:
        return pd.DataFrame([{"target": target, "mAP": self.metrics[target]} for target in targets])


VALUES = {"D": [36.1, 35.2, 37.0, 36.4], "MS": [10.0, 11.0, 12.0, 13.0]}


def table_of(experiment: Experiment, **columns) -> pd.DataFrame:
    resolved = experiment.resolved()
    joined = {"sources": "+".join(resolved.sources), "milestones": "+".join(map(str, resolved.milestones))}
    cells = [(seed, target, value) for target, values in VALUES.items() for seed, value in enumerate(values, 10)]
    facts = asdict(resolved) | joined | {"torch": "2.15.0"} | columns
    return pd.DataFrame([facts | {"seed": seed, "target": target, "mAP": value} for seed, target, value in cells])


def test_the_interval_is_that_of_one_more_value():
    low, high = compare.prediction_interval([1.0, 2.0, 4.0])
    # 7 / 3 is the mean, and the squared distances to it add up to 14 / 3
    reach = 4.302652729911275 * math.sqrt(14 / 3 / 2) * math.sqrt(4 / 3)
    assert (low, high) == pytest.approx((7 / 3 - reach, 7 / 3 + reach), abs=1e-9)
    scale = math.sqrt(7 / 3 * 4 / 3)
    assert (low, high) == pytest.approx(stats.t(2, loc=7 / 3, scale=scale).interval(0.95), abs=1e-9)
    with pytest.raises(ValueError, match="1 seed gives no interval"):
        compare.prediction_interval([1.0])


def test_inside_and_outside_are_said(tmp_path):
    dcac, baseline = Experiment(seed=3), Experiment(seed=3, conditioning="none")
    file = tmp_path / "table.csv"
    other = table_of(baseline).assign(mAP=0.0)  # of other settings: counts for nothing
    pd.concat([table_of(dcac), other]).to_csv(file, index=False)
    cells = compare.compare(Again(dcac, D=36.0, MS=20.0), pd.read_csv(file)).set_index("target")
    assert cells["verdict"].to_dict() == {"D": "inside", "MS": "outside"} and set(cells["seeds"]) == {4}
    assert tuple(cells.loc["MS", ["low", "high"]]) == pytest.approx(compare.prediction_interval(VALUES["MS"]))


@pytest.mark.parametrize("milestones", [(), (3,), (2, 4)])
def test_milestones_are_read_as_they_were_written(milestones, tmp_path):
    experiment = Experiment(milestones=milestones)
    table_of(experiment).to_csv(tmp_path / "table.csv", index=False)
    assert len(compare.matching(experiment.resolved(), pd.read_csv(tmp_path / "table.csv"))) == 8


@pytest.mark.parametrize(
    ("experiment", "sentence"),
    [
        (Experiment(lambda_=7.5), "nothing in the table matches this run; .* differ in lambda_ 7.5 here and .* there"),
        (Experiment(epochs=4, milestones=(), warmup=1), "epochs 4 here and 12 there"),
        (Experiment(weight_decay=0.5), "weight_decay 0.5 here and"),  # which the table does not state
        (Experiment(sources=("MA", "D")), r"sources \('MA', 'D'\) here and \('MA',\) there"),
    ],
)
def test_what_matches_nothing_is_one_sentence(experiment, sentence):
    table = table_of(Experiment()).drop(columns=["weight_decay"])
    with pytest.raises(ValueError, match=sentence):
        compare.compare(Again(experiment), table)


def test_the_command_says_the_verdict_and_what_differs(tmp_path, monkeypatch, capsys):
    from dcac_lite import runs

    table_of(Experiment(precision="bf16"), commit="e").to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.setattr(runs, "Run", lambda folder: Again(Experiment(seed=10, precision="no"), D=36, MS=20))
    assert not main(["compare", str(tmp_path), "--table", str(tmp_path / "table.csv")])
    said = capsys.readouterr().out
    assert "1 of 2 outside." in said and "The table has seed 10 itself" in said and "torch" not in said
    assert "threads: 2 here, not recorded in the table" in said and "commit: c here, e in the table" in said
    assert "precision: no here, bf16 in the table" in said


def test_the_shipped_comparison_has_rows_of_the_default_run():
    table = pd.read_csv(CLONE / "figures" / "results" / "comparison.csv")
    for experiment in (Experiment(), Experiment(conditioning="none")):
        rows = compare.matching(experiment, table)
        assert rows.seed.nunique() >= 3 and len(rows) == 4 * rows.seed.nunique()  # source and three unseen domains


def test_a_run_records_threads_and_code():
    from dcac_lite.runs import provenance

    known = provenance()
    assert known["threads"] >= 1 and known["code_key"] == code_key.code_key(code_key.RESULTS)


def test_one_code_has_one_hash_under_every_python():
    code = 'def shown(x, width, *, more=()):\n    """Shown."""\n    return f"{x:{width}} of {x!r:.{width}}"'
    tree = ast.parse(code)
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]:
        node.values.append(ast.Constant(value=""))  # as Python 3.12.1 does by itself in two of the three
    assert status._written(tree) == status._written(ast.parse(code))
    # under 3.11.7
    assert hashlib.sha256(status._written(ast.parse(code))).hexdigest().startswith("482f524a089bdc94")
