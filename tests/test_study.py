"""The comparison of baseline and DCAC: which runs it asks for, and how it pairs them."""

from dataclasses import replace

import pandas as pd
import pytest

from dcac_lite import tiers
from dcac_lite.studies import study


def table(seeds: dict[str, int], tau_c: float) -> pd.DataFrame:
    """Rows of a comparison on each source with as many seeds; DCAC at the paper's setting and at lambda 1 with `tau_c`
    is better by 1 and by 3 points, give or take a tenth."""
    settings = {"MA": (1.0, 0.6), "MS": (1.0, 1.0)}
    rows = []
    for source, count in seeds.items():
        gains = {("none", 0.0, 1.0): 0.0, ("correlation-aware", *settings[source]): 1.0}
        gains |= {("correlation-aware", 1.0, tau_c): 3.0} if (1.0, tau_c) != settings[source] else {}
        for seed in range(count):
            for (conditioning, lambda_, tau), gain in gains.items():
                facts = {
                    "sources": source,
                    "conditioning": conditioning,
                    "lambda_": lambda_,
                    "tau_c": tau,
                    "seed": seed,
                    "precision": "bf16",
                }
                wobble = 0.1 * (-1) ** seed if gain else 0.0
                rows += [facts | {"target": t, "mAP": 50 + seed + gain + wobble} for t in ("MA", "D", "MS")]
    return pd.DataFrame(rows)


def test_settings_of_one_lambda_stay_apart():
    found = study.compare(table({"MA": 4}, tau_c=0.3)).set_index(["arm", "target"])
    assert found.loc[("paper", "D"), "mean"] == pytest.approx(1) and found.loc[("tier", "D"), "mean"] == pytest.approx(
        3
    )
    assert set(found["n"]) == {4} and found.loc[("tier", "mean of unseen"), "p"] < 1e-3


def test_a_setting_that_is_the_papers_is_one_arm():
    found = study.compare(table({"MA": 2, "MS": 3}, tau_c=0.6))
    assert found.groupby("source")["arm"].unique().map(set).to_dict() == {"MA": {"paper"}, "MS": {"paper", "tier"}}


def test_a_source_with_one_pair_waits():
    assert set(study.compare(table({"MA": 2, "MS": 1}, tau_c=0.3))["source"]) == {"MA"}


def test_no_run_is_asked_for_twice(monkeypatch):
    own = {"lambda_": 1.0, "tau_c": 0.6}  # the paper's on MA, not on MS
    monkeypatch.setitem(tiers.TIERS, "lite", replace(tiers.LITE, **own))
    jobs = [(experiment.resolved().sources, experiment.seed) for experiment, _ in study.comparison()]
    assert jobs.count((("MA",), 10)) == 2 and jobs.count((("MS",), 10)) == 3
