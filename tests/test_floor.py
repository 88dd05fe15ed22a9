"""The baseline against itself, and luck with people: by hand, and on a model that knows nothing."""

import numpy as np
import pandas as pd
import pytest

from dcac_lite import Experiment, load_domain
from dcac_lite.evaluation import evaluate
from dcac_lite.studies.floor import against_itself, halves
from dcac_lite.studies.people import by_person, luck, spread
from dcac_lite.training import build


def measured(lines):
    """Measurements of MA's lines on three targets, from mAP by seed."""
    return pd.DataFrame(
        {"name": name, "target": target, "seed": seed, "mAP": value}
        for name, by_seed in lines.items()
        for seed, value in by_seed.items()
        for target in ("D", "MS", "C3")
    )


def test_four_seeds_can_be_halved_in_three_ways():
    found = [(sorted(one), sorted(other)) for one, other in halves([1, 2, 3, 4])]
    assert sorted(found) == [([1, 2], [3, 4]), ([1, 3], [2, 4]), ([1, 4], [2, 3])]
    assert len(list(halves([1, 2, 3, 4, 100]))) == 3  # the odd one is left out


def test_what_a_seed_shares_is_in_the_floor_and_not_in_the_pairs():
    shared = dict(zip(range(10, 18), (0.0, 2.0, -2.0, 1.0, -1.0, 3.0, -3.0, 0.5)))
    own = dict(zip(shared, (0.1, -0.1) * 4))
    known = measured({"MA-baseline": shared, "MA-other": {seed: shared[seed] + own[seed] for seed in shared}})
    (row,) = against_itself(known).to_dict("records")
    assert (row["source"], row["seeds"]) == ("MA", 8)
    assert row["between_seeds"] == pytest.approx(pd.Series(shared).std())
    assert row["between_pairs"] == pytest.approx(pd.Series(own).std())
    assert row["sees_strangers"] > 10 * row["sees_pairs"]
    assert len(row["differences"]) == 35
    assert row["told_apart"] <= 5  # what a test at 5 % takes for real where there is nothing


def test_three_seeds_have_no_floor():
    assert against_itself(measured({"MA-baseline": {10: 1.0, 11: 2.0, 12: 3.0}})).empty


def test_the_error_over_people_is_that_of_their_means_where_all_are_asked_equally_often():
    found = spread([0, 50, 100], [2, 2, 2])
    assert found["mean"] == 50
    assert found["error"] == pytest.approx(pd.Series([0, 50, 100]).sem())
    assert spread([0, 50, 100], [2, 1, 1])["mean"] == pytest.approx(37.5)
    assert np.isnan(spread([50], [2])["error"])


def test_persons_make_up_the_map():
    domain = load_domain("D", "smoke")
    model = build(Experiment(tier="smoke", conditioning="none").resolved(), 24)[0].reid.eval()
    found = pd.DataFrame(by_person(model, domain))
    assert sorted(found["person"]) == sorted(set(domain.query.pids.tolist()))
    whole = evaluate(model, domain)
    assert found["queries"].sum() == whole["queries"]
    assert spread(found["AP"], found["queries"])["mean"] == pytest.approx(whole["mAP"])


def test_luck_tells_people_from_seeds():
    rng = np.random.default_rng(0)
    rows = []
    for target in ("D", "MS", "C3"):
        for person in range(50):
            ease = rng.uniform(0, 100)  # people differ, in both lines alike
            for seed in (1, 2, 3):
                here = {"target": target, "person": person, "queries": 2, "seed": seed}
                rows += [here | {"line": "baseline", "AP": ease}, here | {"line": "DCAC", "AP": ease + seed}]
    table = luck(pd.DataFrame(rows)).set_index("target")
    mean = table.loc["mean of unseen"]
    assert mean["difference"] == pytest.approx(2)
    assert mean["difference_error"] == pytest.approx(0, abs=1e-9)
    assert mean["seeds_error"] == pytest.approx(pd.Series([1, 2, 3]).sem())
    single = table.loc["D", "baseline_error"]
    assert 2 < single < 6  # a uniform spread of 100 over 50 people
    assert mean["baseline_error"] < single
