"""mAP and CMC: against cases worked by hand and an independent brute force."""

import numpy as np
import pytest
import torch

from dcac_lite.evaluation import rank_lists, rank_metrics


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


def random_case(seed: int, tied: bool):
    """Features and ids; `tied` puts the features on a coarse grid, so that many distances are equal."""
    rng = np.random.default_rng(seed)
    queries, images = int(rng.integers(1, 40)), int(rng.integers(1, 250))
    q, g = (rng.integers(-1, 2, (n, 3)) if tied else rng.normal(size=(n, 5)) for n in (queries, images))
    ids = (
        rng.integers(0, 12, queries),
        rng.integers(0, 14, images),
        rng.integers(1, 4, queries),
        rng.integers(1, 4, images),
    )
    return torch.from_numpy(q).float(), torch.from_numpy(g).float(), *ids


def brute_force(q, g, q_pids, g_pids, q_cams, g_cams) -> dict[str, float]:
    """The protocol image by image, in float64; of equally far images the wrong ones come first, and
    matches among them share the last place."""
    aps, wrong_before_first = [], []
    for k in range(len(q)):
        distances = ((q[k].double() - g.double()) ** 2).sum(1).tolist()
        valid = [j for j in range(len(g)) if not (g_pids[j] == q_pids[k] and g_cams[j] == q_cams[k])]
        right = [j for j in valid if g_pids[j] == q_pids[k]]
        if not right:
            continue
        at_most = lambda among, j: sum(distances[i] <= distances[j] for i in among)  # noqa: E731
        aps.append(np.mean([at_most(right, j) / at_most(valid, j) for j in right]))
        nearest = min(right, key=lambda j: distances[j])
        wrong_before_first.append(at_most(valid, nearest) - at_most(right, nearest))
    scores = {f"R{k}": 100 * np.mean(np.array(wrong_before_first) < k) for k in (1, 5, 10)}
    return {"mAP": 100 * np.mean(aps)} | scores | {"queries": len(aps)}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_equals_brute_force(seed, tied):
    case = random_case(seed, tied)
    expected = brute_force(*case)
    if not expected["queries"]:
        with pytest.raises(ValueError, match="No query"):
            rank_metrics(*case)
        return
    for batch in (1, 7, 256):
        assert rank_metrics(*case, batch=batch) == pytest.approx(expected, abs=1e-6)


def test_more_queries_than_are_counted_together_and_uneven_identities():
    rng = np.random.default_rng(0)
    q_pids, g_pids = np.arange(100) % 9, np.concatenate([np.zeros(200, int), rng.integers(0, 9, 60)])
    q, g = torch.from_numpy(rng.normal(size=(100, 4))).float(), torch.from_numpy(rng.normal(size=(260, 4))).float()
    case = q, g, q_pids, g_pids, rng.integers(0, 3, 100), rng.integers(0, 3, 260)
    assert rank_metrics(*case) == pytest.approx(brute_force(*case), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_rank_lists_hold_the_nearest_valid_images(seed):
    q, g, q_pids, g_pids, q_cams, g_cams = random_case(seed, tied=False)
    positions, right = rank_lists(q, g, q_pids, g_pids, q_cams, g_cams, top=20, batch=3)
    assert positions.shape == right.shape == (len(q), 20)
    for k in range(len(q)):
        order = np.argsort(((q[k].double() - g.double()) ** 2).sum(1).numpy())
        kept = [j for j in order if g_pids[j] != q_pids[k] or g_cams[j] != q_cams[k]][:20]
        assert positions[k].tolist() == kept + [-1] * (20 - len(kept))
        assert right[k].tolist() == [g_pids[j] == q_pids[k] for j in kept] + [False] * (20 - len(kept))


def test_rank_list_longer_than_the_gallery():
    positions, right = rank_lists(
        torch.tensor([[0.0]]),
        torch.tensor([[2.0], [1.0], [0.5]]),
        *map(np.array, ([7], [7, 3, 7], [1], [2, 2, 1])),
        top=5,
    )
    assert positions.tolist() == [[1, 0, -1, -1, -1]]
    assert right.tolist() == [[False, True, False, False, False]]  # the own camera's image is left out
    with pytest.raises(ValueError, match="top is 0"):
        rank_lists(torch.zeros(1, 1), torch.zeros(1, 1), *[np.zeros(1, int)] * 4, top=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": 5}, r"ranks is 5; expected several whole numbers such as \(1, 5, 10\)"),
        ({"query": torch.zeros(3, 4)}, "Query features have 4 entries and gallery features 2"),
        ({"gallery": torch.zeros(5)}, r"gallery features have shape \[5\]"),
        ({"query_pids": np.zeros(2, int)}, r"There are 3 query features and person ids of shape \[2\]"),
        ({"gallery_cameras": np.zeros(4, int)}, r"There are 5 gallery features and cameras of shape \[4\]"),
        (
            {"gallery": torch.zeros(0, 2), "gallery_pids": np.zeros(0), "gallery_cameras": np.zeros(0)},
            "The gallery is empty",
        ),
        (
            {"query": torch.zeros(0, 2), "query_pids": np.zeros(0), "query_cameras": np.zeros(0)},
            "No query has a true match",
        ),
        (
            {"query": torch.zeros(3, 0), "gallery": torch.zeros(5, 0)},
            r"query features have shape \[3, 0\]; expected \[images, d\]",
        ),
        (
            {"query": torch.zeros(3, 2, dtype=torch.complex64)},
            "query features are torch.complex64; expected real numbers",
        ),
        ({"gallery": np.zeros((5, 2), complex)}, "gallery features are complex128; expected real numbers"),
        ({"gallery": [["a", "b"]] * 5}, "gallery features are <U1; expected real numbers"),
        ({"query_pids": np.full(3, np.nan)}, "person ids of the query are float64; expected whole numbers"),
        ({"gallery_cameras": ["c1"] * 5}, "cameras of the gallery are <U2"),
        ({"gallery_pids": np.full(5, 2**63, np.uint64)}, "gallery are uint64; expected whole numbers below"),
        *(
            ({"ranks": (1, rank)}, f"ranks is {rank!r}; expected a whole number")
            for rank in (0, -1, 1.5, float("nan"), True)
        ),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"gallery": torch.full((5, 2), float("inf"))}, "diverged"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    case = {
        "query": torch.zeros(3, 2),
        "gallery": torch.zeros(5, 2),
        "query_pids": np.zeros(3, int),
        "gallery_pids": np.zeros(5, int),
        "query_cameras": np.zeros(3, int),
        "gallery_cameras": np.ones(5, int),
    }
    assert rank_metrics(**case)["queries"] == 3
    with pytest.raises(ValueError, match=message):
        rank_metrics(**case | change)


def far_away(move):
    rng = np.random.default_rng(3)
    q, g = rng.normal(size=(60, 8)), rng.normal(size=(400, 8))
    ids = rng.integers(0, 40, 60), rng.integers(0, 40, 400), rng.integers(1, 4, 60), rng.integers(1, 4, 400)
    return (torch.from_numpy(move(q)).float(), torch.from_numpy(move(g)).float()), ids


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x + 1000,
        lambda x: x + 1e4,
        lambda x: x * 1e-30,
        lambda x: x * 1e30,
        lambda x: x + 5000 * (x[:, :1] > 0),
        lambda x: 1 + 1e-3 * x,
    ],
    ids=["+ 1000", "+ 10000", "x 1e-30", "x 1e30", "two far places", "nearly equal"],
)
def test_features_of_any_length_are_ranked_right(move):
    (q, g), ids = far_away(move)
    order = 1e-30 if q.abs().max() < 1e-20 else 1e30 if q.abs().max() > 1e20 else 1
    expected = brute_force(q.double() / order, g.double() / order, *ids)
    assert rank_metrics(q, g, *ids) == pytest.approx(expected, abs=1e-9)
    positions, _ = rank_lists(q, g, *ids, top=1)
    for k, position in enumerate(positions[:, 0]):
        valid = [j for j in range(400) if ids[1][j] != ids[0][k] or ids[3][j] != ids[2][k]]
        assert position == min(valid, key=lambda j: (q[k].double() - g[j]).norm())


def test_numpy_and_lists_are_as_good_as_tensors():
    (q, g), ids = far_away(lambda x: x)
    expected = rank_metrics(q, g, *ids)
    array = g.numpy()
    array.flags.writeable = False
    assert rank_metrics(q.numpy(), array, *map(torch.from_numpy, ids)) == expected
    assert rank_metrics(q.tolist(), g.tolist(), *map(list, ids), ranks=np.array([1, 5, 10])) == expected


def test_large_person_ids_of_different_types_are_not_mixed_up():
    pids = 2**60 + np.arange(4)
    one = torch.eye(4)
    result = rank_metrics(one, one, pids, pids.astype(np.uint64), np.zeros(4, int), np.ones(4, int))
    assert result["R1"] == 100 and result["queries"] == 4 and result["mAP"] == 100
