"""How well an encoder of stage 2 finds people, by each protocol of a data set; and with copies of the queries that vote
(DLCR, Sec. 3.2.2) beside the mean of their features, which needs no vote."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.domains import Domain
from ...encoder import ReIDModel
from ...reranking import distance_metrics
from ..domains import protocols_of
from ..protocols import Dressed, Protocol, clothes_metrics, dressed, ignored, taken
from ..refinement import refine, refined_distances

RANKS = (1, 5, 10)


def features(model: ReIDModel, images: np.ndarray, progress: Callable = iter) -> Tensor:
    """Test features of uint8 images [N, 3, H, W], as they are and mirrored: the sum of both, at length 1, float32 on
    the CPU (as CAL has it, but that each is at length 1 before)."""
    parts = (images[start : start + 256] for start in progress(range(0, len(images), 256)))
    return torch.cat([F.normalize(model.features(part) + model.features(part[..., ::-1])) for part in parts])


def rows_of(
    model: ReIDModel, domain: Domain, voters: np.ndarray | None = None, progress: Callable = iter
) -> list[dict]:
    """Metrics in percent, a row for each protocol. voters: copies of the queries, uint8 [Q, l, 3, H, W]; with them two
    more rows a protocol. Raises ValueError for voters of videos, whose frames are not asked for one by one."""
    if voters is not None and domain.query.tracklets is not None:
        raise ValueError(f"{domain.name} asks for videos; refinement takes copies of single pictures.")
    query, gallery = (
        dressed(features(model, split.images, progress), split) for split in (domain.query, domain.gallery)
    )
    views = None
    if voters is not None:
        views = torch.stack([features(model, voters[:, k], progress) for k in range(voters.shape[1])])
    rows = []
    for name, protocol in protocols_of(domain.name).items():
        rows.append({"protocol": name, "votes": ""} | clothes_metrics(query, gallery, protocol, RANKS))
        for votes, metrics in _voted(query, views, gallery, protocol) if views is not None else ():
            rows.append({"protocol": name, "votes": votes} | metrics)
    return rows


def _voted(
    query: Dressed, views: Tensor, gallery: Dressed, protocol: Protocol
) -> Iterator[tuple[str, dict[str, float]]]:
    """Metrics with copies' features [l, Q, d]: their votes by Algorithm 1, and the mean feature of query and copies."""
    cameras = protocol.query_cameras
    asked = np.flatnonzero(np.ones(len(query), bool) if cameras is None else np.isin(query.cameras, cameras))
    (query, gallery), views = taken(query, gallery, protocol), views[:, torch.from_numpy(asked)]
    out = ignored(query, gallery, protocol)
    refined = refine(query.x, views, gallery.x, gallery.pids, ignored=out)
    distances = refined_distances(query.x, gallery.x, refined)
    yield "Algorithm 1", distance_metrics(distances, query.pids, gallery.pids, out, ranks=RANKS)
    mean = replace(query, x=F.normalize(torch.cat([query.x[None], views]).mean(0)))
    yield "mean feature", clothes_metrics(mean, gallery, protocol, RANKS)
