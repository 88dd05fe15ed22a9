"""mAP and CMC: against cases worked by hand and an independent brute force."""

import numpy as np
import pytest
import torch

from dcac_lite.evaluation import rank_metrics


def on_a_line(query_at, gallery_at, q_pids, g_pids, q_cams, g_cams, **options):
    """Features are points on a line, so that distances can be read off."""
    as_features = lambda xs: torch.tensor(xs, dtype=torch.float32)[:, None]  # noqa: E731
    ids = [np.array(v) for v in (q_pids, g_pids, q_cams, g_cams)]
    return rank_metrics(as_features(query_at), as_features(gallery_at), *ids, **options)


def test_worked_by_hand():
    # gallery by distance: wrong, right, wrong, right -> AP = (1/2 + 2/4) / 2 = 1/2
    result = on_a_line([0.0], [1.0, 2.0, 3.0, 4.0], [7], [1, 7, 2, 7], [1], [2, 2, 2, 2])
    assert result["mAP"] == pytest.approx(50.0)
    assert (result["R1"], result["R5"], result["queries"]) == (0.0, 100.0, 1)


def test_own_camera_is_ignored_but_not_other_people_in_it():
    # the nearest image is the same person in the same camera: it neither helps nor harms
    result = on_a_line([0.0], [0.5, 1.0, 2.0], [7], [7, 7, 3], [1], [1, 2, 1])
    assert result["mAP"] == 100.0 and result["R1"] == 100.0
    # another person in the same camera does count against us
    result = on_a_line([0.0], [0.5, 1.0], [7], [3, 7], [1], [1, 2])
    assert result["mAP"] == 50.0 and result["R1"] == 0.0


def test_query_without_match_is_not_counted():
    result = on_a_line([0.0, 0.0], [1.0, 2.0], [7, 8], [7, 9], [1, 1], [2, 2])
    assert result["queries"] == 1 and result["mAP"] == 100.0
    with pytest.raises(ValueError, match="No query"):
        on_a_line([0.0], [1.0], [7], [8], [1], [2])


def test_ties_count_against_the_model():
    # every distance is equal: a model that sees nothing must not look perfect
    result = on_a_line([0.0], [1.0] * 4, [7], [7, 1, 2, 3], [1], [2] * 4)
    assert result["mAP"] == pytest.approx(25.0) and result["R1"] == 0.0


def test_diverged_features_are_refused():
    with pytest.raises(ValueError, match="diverged"):
        on_a_line([float("nan")], [1.0], [7], [7], [1], [2])


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    q, g = torch.randn(23, 5), torch.randn(211, 5)
    q_pids, g_pids = rng.integers(0, 12, 23), rng.integers(0, 14, 211)
    q_cams, g_cams = rng.integers(1, 4, 23), rng.integers(1, 4, 211)
    aps, firsts = [], []
    for k in range(23):
        order = np.argsort(((q[k] - g) ** 2).sum(1).numpy())
        kept = [j for j in order if not (g_pids[j] == q_pids[k] and g_cams[j] == q_cams[k])]
        hits = [g_pids[j] == q_pids[k] for j in kept]
        if any(hits):
            precisions = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
            aps.append(sum(precisions) / len(precisions))
            firsts.append(hits.index(True))
    result = rank_metrics(q, g, q_pids, g_pids, q_cams, g_cams, batch=7)
    assert result["mAP"] == pytest.approx(100 * np.mean(aps), abs=1e-6)
    for rank in (1, 5, 10):
        assert result[f"R{rank}"] == pytest.approx(100 * np.mean(np.array(firsts) < rank), abs=1e-6)
