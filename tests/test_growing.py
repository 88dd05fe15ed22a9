"""A study's table grows over days and machines: what is known is not trained again, and pairs share a precision."""

from dataclasses import asdict, replace

import pandas as pd
import pytest

from dcac_lite import Experiment
from dcac_lite.code_key import RESULTS, code_key
from dcac_lite.paths import figures_root
from dcac_lite.studies import growing, study


def row(experiment: Experiment, target: str, **facts) -> dict:
    """As `study.rows_of_run` describes a run."""
    joined = {"sources": "+".join(experiment.sources), "milestones": "+".join(map(str, experiment.milestones))}
    return asdict(experiment) | joined | {"target": target, "data": "drawn", "code_key": code_key(RESULTS)} | facts


@pytest.fixture
def trained(monkeypatch):
    """Nothing is trained: the experiments that would have been, in their order."""
    asked: list[Experiment] = []

    def run_study(block, *_):
        asked.extend(e.resolved() for e, _ in block)
        return pd.DataFrame([row(e.resolved(), target) for e, targets in block for target in targets])

    monkeypatch.setattr(growing, "run_study", run_study)
    monkeypatch.setattr(growing, "find", lambda e: None)
    monkeypatch.setattr(growing, "rows_of_run", lambda e, targets: [row(e.resolved(), t) for t in targets])
    monkeypatch.setattr(growing, "load_domain", lambda *_: None)
    monkeypatch.setattr(growing, "training_set", lambda _: type("Drawn", (), {"fingerprint": "drawn"}))
    return asked


JOBS = [
    (Experiment(conditioning=scheme, seed=seed), ("D", "C3")) for seed in (0, 1) for scheme in ("none", "class-wise")
]


def known(tmp_path, *rows: dict):
    pd.DataFrame(rows).to_csv(tmp_path / "known.csv", index=False)
    return [tmp_path / "known.csv"]


def test_finished_runs_come_first_and_every_block_is_handed_out(trained, monkeypatch):
    monkeypatch.setattr(growing, "BLOCK", 2)
    monkeypatch.setattr(growing, "find", lambda e: e if (e.seed, e.conditioning) == (1, "none") else None)
    tables = list(growing.growing(JOBS))
    assert [len(table) for table in tables] == [2, 6, 8]
    assert tables[0]["seed"].tolist() == [1, 1] and [e.seed for e in trained] == [0, 0, 1]
    assert list(zip(tables[-1]["seed"], tables[-1]["conditioning"]))[::2] == [(e.seed, e.conditioning) for e, _ in JOBS]


def test_what_a_table_holds_is_not_trained_again(trained, tmp_path):
    there = [row(e.resolved(), target) for e, targets in JOBS for target in targets]
    (table,) = growing.growing(JOBS, known(tmp_path, *there))
    assert not trained and len(table) == 8


@pytest.mark.parametrize("other", [{"code_key": "another"}, {"data": "other people"}])
def test_rows_of_other_code_or_data_are_not_taken(trained, tmp_path, other):
    there = [row(e.resolved(), target, **other) for e, targets in JOBS for target in targets]
    *_, table = growing.growing(JOBS, known(tmp_path, *there))
    assert len(trained) == 4 and not set(other.values()) & {*table["data"], *table["code_key"]}


def test_a_run_that_lacks_a_target_is_made_again(trained, tmp_path):
    there = [row(e.resolved(), "D") for e, _ in JOBS]
    list(growing.growing(JOBS, known(tmp_path, *there)))
    assert len(trained) == 4


def test_a_pair_is_completed_in_the_precision_of_this_machine(trained, tmp_path):
    """Seed 0 was run whole on another machine; of seed 1 there is the baseline only, so it is run here as well."""
    here = JOBS[0][0].resolved().precision
    elsewhere = "no" if here == "bf16" else "bf16"
    there = [row(replace(e.resolved(), precision=elsewhere), t) for e, targets in JOBS[:3] for t in targets]
    *_, table = growing.growing(JOBS, known(tmp_path, *there))
    assert [(e.seed, e.conditioning, e.precision) for e in trained] == [(1, "none", here), (1, "class-wise", here)]
    assert len(table) == 10 and set(table["precision"]) == {here, elsewhere}
    pairs = study.against_baseline(table.assign(mAP=range(len(table))))
    assert sorted(zip(pairs["seed"], pairs["precision"])) == [(0, elsewhere)] * 2 + [(1, here)] * 2


def test_a_precision_that_was_asked_for_is_another_job(trained, tmp_path):
    jobs = [(Experiment(conditioning="none", precision=p), ("D",)) for p in ("no", "bf16")]
    list(growing.growing(jobs, known(tmp_path, row(jobs[0][0].resolved(), "D"))))
    assert [e.precision for e in trained] == ["bf16"]


def test_a_published_row_says_which_job_it_was():
    """Numbers written and read must be the same numbers, or every run would be another one."""
    for name, jobs in (("comparison", study.comparison()), ("baseline-tuning", study.baseline_tuning())):
        published = pd.read_csv(figures_root() / "results" / f"{name}.csv")
        rows = {replace(study.experiment_of(r), precision=None) for r in published.to_dict("records")}
        assert rows == {replace(e.resolved(), precision=None) for e, _ in jobs}
