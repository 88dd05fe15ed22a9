"""Retrieval metrics by the Market-1501 protocol: mean average precision and CMC."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def rank_metrics(
    query: Tensor,
    gallery: Tensor,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    ranks: tuple[int, ...] = (1, 5, 10),
    batch: int = 256,
) -> dict[str, float]:
    """mAP and CMC of query features [Q, d] against gallery features [G, d], in percent.

    Gallery images of the query's identity from the query's own camera are ignored; queries without
    any true match left are not counted. Distances are Euclidean. A rank counts every valid image at
    most as far as the match, so ties are resolved against the model (as scikit-learn's average
    precision does) and the result does not depend on the order of the gallery. Works through
    `batch` queries at a time; the full Q x G matrix never exists.

    Returns {"mAP", "R1", "R5", ..., "queries"}. Raises ValueError when no query can be counted or a
    feature is not finite."""
    if not (torch.isfinite(query).all() and torch.isfinite(gallery).all()):
        raise ValueError("Features contain NaN or infinity; the model that made them has diverged.")
    gallery, squared = gallery.float(), gallery.float().square().sum(1)
    precision_sum, hits, counted = 0.0, np.zeros(len(ranks)), 0
    for start in range(0, len(query), batch):
        rows = slice(start, start + batch)
        # |q|^2 is the same for a whole row and does not change its order
        distances = torch.addmm(squared, query[rows].float(), gallery.t(), alpha=-2).cpu().numpy()
        same = query_pids[rows, None] == gallery_pids
        ignored = same & (query_cameras[rows, None] == gallery_cameras)
        distances[ignored] = np.inf
        matches = same & ~ignored
        ordered = np.sort(distances, axis=1)
        for row, match in enumerate(matches):
            own = np.sort(distances[row, match])
            if not len(own):
                continue
            seen = np.searchsorted(ordered[row], own, side="right")  # images at most this far
            found = np.searchsorted(own, own, side="right")  # true matches among them
            precision_sum += float((found / seen).mean())
            hits += seen[0] - found[0] < np.asarray(ranks)
            counted += 1
    if not counted:
        raise ValueError("No query has a true match in another camera; the protocol counts none of them.")
    result = {"mAP": 100 * precision_sum / counted}
    result |= {f"R{k}": float(100 * h / counted) for k, h in zip(ranks, hits)}
    return result | {"queries": counted}


def evaluate(model, domain, batch: int = 256, progress: Callable = iter) -> dict[str, float]:
    """mAP and CMC of a `ReIDModel` on the query and gallery of a `data.Domain`, in percent."""
    query = model.features(domain.query.images, batch, progress)
    gallery = model.features(domain.gallery.images, batch, progress)
    return rank_metrics(
        query, gallery, domain.query.pids, domain.gallery.pids, domain.query.cameras, domain.gallery.cameras
    )
