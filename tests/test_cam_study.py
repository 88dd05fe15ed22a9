"""What maps and features are measured against: probes, measures with their null, counterfactual pictures, the shipped
study."""

import numpy as np
import pytest
import torch

from dcac_lite import Experiment, load_domain
from dcac_lite.studies.cam import DEFINITIONS, UNSEEN, measure_maps, measure_pairs, rank_correlations
from dcac_lite.studies.counterfactuals import CHANGES, feature_moves, measure_changes, split_again, take_again
from dcac_lite.studies.map_measures import (
    energy_ratio,
    measure_blob,
    measure_regions,
    own_minus_shuffled,
    pointing_game,
)
from dcac_lite.studies.probes import make_pair_probe, make_probe
from dcac_lite.studies.statistics import smallest_paired_effect
from dcac_lite.studies.study import results_file
from dcac_lite.training import build
from dcac_lite.world.truth import truth_of


@pytest.fixture(scope="module")
def untrained():
    return build(Experiment(tier="smoke", conditioning="none").resolved(), 24)[0].reid.eval()


@pytest.fixture(scope="module")
def probe():
    return make_probe("MA", "smoke")


def test_measures_on_maps_that_can_be_counted():
    masks = np.zeros((3, 4, 4), bool)
    masks[:, :2, :2] = True  # a quarter of the area
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0] = 1  # no preference
    maps[1, 0, 0], maps[1, 3, 3] = 3, 1  # three quarters of the energy, and the peak, inside
    np.testing.assert_allclose(energy_ratio(maps, masks), [1, 3, np.nan])
    np.testing.assert_allclose(pointing_game(maps, masks)[1:], [1, np.nan])
    p = np.array([[9, 2, 1, 0], [0, 9, 1, 2], [2, 1, 9, 0], [0, 0.5, 1, 9]], float)
    np.testing.assert_allclose(rank_correlations(p, p), 1)  # the diagonal does not count


def test_the_probe_asks_about_the_right_people(untrained, probe):
    everyone = np.arange(len(probe.images))
    assert np.array_equal(probe.targets["own"], everyone)
    alike, stranger = probe.targets["look-alike"], probe.targets["stranger"]
    assert (alike != everyone).all() and (stranger != everyone).all()
    assert (probe.looks[everyone, alike] > probe.looks[everyone, stranger]).all()
    measured = measure_maps(untrained, probe, "GradCAM", "last", "look-alike")
    area = probe.regions["body"].mean((1, 2))
    total = measured["body"] * area + measured["background"] * (1 - area)  # energy on the body and beside it
    np.testing.assert_allclose(total[np.isfinite(total)], 1, rtol=1e-5)


def test_a_map_that_sees_nothing_has_nothing_of_its_own(probe):
    measured = measure_blob(probe.regions)
    assert measured["body"].mean() > 1.3 and measured["pointing"].mean() > 0.7  # and yet it looks right
    for measure in ("body", "pointing"):
        assert abs(measured[f"{measure}, own minus shuffled"].mean()) < 0.02


def test_a_map_of_the_picture_s_own_person_has_something_of_its_own(probe):
    maps = probe.regions["body"].astype(np.float32)
    measured = measure_regions(maps, probe.regions)
    np.testing.assert_allclose(measured["body"], 1 / probe.regions["body"].mean((1, 2)), rtol=1e-4)
    assert (measured["body, own minus shuffled"] > 0.2).mean() > 0.9
    maps[0] = 0
    assert np.isnan(own_minus_shuffled(energy_ratio, maps, probe.regions["body"])[0])
    with pytest.raises(ValueError, match="no other picture"):
        own_minus_shuffled(energy_ratio, maps[:1], maps[:1] > 0)


def test_a_query_is_paired_with_its_match_and_a_stranger(untrained):
    pairs, domain = make_pair_probe("D", "smoke"), load_domain("D", "smoke")
    assert len(pairs.images) == len(np.unique(domain.query.pids)) and set(pairs.others) == {"match", "stranger"}
    queries, gallery = (
        {image.tobytes(): facts for image, *facts in zip(split.images, split.pids, split.cameras)}
        for split in (domain.query, domain.gallery)
    )
    for image, match, stranger in zip(pairs.images, pairs.others["match"], pairs.others["stranger"]):
        pid, camera = queries[image.tobytes()]
        (same, elsewhere), (other, _) = gallery[match.tobytes()], gallery[stranger.tobytes()]
        assert pid == same != other and camera != elsewhere
    measured = measure_pairs(untrained, pairs, "GradCAM", "last", "match")
    assert set(measured) == set(measure_blob(pairs.regions)) and np.isfinite(measured["body"]).any()


# ---------------------------------------------------------------- counterfactuals


def test_one_thing_is_changed_and_the_rest_is_not():
    domain = load_domain("D", "smoke")
    samples = truth_of("D", domain.query.names[:12], "smoke")
    again = {change: take_again(samples, change) for change in CHANGES}
    for k, sample in enumerate(samples):
        body, picture = sample.picture.body_mask, sample.picture.image.transpose(2, 0, 1)
        assert np.array_equal(again["nothing"][k], picture)
        changed = np.abs(again["background"][k].astype(int) - picture).mean(0)
        assert changed[~body].mean() > 3 * changed[body].mean()
    assert all(not np.array_equal(again[change], again["nothing"]) for change in ("camera", "light", "pose"))
    with pytest.raises(
        ValueError, match="'weather' is no change: choose one of nothing, background, camera, light, pose"
    ):
        take_again(samples, "weather")
    with pytest.raises(ValueError, match="All samples are from one camera"):
        take_again(samples[:1], "camera")


def test_moves_are_in_units_of_other_people():
    pids = np.array([1, 1, 2, 2])
    before = torch.eye(4)
    np.testing.assert_allclose(feature_moves(before, before, pids), 0)
    np.testing.assert_allclose(feature_moves(before, before.roll(1, 0), pids), 1)


def test_changes_are_measured_on_features_and_on_rankings(untrained):
    rows = {row["change"]: row for row in measure_changes(untrained, "D", "smoke")}
    assert list(rows) == list(CHANGES) and abs(rows["nothing"]["moved"]) < 1e-5
    assert rows["nothing"]["mAP, query again"] == rows["nothing"]["mAP, gallery again"]
    assert all(0 < rows[change]["moved"] < 2 for change in CHANGES if change != "nothing")
    assert split_again("D", "query", "light", "smoke") is split_again("D", "query", "light", "smoke")  # drawn once


# ---------------------------------------------------------------- the study


def test_the_smallest_effect_is_found_as_often_as_asked():
    from scipy import stats

    rng = np.random.default_rng(0)
    scatter = np.array([-1.0, 1, 0, 2, -2])
    smallest = smallest_paired_effect(scatter, np.zeros(5))
    drawn = rng.normal(smallest, scatter.std(ddof=1), (4000, 5))
    assert abs((stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() - 0.8) < 0.03
    assert smallest_paired_effect([1, 2], [0, 1]) == 0
    with pytest.raises(ValueError, match="1 pair has no scatter"):
        smallest_paired_effect([1], [0])


def test_the_shipped_study_is_complete():
    import pandas as pd

    table = pd.read_csv(results_file("cam"))
    maps = table[~table.method.isin(["probabilities", "counterfactual"])]
    assert set(table.model) == {"none", "instance-wise", "correlation-aware", "untrained"}
    assert set(maps[["method", "layer"]].itertuples(index=False, name=None)) == set(DEFINITIONS)
    assert set(table.domain) == {"MA", *UNSEEN} and set(table[table.method == "counterfactual"].target) == set(CHANGES)
    per_run = table.groupby(["model", "seed"]).size()
    assert len(per_run) == 4 * table.seed.nunique() and table.seed.nunique() >= 2 and per_run.nunique() == 1
    # body and background share all the energy, so the two ratios lie on opposite sides of 1
    wide = maps[maps.target == "own"].pivot_table(
        index=["model", "seed", "method", "layer"], columns="measure", values="value"
    )
    assert ((wide.body - 1) * (wide.background - 1) <= 0).all()


def test_garments_are_where_they_are_drawn():
    """Not above and below a row: boxes are misplaced, and a dress is long."""
    probe = make_probe("MA", "smoke")
    upper, lower, clothing = (probe.regions[name] for name in ("upper", "lower", "clothing"))
    assert not (upper & lower).any() and not ((upper | lower) & ~probe.regions["body"]).any()
    assert ((upper | lower) & clothing).sum() > 0.99 * (upper | lower).sum()
    rows = np.arange(upper.shape[1])
    middle = [[(mask.sum(1) * rows).sum() / mask.sum() for mask in (u, w)] for u, w in zip(upper, lower) if w.any()]
    assert (np.diff(middle) > 0).all()  # trousers are below shirts
    lowest = np.array([rows[mask.any(1)].max() for mask in upper if mask.any()])
    assert lowest.std() > 4
