"""k-reciprocal re-ranking: against the paper's equations written out picture by picture, and what it is for."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcac_lite.evaluation import Features
from dcac_lite.release.encoded import EncodedDomain
from dcac_lite.reranking import k_reciprocal
from dcac_lite.tools.rank import ranked, reranked


def by_the_equations(query, gallery, k1, k2, lambda_) -> list[list[float]]:
    """Sec. 3 of the paper, with sets; numbers in brackets are its equations. The four choices of the authors' code are
    those that `k_reciprocal` names."""
    x = [*query.double(), *gallery.double()]
    everyone = range(len(x))
    d = [[float(((x[p] - x[g]) ** 2).sum()) for g in everyone] for p in everyone]
    d = [[value / max(row) for value in row] for row in d]

    def nearest(p, k):  # N(p, k), (1)
        return sorted(everyone, key=lambda g: (g != p, d[p][g]))[:k]

    def mutual(p, k):  # R(p, k), (2); a picture is its own first neighbour and not counted
        return {g for g in nearest(p, k + 1) if p in nearest(g, k + 1)}

    def expanded(p):  # R*(p, k1), (3)
        found = mutual(p, k1)
        for q in mutual(p, k1):
            smaller = mutual(q, round(k1 / 2))
            if len(mutual(p, k1) & smaller) / len(smaller) > 2 / 3:
                found = found | smaller
        return found

    def encoding(p):  # V_p, (7)
        members = expanded(p)
        weights = [math.exp(-d[p][g]) if g in members else 0.0 for g in everyone]
        return [weight / sum(weights) for weight in weights]

    plain = [encoding(p) for p in everyone]
    local = [np.mean([plain[g] for g in nearest(p, k2)], 0) for p in everyone]  # (11)
    q = len(query)
    result = []
    for p in range(q):
        jaccard = [1 - np.minimum(local[p], local[g]).sum() / np.maximum(local[p], local[g]).sum() for g in everyone]
        result.append([(1 - lambda_) * jaccard[g] + lambda_ * d[p][g] for g in everyone][q:])  # (10), (12)
    return result


CASES = [(20, 6, 0.3), (6, 3, 0.3), (5, 1, 0.0), (7, 2, 1.0), (3, 8, 0.5), (1, 1, 0.1), (50, 6, 0.3)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("k1", "k2", "lambda_"), CASES)
def test_equals_the_equations(seed, k1, k2, lambda_):
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(6, 4, generator=generator)
    query, gallery = (centres[torch.arange(n) % 6] + torch.randn(n, 4, generator=generator) for n in (7, 28))
    found = k_reciprocal(query, gallery, k1, k2, lambda_)
    assert found.shape == (7, 28) and found.dtype == torch.float32
    assert np.allclose(found, by_the_equations(query, gallery, k1, k2, lambda_), atol=2e-6)


def crowd(seed: int = 0, people: int = 60) -> EncodedDomain:
    """People whose pictures lie on short lines in a crowd, so that the far ends meet only through those between."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(1, people + 1), 9)
    directions = F.normalize(torch.from_numpy(rng.normal(size=(people, 16)))).numpy()
    along = np.tile(np.linspace(-1, 1, 9), people)[:, None]
    x = rng.normal(size=(people, 16))[pids - 1] + 2.5 * along * directions[pids - 1]
    x = F.normalize(torch.from_numpy(x + 0.1 * rng.normal(size=x.shape)).float())
    asked = np.arange(len(pids)) % 9 == 0
    query, gallery = (
        Features(x[torch.from_numpy(s)], pids[s], np.full(s.sum(), c)) for c, s in enumerate((asked, ~asked))
    )
    return EncodedDomain(query, gallery, True)


def test_it_finds_more_where_neighbours_lead_on():
    domain = crowd()
    before, after = ranked(domain), reranked(domain)
    assert before["queries"] == after["queries"] == 60 and after["mAP"] > before["mAP"] + 5


def test_with_lambda_1_nothing_changes(monkeypatch):
    monkeypatch.setattr("dcac_lite.tools.rank.k_reciprocal", lambda q, g: k_reciprocal(q, g, lambda_=1.0))
    domain = crowd(people=10)
    domain.gallery.cameras[::3] = 0  # matches in the query's own camera; some queries keep others
    domain.query.pids[0] = 99  # a query without any match is not counted
    before, after = ranked(domain), reranked(domain)
    assert before["queries"] == 9 and after == pytest.approx(before, abs=0.01)


def test_the_full_matrix_is_not_needed(monkeypatch):
    domain = crowd(people=40)
    whole = k_reciprocal(domain.query.x, domain.gallery.x)
    monkeypatch.setattr("dcac_lite.reranking._ROWS", 7)
    assert torch.allclose(k_reciprocal(domain.query.x, domain.gallery.x), whole, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"k1": 0}, {"k2": 0}, {"lambda_": 1.5}, {"lambda_": float("nan")}])
def test_numbers_without_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="expected k1, k2 >= 1 and 0 <= lambda <= 1"):
        k_reciprocal(torch.rand(3, 2), torch.rand(9, 2), **wrong)
    with pytest.raises(ValueError, match="diverged"):
        k_reciprocal(torch.rand(3, 2), torch.full((9, 2), torch.nan))
