"""Code that computes the same numbers makes nothing stale, and other code is found out."""

import json
import shutil

import pytest

from dcac_lite import code_key
from dcac_lite.__main__ import main
from dcac_lite.paths import CLONE, PACKAGE
from dcac_lite.tools import same

SMALL = {"tier": "smoke", "precision": "no", "epochs": 1, "iterations": 2, "conditioning": "none"}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Stands for figures/same_numbers.json."""
    monkeypatch.setattr(same, "_known", lambda: tmp_path / "same.json")

    def write(*records: tuple) -> None:
        names = ("key_was", "key_now", "was", "now")
        (tmp_path / "same.json").write_text(json.dumps([dict(zip(names, record)) for record in records]))

    return write


@pytest.fixture
def edited(tmp_path):
    """A copy of the package with one place of its trainer said otherwise."""

    def edit(old: str, new: str):
        shutil.copytree(PACKAGE, tmp_path / "dcac_lite", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(CLONE / "figures" / "results", tmp_path / "figures" / "results")
        file = tmp_path / "dcac_lite" / "trainer.py"
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
        return tmp_path

    return edit


RATE = "lr_factor(epoch, e.warmup, e.milestones, e.of_recipe.warmup_from_start)"


@pytest.fixture(scope="module")
def trained_once():
    """`same.made_by`, which trains with the present code only the first time."""
    made_by, made = same.made_by, {}

    def once(code, folder, wanted):
        if code != PACKAGE.parent:
            return made_by(code, folder, wanted)
        if code not in made:
            made[code] = made_by(code, folder, wanted)
        return made[code]

    return once


@pytest.mark.parametrize(("said", "differing"), [(f"{RATE} * e.lr", 0), (f"1.001 * e.lr * {RATE}", 1)])
def test_code_written_otherwise_is_told_from_code_that_computes_otherwise(
    said, differing, edited, tmp_path, monkeypatch, trained_once
):
    monkeypatch.setattr(same, "experiments", lambda: [SMALL])
    monkeypatch.setattr(same, "made_by", trained_once)
    clone = edited(f"e.lr * {RATE}", said)
    different, (was, key_was), (now, key_now) = same.compare(clone, tmp_path)
    assert len(different) == differing and key_was != key_now == code_key.code_key(code_key.RESULTS)
    assert {file for file in was if was[file] != now[file]} == {"dcac_lite/trainer.py"}


def test_keys_of_equal_code_form_a_chain(kept):
    assert same.same_keys("c") == {"c"}
    kept(("b", "c", {}, {}), ("a", "b", {}, {}), ("x", "y", {}, {}))
    assert same.same_keys("c") == {"a", "b", "c"} and same.same_keys("b") == {"a", "b"}


def test_an_artefact_of_equal_code_is_as_it_was_in_every_record(kept):
    kept(("b", "c", {"m": "2", "gone": "g"}, {"m": "3", "new": "n"}), ("a", "b", {"m": "1"}, {"m": "2", "gone": "g"}))
    then, today = {"m": "1", "own": "o"}, {"m": "3", "new": "n", "own": "o"}
    assert then in same.as_it_was(then, today)
    assert then not in same.as_it_was(then, today | {"own": "other"})
    assert same.as_it_was(then, {"m": "4", "own": "o"}) == [{"m": "4", "own": "o"}]  # changed since


def test_records_of_two_commits_need_not_follow_from_one_another(kept):
    """Artefacts of both are current, whichever was compared first."""
    kept(("b", "c", {"m": "2"}, {"m": "3"}), ("a", "c", {"m": "1"}, {"m": "3"}))
    for then in ({"m": "2"}, {"m": "1"}):
        assert then in same.as_it_was(then, {"m": "3"})


def test_a_module_of_the_artefact_s_own_stays_its_own(kept):
    kept(("b", "c", {"m": "2"}, {"m": "3", "also": "a"}))
    then = {"m": "2", "also": "a"}
    assert then in same.as_it_was(then, {"m": "3", "also": "a"})


def test_every_way_of_a_run_is_compared():
    from dcac_lite.adaptation import MODES
    from dcac_lite.conditioning import SCHEMES
    from dcac_lite.experiment import Experiment
    from dcac_lite.recipes import RECIPES

    found = [Experiment(**values).resolved() for values in same.experiments()]
    assert {e.conditioning for e in found} >= {"none", "correlation-aware", "class-wise-rescaled"} <= {"none", *SCHEMES}
    assert {e.adaptation for e in found} == set(MODES) and {e.recipe for e in found} == set(RECIPES)


def test_what_is_no_commit_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["same", "nothing-of-the-kind"])
    assert stopped.value.code == 2 and "'nothing-of-the-kind' is no commit of" in capsys.readouterr().err
