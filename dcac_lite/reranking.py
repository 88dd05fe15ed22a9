"""k-reciprocal re-ranking (Zhong, Zheng, Cao and Li, CVPR 2017): pictures are near if their neighbourhoods are alike.

It looks at all queries and the whole gallery at once, so a query's list depends on who else is asked for, and its
results stand in a table of their own. It knows no cameras and no labels.

What distances are worth that come from re-ranking, of whatever kind, `distance_metrics` says."""

from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from .evaluation import rank_metrics

_ROWS = 256  # pictures whose distances to all others are looked at together


def k_reciprocal(query: Tensor, gallery: Tensor, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> Tensor:
    """Re-ranked distances [Q, G], float32 on the CPU, of query features [Q, d] and gallery features [G, d]: lambda d
    + (1 - lambda) d_J, with d_J the Jaccard distance of the k1-reciprocal neighbourhoods, averaged over the k2 nearest.

    With the paper's equations go the choices of its authors' code, with which published numbers are made: a picture is
    the first of its own neighbours and is not counted among the k; d is the squared Euclidean distance over the largest
    of its row; more than (not at least) two thirds of a neighbourhood must agree; encodings sum to 1.

    Takes memory for the result (MSMT17: 3.8 GB) and about 15 kB for each of the Q + G pictures, their neighbours and
    encodings (measured at Market1501's size, where it took half a minute on one core); the (Q + G)^2 matrix never
    exists. Time grows with (Q + G)^2.
    Raises ValueError for a number that makes no sense, or features that are not finite."""
    if min(k1, k2) < 1 or not 0 <= lambda_ <= 1:
        raise ValueError(f"k1, k2 and lambda are {k1}, {k2} and {lambda_}; expected k1, k2 >= 1 and 0 <= lambda <= 1.")
    x = torch.cat([query.to(gallery), gallery]).float()
    if not torch.isfinite(x).all():
        raise ValueError("Features contain NaN or infinity; the model that made them has diverged.")
    nearest, farthest = _neighbours(x, max(k1 + 1, k2))
    encoded = _encodings(x.cpu(), nearest, farthest, k1)
    if k2 > 1:
        encoded = _averaged(encoded, nearest[:, :k2])
    found = encoded[len(query) :].tocsc()
    distances = torch.empty(len(query), len(gallery))
    for start in range(0, len(query), _ROWS):
        rows = range(start, min(start + _ROWS, len(query)))
        plain = _squared(x[rows.start : rows.stop], x[len(query) :]).cpu() / torch.from_numpy(farthest[rows, None])
        shared = np.stack([_shared(encoded[row], found) for row in rows])
        jaccard = 1 - shared / (2 - shared)  # both sum to 1, so their larger values sum to 2 - shared
        distances[rows.start : rows.stop] = lambda_ * plain + (1 - lambda_) * torch.from_numpy(jaccard).float()
    return distances.clamp_(min=0)  # rounding


def distance_metrics(
    distances: Iterable[Tensor],
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    ignored: Iterable[np.ndarray],
    ranks: tuple[int, ...] = (1, 5, 10),
) -> dict[str, float]:
    """`evaluation.rank_metrics` where distances are given instead of features: Q rows of G numbers, such as [Q, G].
    Person ids: int [Q] and [G]; ignored: Q rows of G, whether the protocol leaves a gallery picture out for a query.
    Raises ValueError where no query has a match left, and as `rank_metrics` does."""
    results = []
    for row, pid, out in zip(distances, query_pids, ignored, strict=True):
        if ((gallery_pids == pid) & ~out).any():  # else the protocol does not count the query
            # on a line, with the query at 0, pictures are as far from it as they shall be
            x = row.new_zeros(1, 1), row[:, None]
            # what is ignored is taken for the query's person before the query's own camera
            cameras = np.array([1]), np.where(out, 1, 0)
            results.append(rank_metrics(*x, np.array([pid]), np.where(out, pid, gallery_pids), *cameras, ranks))
    if not results:
        raise ValueError("No query has a match left that the protocol does not ignore; it counts none of them.")
    return {name: float(np.mean([r[name] for r in results])) for name in results[0]} | {"queries": len(results)}


def _squared(x: Tensor, others: Tensor) -> Tensor:
    """Squared Euclidean distances [B, M]."""
    return torch.cdist(x, others).square()


def _neighbours(x: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each picture itself and its nearest others, int64 [N, count], and its largest distance, float32 [N]."""
    nearest, farthest = [], []
    for start in range(0, len(x), _ROWS):
        distances = _squared(x[start : start + _ROWS], x)
        farthest.append(distances.amax(1))
        rows = torch.arange(len(distances), device=x.device)
        distances[rows, start + rows] = -1  # first, before copies of itself
        nearest.append(distances.topk(min(count, len(x)), largest=False).indices)
    return torch.cat(nearest).cpu().numpy(), torch.cat(farthest).cpu().numpy()


def _reciprocal(nearest: np.ndarray, k: int) -> list[set[int]]:
    """R(p, k) of every picture p: those among its k nearest that have it among theirs."""
    own = nearest[:, : k + 1]
    return [set(near[(own[near] == p).any(1)].tolist()) for p, near in enumerate(own)]


def _encodings(x: Tensor, nearest: np.ndarray, farthest: np.ndarray, k1: int) -> csr_matrix:
    """V [N, N]: of every picture p a weight exp(-d) for each of R*(p, k1), which is R(p, k1) and the halved
    neighbourhoods of its members that mostly lie in it."""
    whole, half = _reciprocal(nearest, k1), _reciprocal(nearest, round(k1 / 2))
    weights, columns, ends = [], [], [0]
    for p, near in enumerate(whole):
        agreeing = [half[q] for q in near if 3 * len(half[q] & near) > 2 * len(half[q])]
        expanded = sorted(near.union(*agreeing))
        weight = np.exp(-(x[expanded] - x[p]).square().sum(1).numpy() / farthest[p])
        weights.append(weight / weight.sum())
        columns.append(expanded)
        ends.append(ends[-1] + len(expanded))
    return csr_matrix((np.concatenate(weights), np.concatenate(columns), ends), shape=(len(x), len(x)))


def _averaged(encoded: csr_matrix, nearest: np.ndarray) -> csr_matrix:
    """Every picture's encoding as the mean over its nearest ones, itself among them."""
    n, k = nearest.shape
    mean = csr_matrix((np.full(n * k, 1 / k, np.float32), nearest.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    return mean @ encoded


def _shared(encoding: csr_matrix, found) -> np.ndarray:
    """Sums over the columns of the smaller of one encoding [1, N] and each of `found` [G, N], by columns: [G]."""
    parts = [slice(*found.indptr[column : column + 2]) for column in encoding.indices]
    rows = np.concatenate([found.indices[part] for part in parts])
    smaller = [np.minimum(found.data[part], value) for part, value in zip(parts, encoding.data)]
    return np.bincount(rows, np.concatenate(smaller), found.shape[0])
