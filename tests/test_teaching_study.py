"""The study of the arms: what it asks for, in which order, and what its sentences say at any time."""

import numpy as np
import pandas as pd
import pytest

from dcac_lite.paths import CLONE
from dcac_lite.studies import statistics, study, teaching
from dcac_lite.tiers import LITE

CHOSEN = {arm: candidates[-1] for arm, candidates in teaching.CANDIDATES.items()}
PLAN = CLONE / "figures" / "plans" / "when-it-teaches.md"


@pytest.fixture
def jobs(monkeypatch):
    monkeypatch.setattr(teaching, "doses", lambda: CHOSEN)
    return [(experiment.resolved(), targets) for experiment, targets in teaching.study()]


def table(gains: dict[str, float], pairs: int, source: str = "MA", scatter: float = 0.2) -> pd.DataFrame:
    """A table of the study in which each line is better than the baseline by so many points."""
    rng, rows = np.random.default_rng(0), []
    by_name = {line.name: line for line in teaching.LINES}
    for seed in teaching.SEEDS[:pairs]:
        base = rng.normal(50, 2)
        for name, gain in gains.items():
            e = teaching.experiment_of(by_name[name], source, seed, CHOSEN).resolved()
            luck = rng.normal(0, scatter) if name != "baseline" else 0.0
            facts = {
                "sources": source,
                "conditioning": e.conditioning,
                "adaptation": e.adaptation,
                "seed": seed,
                "precision": "bf16",
            }
            facts |= {"lambda_": e.lambda_, "tau_c": e.tau_c}
            rows += [
                facts | {"target": t, "mAP": base + k + gain + luck} for k, t in enumerate(("MA", "D", "MS", "C3"))
            ]
    return pd.DataFrame(rows)


def test_every_line_is_an_experiment_and_none_is_asked_for_twice(jobs):
    assert len({experiment for experiment, _ in jobs}) == len(jobs)
    assert {e.conditioning for e, _ in jobs} >= {"none", "correlation-aware", "captions-predicted", "sum-p-squared"}
    assert all(targets == ("MA", "D", "MS", "C3") for _, targets in jobs)


def test_decisive_arms_come_first(jobs):
    order = [(e.sources, e.conditioning, e.seed) for e, _ in jobs]
    first = min(teaching.LOOKS)
    at = {
        name: order.index((("MA",), name, teaching.SEEDS[first - 1]))
        for name in ("none", "captions-predicted", "contrast")
    }
    assert at["none"] < at["captions-predicted"] < at["contrast"]
    later = min(k for k, (_, _, seed) in enumerate(order) if seed == teaching.SEEDS[first])
    assert at["contrast"] < later and {s for s, *_ in order[at["contrast"] : later]} >= {("MS",)}


def test_seeds_are_used_by_nothing_else(jobs):
    others = [e.seed for name, make in study.STUDIES.items() if name != "teaching" for e, _ in make()]
    assert not {e.seed for e, _ in jobs} & set(others)
    assert {targets for _, targets in teaching.tuning()} == {("V",)}


def test_lambda_is_the_loudest_of_those_as_good_as_the_best():
    rows = [{"conditioning": "none", "lambda_": 0.0, "seed": s, "precision": "bf16", "mAP": 50.0 + s} for s in range(4)]
    for arm, candidates in teaching.CANDIDATES.items():
        for k, lambda_ in enumerate(candidates):
            gain = (0.0, 0.5, 0.45, -1.0)[k]
            rows += [
                {
                    "conditioning": arm,
                    "lambda_": lambda_,
                    "seed": s,
                    "precision": "bf16",
                    "mAP": 50 + s + gain + 0.1 * (-1) ** s,
                }
                for s in range(4)
            ]
    chosen = teaching.choose(pd.DataFrame(rows))
    assert chosen == {arm: candidates[2] for arm, candidates in teaching.CANDIDATES.items()}


def test_without_the_tuning_study_the_study_says_what_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(teaching, "figures_root", lambda: tmp_path)
    monkeypatch.setattr(teaching, "runs_root", lambda: tmp_path)
    with pytest.raises(ValueError, match="run python -m dcac_lite study teaching-tuning first"):
        teaching.study()


# ---------------------------------------------------------------- sentences

GAINS = {"baseline": 0.0, "DCAC": 0.0, "random gradient": 0.0, "captions, shuffled": 0.0, "captions, predicted": 1.0}


def test_a_scheme_that_survives_its_controls_is_said_to():
    said = teaching.verdicts(table(GAINS, 12))
    assert [line.split(":")[1].split(",")[0].strip() for line in said[:3]] == ["better"] * 3
    assert any(line.startswith("DCAC and baseline within 0.3 points: equal") for line in said)


def test_the_hierarchy_ends_where_the_answer_is_no():
    said = teaching.verdicts(table(GAINS | {"captions, shuffled": 1.0}, 12))
    assert "not told apart" in said[0] and "not asked" in said[1] and "not asked" in said[2]


def test_nothing_is_decided_before_the_first_look():
    said = teaching.verdicts(table(GAINS, 11))
    assert not [line for line in said if ": better" in line or ": equal" in line] and "too early" in said[0]


def test_pairs_beyond_a_look_wait_for_the_next():
    twelve, fifteen = (teaching.verdicts(table(GAINS, pairs))[:3] for pairs in (12, 15))
    assert all("12 pairs" in line for line in twelve + fifteen)
    assert "20 pairs" in teaching.verdicts(table(GAINS, 20))[0]


def test_tables_that_lack_arms_have_sentences_too():
    said = teaching.verdicts(table({"baseline": 0.0, "label smoothing 0.3": 2.0}, 12))
    assert all("not measured yet" in line for line in said[:3])
    assert said[-1].startswith("Of the 1 other arms measured so far, 0 of them too early to tell, 1 differ")
    assert len(teaching.verdicts(table({"baseline": 0.0}, 1))) == 4


def test_lines_of_one_scheme_at_two_settings_stay_apart():
    found = teaching.to_baseline(
        table({"baseline": 0.0, "DCAC": 1.0, "DCAC, lambda 1": 3.0, "DCAC, frozen U-Net": 5.0}, 4)
    )
    means = found[found["target"] == teaching.MEAN].set_index("line")["mean"]
    assert means.round().to_dict() == {"DCAC": 1, "DCAC, lambda 1": 3, "DCAC, frozen U-Net": 5}


def test_words_for_a_sure_pupil_and_for_one_in_doubt_stay_apart_at_any_dose():
    told = {"conditioning": "captions-predicted", "adaptation": "frozen", "lambda_": 300.0}
    rows = pd.DataFrame([told | {"tau_c": tau_c} for tau_c in (teaching.SOFT, LITE.tau_c)])
    assert teaching.named(rows)["line"].tolist() == ["captions, predicted", "captions, sure"]
    tuned = {e.tau_c for e, _ in teaching.tuning() if e.conditioning == "captions-predicted"}
    assert tuned == {teaching.SOFT}


def test_equivalence_needs_a_narrow_interval_inside_the_margin():
    near, far = [0.1, -0.1, 0.05, -0.05, 0.0], [0.5, 0.4, 0.45, 0.55, 0.5]
    assert statistics.equivalence(near, 0.3) < 0.01 < 0.9 < statistics.equivalence(far, 0.3)
    assert statistics.equivalence([1.0, -1.0, 0.5, -0.5], 0.3) > 0.05
    assert statistics.equivalence([0.0, 0.0], 0.3) == 0 and statistics.equivalence([1.0, 1.0], 0.3) == 1


def test_the_figure_shows_what_is_there_in_the_plan_s_order():
    from dcac_lite.book import teaching_figures

    figure, alt = teaching_figures.arms(teaching.to_baseline(table(GAINS, 3)))
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [f"{name} (3)" for name in ("DCAC", "random gradient", "captions, predicted", "captions, shuffled")]
    assert "captions, predicted +" in alt


def test_the_plan_states_what_the_code_does():
    plan = " ".join(PLAN.read_text(encoding="utf-8").split())
    for line in teaching.LINES:
        assert f"| {line.name} |" in plan, line.name
    assert f"seeds {min(teaching.SEEDS)} to {max(teaching.SEEDS)}" in plan and f"{teaching.MARGIN} points" in plan
    for pairs, level in teaching.LOOKS.items():
        assert f"{pairs} pairs at level {level}" in plan
    for one, other in teaching.PRIMARY:
        assert f"*{one}* against *{other}*" in plan
    for one, other in teaching.EQUIVALENT:
        assert f"*{one}* and *{other}*" in plan
    for arm, candidates in teaching.CANDIDATES.items():
        assert f"{arm}: {', '.join(f'{c:g}' for c in candidates)}" in plan
