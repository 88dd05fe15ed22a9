"""Prediction refinement (DLCR, Sec. 3.2.2 and Algorithm 1): copies of a query in other clothes vote on who it shows.

The query and each of its copies search the gallery by themselves, and every picture among the m nearest of one of
them is a vote for its person. Only people among the query's own m nearest can win, so rank-1 afterwards never exceeds
rank-m before: refinement orders a short list and finds nobody new."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: How votes are weighed: as Algorithm 1 says, or as the published code (`test_reranking.py`) does.
RULES = ("paper", "official")
_ROWS = 64  # queries whose similarities to the gallery, copies' included, are looked at together


@dataclass(frozen=True)
class Refined:
    """The m nearest gallery pictures of each query with the scores of the people on them. nearest: gallery positions,
    int64 [Q, m], nearest first, -1 where a query has fewer than m pictures to search; persons: their ids, int64 [Q, m];
    scores: of each picture's person, float64 [Q, m], -inf at -1."""

    nearest: np.ndarray
    persons: np.ndarray
    scores: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Gallery positions after refinement, int64 [Q, m]: by the score of their person, and among pictures of equal
        score, as those of one person are, the query's nearest first; -1 at the end."""
        return np.take_along_axis(self.nearest, np.argsort(-self.scores, axis=1, kind="stable"), 1)

    @property
    def answers(self) -> np.ndarray:
        """The person with the highest score for each query, int64 [Q]; of equals the one nearer to the query."""
        return np.take_along_axis(self.persons, self.scores.argmax(1)[:, None], 1)[:, 0]

    def candidates(self, row: int) -> dict[int, float]:
        """The people who were scored for query `row`, best first, with their scores: S of Algorithm 1."""
        order = np.argsort(-self.scores[row], kind="stable")
        there = [k for k in order if self.nearest[row, k] >= 0]
        return {int(self.persons[row, k]): float(self.scores[row, k]) for k in there}


def refine(
    query: Tensor,
    copies: Tensor,
    gallery: Tensor,
    gallery_pids: np.ndarray | Sequence[int],
    m: int = 5,
    rule: str = "paper",
    ignored: np.ndarray | None = None,
) -> Refined:
    """Algorithm 1 for query features [Q, d], their copies' features [l, Q, d], gallery features [G, d] and the
    gallery's person ids, int [G]. The paper takes l = 6 copies and m = 5; l = 0 leaves the query to vote alone.
    Features need not be of unit length. ignored, bool [Q, G]: pictures that the protocol leaves out, which neither the
    query nor its copies then see.

    Rule "paper": with c the cosine, each of the m nearest of every view (the query, each copy) adds c / max c of that
    view to its person's score. Rule "official", as the published code does: c is 1 + cosine, a person gets c^2 / max c
    from its best picture of each view only, and once more the query's c as it is.

    Raises ValueError for arguments that do not fit each other, features that are not finite, and with rule "paper" for
    a view none of whose cosines is positive, by which nothing can be divided."""
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}.")
    if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or m < 1:
        raise ValueError(f"m is {m!r}; expected a whole number of at least 1.")
    pids = _checked(query, copies, gallery, gallery_pids, ignored)
    views = torch.cat([query[None], copies.to(query)])  # [l + 1, Q, d]
    parts = list(_refined(views, gallery.to(query), pids, min(int(m), len(gallery)), rule, ignored))
    return Refined(*(np.concatenate(part) for part in zip(*parts)))


def _checked(query, copies, gallery, gallery_pids, ignored) -> Tensor:
    """The person ids as a tensor, when everything fits everything else."""
    if (
        query.dim() != 2
        or gallery.dim() != 2
        or query.shape[1] != gallery.shape[1]
        or not len(query)
        or not len(gallery)
    ):
        shapes = f"{list(query.shape)} and {list(gallery.shape)}"
        raise ValueError(f"Query and gallery features have shapes {shapes}; expected [Q, d] and [G, d], none empty.")
    if copies.dim() != 3 or copies.shape[1:] != query.shape:
        expected = f"[copies, {len(query)}, {query.shape[1]}], as many of every query"
        raise ValueError(f"The copies' features have shape {list(copies.shape)}; expected {expected}.")
    pids = np.asarray(gallery_pids)
    if pids.shape != (len(gallery),) or pids.dtype.kind not in "iu":
        found = f"{pids.dtype} of shape {list(pids.shape)}"
        raise ValueError(f"The gallery's person ids are {found}; expected {len(gallery)} whole numbers.")
    if ignored is not None and np.shape(ignored) != (len(query), len(gallery)):
        expected = [len(query), len(gallery)]
        raise ValueError(f"What is ignored has shape {list(np.shape(ignored))}; expected {expected}.")
    if not all(torch.isfinite(x).all() for x in (query, copies, gallery)):
        raise ValueError("Features contain NaN or infinity; the model that made them has diverged.")
    return torch.from_numpy(pids.astype(np.int64)).to(query.device)


def _refined(views, gallery, pids, m, rule, ignored) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    views, gallery = F.normalize(views, dim=-1), F.normalize(gallery, dim=-1)
    for start in range(0, views.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        cosines = views[:, rows] @ gallery.t()  # [l + 1, B, G]
        if ignored is not None:
            cosines = cosines.masked_fill(torch.from_numpy(np.asarray(ignored[rows], bool)).to(pids.device), -torch.inf)
        found = cosines.topk(m, dim=-1)
        seen = found.values.isfinite()
        weights, once = _votes(found.values.double(), seen, rule, start)
        persons = pids[found.indices]  # [l + 1, B, m]
        scores = torch.zeros_like(weights[0])
        for k in range(len(views)):  # one view at a time: [B, m, m] is all that is held
            same = (persons[0][:, :, None] == persons[k][:, None]) & seen[k][:, None]
            scores += _of_each(same, weights[k], rule)
            if once is not None and k == 0:
                scores += _of_each(same, once, rule)
        scores = scores.masked_fill(~seen[0], -torch.inf)
        nearest = found.indices[0].masked_fill(~seen[0], -1)
        yield nearest.cpu().numpy(), persons[0].masked_fill(~seen[0], -1).cpu().numpy(), scores.cpu().numpy()


def _of_each(same: Tensor, weights: Tensor, rule: str) -> Tensor:
    """What the pictures of the same person, bool [B, m, m], add up to by their weights [B, m]: all, or the best."""
    each = same * weights[:, None]
    return each.sum(-1) if rule == "paper" else each.amax(-1)


def _votes(cosines: Tensor, seen: Tensor, rule: str, start: int) -> tuple[Tensor, Tensor | None]:
    """The weight of each vote [l + 1, B, m] from the cosines of the m nearest, and what the query's own pictures [B, m]
    count besides. start: the number of the first query, for an error's sentence."""
    c = torch.where(seen, cosines if rule == "paper" else 1 + cosines, 0.0)
    largest = c[..., :1]
    if rule == "official":
        return torch.where(largest > 0, c * c / largest.clamp(min=1e-300), 0.0), c[0]
    if (view := ((largest <= 0) & seen[..., :1]).nonzero()).numel():
        k, row = int(view[0, 0]), start + int(view[0, 1])
        whose = f"copy {k} of query {row}" if k else f"query {row}"
        raise ValueError(
            f"No gallery picture has a positive cosine to {whose}, so Algorithm 1 has nothing to divide by; take "
            'rule="official", whose similarity is 1 + cosine, or features of a trained encoder.'
        )
    return torch.where(largest > 0, c / largest.clamp(min=1e-300), 0.0), None


def refined_distances(query: Tensor, gallery: Tensor, refined: Refined) -> Tensor:
    """Distances [Q, G], float32 on the CPU, that rank as `refined` does: 1 - cosine of features [Q, d] and [G, d], with
    the distances of each query's m nearest dealt to them anew, in their new order. All other pictures keep theirs, so
    pictures that are not among the m nearest cannot move (in the published code they cannot either)."""
    distances = (1 - F.normalize(query, dim=-1) @ F.normalize(gallery, dim=-1).t()).float().cpu()
    nearest, order = (torch.from_numpy(x) for x in (refined.nearest, refined.order))
    for row in range(len(distances)):
        there = nearest[row] >= 0  # as many in `order`, at its front
        old, new = nearest[row][there], order[row][: int(there.sum())]
        distances[row, new] = distances[row, old].sort().values
    return distances
