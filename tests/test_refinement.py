"""Prediction refinement: against Algorithm 1 written out vote by vote, and what it can and cannot do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcac_lite.evaluation import rank_metrics
from dcac_lite.expansion.refinement import RULES, refine, refined_distances
from dcac_lite.reranking import distance_metrics


def cosine(a, b) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def by_the_algorithm(query, copies, gallery, pids, m, rule, allowed) -> dict[int, float]:
    """Algorithm 1 for one query, steps 1 to 5, in loops; or the published code's scores."""
    similarity = (lambda a, b: cosine(a, b)) if rule == "paper" else (lambda a, b: 1 + cosine(a, b))

    def nearest(view):
        found = [(similarity(view, gallery[j]), j) for j in range(len(gallery)) if allowed[j]]
        return sorted(found, key=lambda pair: -pair[0])[:m]

    scores = {}
    for k, view in enumerate([query, *copies]):
        found = nearest(view)
        if not found:
            continue
        largest = found[0][0]
        if k == 0:
            scores = {int(pids[j]): 0.0 for _, j in found}
        for person in scores:
            own = [c for c, j in found if pids[j] == person]
            if rule == "paper":
                scores[person] += sum(c / largest for c in own)
            elif own:
                scores[person] += max(own) ** 2 / largest + (max(own) if k == 0 else 0)
    return scores


def world(seed, queries=9, people=6, pictures=4, copies=3, dim=5, noise=0.7):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    centres = 1.5 + draw(people, dim)
    asked = torch.arange(queries) % people
    pids = np.arange(people).repeat(pictures)
    gallery = centres[torch.from_numpy(pids)] + noise * draw(people * pictures, dim)
    query = centres[asked] + noise * draw(queries, dim)
    others = centres[asked] + noise * draw(copies, queries, dim)
    return query, others, gallery, pids + 10, asked.numpy() + 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("m", "copies"), [(5, 6), (1, 3), (3, 1), (24, 2), (99, 2), (5, 0)])
def test_equals_the_algorithm_vote_by_vote(monkeypatch, seed, rule, m, copies):
    monkeypatch.setattr("dcac_lite.expansion.refinement._ROWS", 4)  # several parts
    query, others, gallery, pids, _ = world(seed, copies=copies)
    rng = np.random.default_rng(seed)
    ignored = rng.random((len(query), len(gallery))) < 0.3
    ignored[0] = np.arange(len(gallery)) > 1  # two pictures left, fewer than m
    for out in (None, ignored):
        refined = refine(query, others, gallery, pids, m, rule, out)
        for row in range(len(query)):
            allowed = np.ones(len(gallery), bool) if out is None else ~out[row]
            args = query[row].double(), others[:, row].double(), gallery.double(), pids, m, rule, allowed
            expected = by_the_algorithm(*args)
            assert refined.candidates(row) == pytest.approx(expected, rel=1e-5)
            assert expected[refined.answers[row]] == pytest.approx(max(expected.values()), rel=1e-5)
            there = refined.nearest[row] >= 0
            assert set(pids[refined.order[row][there]]) == set(expected)
            assert not there.all() or out is None or not out[row][refined.nearest[row]].any()


def test_a_query_without_a_picture_to_search_has_no_answer():
    query, others, gallery, pids, _ = world(0)
    refined = refine(query, others, gallery, pids, ignored=np.arange(len(query))[:, None] < np.ones((1, len(gallery))))
    assert refined.answers[0] == -1 and refined.candidates(0) == {} and refined.answers[1] >= 10


@pytest.mark.parametrize("rule", RULES)
def test_rank_1_afterwards_cannot_exceed_rank_m_before_and_voting_helps(rule):
    """Copies that differ from the query by independent noise alone: voting wins much, as it does for any such views."""
    query, others, gallery, pids, asked = world(5, queries=120, people=60, copies=6, dim=16, noise=1.3)
    query, gallery = F.normalize(query), F.normalize(gallery)
    none = np.zeros((len(query), len(gallery)), bool)
    cameras = np.zeros(len(query), int), np.ones(len(gallery), int)
    before = rank_metrics(query, gallery, asked, pids, *cameras, ranks=(1, 2, 5, 20))
    reached = []
    for m in (1, 2, 5, 20):
        refined = refine(query, others, gallery, pids, m, rule)
        after = distance_metrics(refined_distances(query, gallery, refined), asked, pids, none, ranks=(1, m))
        assert after["R1"] == pytest.approx(100 * (refined.answers == asked).mean())
        assert after["R1"] <= before[f"R{m}"] + 1e-9
        assert after[f"R{m}"] == pytest.approx(before[f"R{m}"], abs=1e-4)  # the first m stay the first m
        reached.append(after["R1"])
    assert reached[0] == pytest.approx(before["R1"]) and reached[2] > before["R1"] + 5


def test_nothing_changes_when_the_nearest_are_one_person():
    query, others, gallery, pids, _ = world(1, noise=0.01)
    refined = refine(query, others, gallery, pids, m=4)
    assert np.array_equal(refined.order, refined.nearest)
    # at most (l + 1) m, reached when every view sees the same cosines
    same = refine(query[:1], query[None, :1].repeat(3, 1, 1), query[:1].repeat(4, 1), np.full(4, 7), m=4)
    assert same.scores == pytest.approx(np.full((1, 4), 16.0))


def test_only_the_order_of_the_first_m_changes():
    query, others, gallery, pids, _ = world(2)
    refined = refine(query, others, gallery, pids, m=5)
    distances = refined_distances(query, gallery, refined)
    plain = 1 - F.normalize(query) @ F.normalize(gallery).t()
    moved = distances != plain
    for row in range(len(query)):
        assert not moved[row, sorted(set(range(len(gallery))) - set(refined.nearest[row]))].any()
        assert distances[row].argsort()[:5].tolist() == refined.order[row].tolist()
        assert torch.equal(distances[row].sort().values, plain[row].sort().values)


def test_people_outside_the_query_s_own_list_cannot_win():
    gallery = F.normalize(torch.tensor([[1.0, 0.1], [0.9, 0.5], [0.1, 1.0]]))
    query, others = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]).repeat(6, 1, 1)
    refined = refine(query, others, gallery, np.array([1, 2, 3]), m=2)
    assert set(refined.candidates(0)) == {1, 2} and refined.answers[0] == 2


WRONG = {
    "rule is 'sum'; expected one of paper, official": {"rule": "sum"},
    "m is 0; expected a whole number": {"m": 0},
    "m is True; expected a whole number": {"m": True},
    r"copies' features have shape \[3, 8, 5\]; expected \[copies, 9, 5\], as many of every query": {"copies": 8},
    r"person ids are int64 of shape \[3\]; expected 24 whole numbers": {"pids": np.arange(3)},
    r"person ids are float64 of shape \[24\]": {"pids": np.arange(24.0)},
    r"What is ignored has shape \[9, 3\]; expected \[9, 24\]": {"ignored": np.zeros((9, 3), bool)},
    "contain NaN or infinity": {"nan": True},
    r"shapes \[9, 5\] and \[24, 4\]": {"width": 4},
    "No gallery picture has a positive cosine to query 0.*rule=.official.": {"sign": -1},
}


@pytest.mark.parametrize(("sentence", "wrong"), WRONG.items())
def test_what_cannot_be_used_is_one_sentence(sentence, wrong):
    query, others, gallery, pids, _ = world(0, noise=0.1)
    gallery = (gallery.abs() * wrong.get("sign", 1))[:, : wrong.get("width", 5)]
    query = query.abs()
    others = others.abs()[:, : wrong.get("copies", 9)]
    if "nan" in wrong:
        query[3, 2] = torch.nan
    options = {name: wrong[name] for name in ("rule", "m", "ignored") if name in wrong}
    with pytest.raises(ValueError, match=sentence):
        refine(query, others, gallery, wrong.get("pids", pids), **options)


def test_a_copy_without_a_likeness_is_named_and_the_official_rule_takes_it():
    query, others, gallery, pids, _ = world(0, noise=0.1)
    query, others, gallery = query.abs(), others.abs(), gallery.abs()
    others[1, 4] *= -1
    with pytest.raises(ValueError, match="positive cosine to copy 2 of query 4"):
        refine(query, others, gallery, pids)
    assert np.isfinite(refine(query, others, gallery, pids, rule="official").scores).all()


def test_metrics_of_distances_are_those_of_features():
    query, _, gallery, pids, asked = world(3, queries=20)
    cameras = np.arange(20) % 3, np.arange(24) % 3
    expected = rank_metrics(query, gallery, asked, pids, *cameras)
    ignored = (asked[:, None] == pids) & (cameras[0][:, None] == cameras[1])
    found = distance_metrics(torch.cdist(query.double(), gallery.double()), asked, pids, ignored)
    assert found == pytest.approx(expected)
    with pytest.raises(ValueError, match="No query has a match left"):
        distance_metrics(torch.cdist(query, gallery), asked, pids, asked[:, None] == pids)
