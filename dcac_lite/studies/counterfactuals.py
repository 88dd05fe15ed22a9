"""Counterfactual pictures: the same person taken again with one thing changed.

A correlation between a feature and the place, say, does not tell what the feature depends on; an experiment does. The
embedded world can be taken again (`world.renderer.Shot`), so the experiment is exact to the pixel."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from ..data.load import load_domain
from ..encoder import ReIDModel
from ..evaluation import rank_metrics
from ..world.domains import Sample
from ..world.renderer import render
from ..world.truth import truth_of

#: What can be changed, and the field of a `Shot` that holds it. "nothing" is the picture as it was before JPEG.
CHANGES = {"nothing": None, "background": "patch", "camera": "camera", "light": "light", "pose": "pose"}


def take_again(samples: Sequence[Sample], change: str, seed: int = 0) -> np.ndarray:
    """The pictures of `samples` with one thing changed, uint8 [N, 3, 64, 32]: before the `background`, with the
    `camera`'s style, in the `light` or in the `pose` of another of the samples, which another camera took. `seed`
    picks the other one, and picks the same for every change.

    Raises ValueError for an unknown change, and for samples of one camera only."""
    if change not in CHANGES:
        raise ValueError(f"{change!r} is no change: choose one of {', '.join(CHANGES)}.")
    cameras = np.array([sample.record.camera for sample in samples])
    if len(set(cameras)) < 2:
        raise ValueError("All samples are from one camera; a change is borrowed from another camera's picture.")
    rng = np.random.default_rng(seed)
    images = []
    for sample, camera in zip(samples, cameras):
        other = samples[rng.choice(np.flatnonzero(cameras != camera))]
        field = CHANGES[change]
        shot = sample.shot if field is None else replace(sample.shot, **{field: getattr(other.shot, field)})
        images.append(render(shot).image)
    return np.stack(images).transpose(0, 3, 1, 2)


@lru_cache(maxsize=64)
def split_again(domain: str, split: str, change: str, tier: str = "lite", seed: int = 0) -> np.ndarray:
    """All pictures of a split ("train", "query" or "gallery") of an embedded domain, taken again: see `take_again`."""
    return take_again(_truth(domain, split, tier), change, seed)


@lru_cache(maxsize=4)
def _truth(domain: str, split: str, tier: str) -> list[Sample]:
    return truth_of(domain, getattr(load_domain(domain, tier), split).names, tier)


def feature_moves(before: Tensor, after: Tensor, pids: np.ndarray) -> np.ndarray:
    """How far features moved, float [N]: the cosine distance between before and after, in units of the mean distance
    between different people before. 0 is not at all, 1 is as far as from one person to another.

    before, after: float32 [N, d] of unit length, row by row of the same picture; pids: whose picture, int64 [N]."""
    distances = (1 - before @ before.t()).numpy()
    apart = distances[pids[:, None] != pids].mean()
    return (1 - (before * after).sum(1)).numpy() / apart


def measure_changes(model: ReIDModel, domain: str, tier: str = "lite", seed: int = 0) -> list[dict]:
    """What each change does to a model's features of an embedded domain, one row per change: `moved`, the mean of
    `feature_moves` over the queries; `mAP, query again` and `mAP, gallery again`, in percent, when the queries or the
    gallery were taken again and the other side was not. With the change "nothing" both are the plain mAP."""
    loaded = load_domain(domain, tier)
    ids = loaded.query.pids, loaded.gallery.pids, loaded.query.cameras, loaded.gallery.cameras

    def features(change: str) -> tuple[Tensor, Tensor]:
        return tuple(model.features(split_again(domain, split, change, tier, seed)) for split in ("query", "gallery"))

    query, gallery = plain = features("nothing")
    rows = []
    for change in CHANGES:
        query_again, gallery_again = plain if change == "nothing" else features(change)
        rows.append({
            "change": change,
            "moved": float(feature_moves(query, query_again, loaded.query.pids).mean()),
            "mAP, query again": rank_metrics(query_again, gallery, *ids)["mAP"],
            "mAP, gallery again": rank_metrics(query, gallery_again, *ids)["mAP"],
        })  # fmt: skip
    return rows
