"""Retrieval by the Market-1501 protocol: mean average precision, CMC, rank lists."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .device import keep_float32

_UNIT = 1e-2  # a squared length this near to 1 counts as unit length: rounding of bfloat16 features stays below
ROWS = 16  # queries whose gallery distances are counted together: few enough to stay in a CPU's cache


@dataclass(frozen=True)
class Features:
    """Images as retrieval sees them. x: features [N, d]; pids and cameras: int64 [N]."""

    x: Tensor
    pids: np.ndarray
    cameras: np.ndarray

    def __len__(self) -> int:
        return len(self.pids)


class _Batch(NamedTuple):
    """Some queries against the gallery. rows: which; distances [B, G], inf where an image is ignored;
    columns [B, M]: gallery positions of the query's identity, padded; matches [B, M]: which of them
    are true matches."""

    rows: slice
    distances: Tensor
    columns: np.ndarray
    matches: np.ndarray


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
    """mAP and CMC of query features [Q, d] against gallery features [G, d], tensors or NumPy arrays of
    real numbers, in percent. Person ids and cameras: integers [Q] and [G].

    Gallery images of the query's identity from the query's own camera are ignored; queries without
    any true match left are not counted. Distances are Euclidean. A rank counts every valid image at
    most as far as the match, so ties are resolved against the model (as scikit-learn's average
    precision does) and the result does not depend on the order of the gallery (exactly at one thread; with
    several, the distances to copies of an image may differ in the last bit).

    Only the ranks of true matches matter, so nothing is sorted but those: the images at most as far
    are counted. Works on the gallery features' device through `batch` queries at a time; the full Q x G
    matrix never exists. Distances are counted in float32 where all features have unit length, as a
    `ReIDModel`'s have, and in float64 otherwise. Counts are exact up to 2^24 gallery images.

    Returns {"mAP", "R1", "R5", ..., "queries"}. Raises ValueError when no query can be counted, a
    feature is not finite, or the arguments do not fit each other."""
    if np.ndim(ranks) != 1:
        raise ValueError(f"ranks is {ranks!r}; expected several whole numbers such as (1, 5, 10), or one, (5,).")
    _check_positive("ranks", ranks)
    asked, searched = _checked(query, gallery, query_pids, gallery_pids, query_cameras, gallery_cameras)
    precision_sum, hits, counted = 0.0, np.zeros(len(ranks)), 0
    for _, distances, columns, matches in _batches(asked, searched, batch):
        own = distances.gather(1, torch.from_numpy(columns).to(distances.device))
        own = own.masked_fill(torch.from_numpy(~matches).to(own.device), torch.inf).sort(1).values  # [B, M]
        number = matches.sum(1)
        fewest_first = np.argsort(number, kind="stable")  # so that queries counted together need equally many counts
        for start in range(np.count_nonzero(number == 0), len(number), ROWS):
            some = fewest_first[start : start + ROWS]
            found, seen = _ranks(distances, own[:, : number[some[-1]]], torch.from_numpy(some).to(own.device))
            real = np.arange(seen.shape[1]) < number[some, None]
            precision_sum += float((np.where(real, found / seen, 0).sum(1) / number[some]).sum())
            hits += ((seen - found)[:, :1] < np.asarray(ranks)).sum(0)
            counted += len(some)
    if not counted:
        raise ValueError("No query has a true match in another camera; the protocol counts none of them.")
    result = {"mAP": 100 * precision_sum / counted}
    result |= {f"R{k}": float(100 * h / counted) for k, h in zip(ranks, hits)}
    return result | {"queries": counted}


def rank_lists(
    query: Tensor,
    gallery: Tensor,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    top: int = 10,
    batch: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """The `top` nearest valid gallery images of each query, nearest first.

    Arguments and ignored images as in `rank_metrics`. Returns gallery positions int64 [Q, top] and
    whether each is a true match, bool [Q, top]. Where a query has fewer valid images the rest is -1
    and False. Among equally far images the order is not defined."""
    _check_positive("top", [top])
    asked, searched = _checked(query, gallery, query_pids, gallery_pids, query_cameras, gallery_cameras)
    positions = np.full((len(asked), top), -1)
    for rows, distances, _, _ in _batches(asked, searched, batch):
        nearest = distances.topk(min(top, len(searched)), largest=False)
        found = nearest.indices.masked_fill(nearest.values.isinf(), -1).cpu().numpy()
        positions[rows, : found.shape[1]] = found
    there = positions >= 0
    return positions, there & (searched.pids[positions] == asked.pids[:, None])


def evaluate(
    model, domain, batch: int = 256, progress: Callable = iter, autocast: torch.dtype | None = None
) -> dict[str, float]:
    """mAP and CMC of a `ReIDModel` on the query and gallery of a `data.Domain`, in percent. autocast: the
    lower precision of the encoder, such as torch.bfloat16; distances are float32 in any case."""
    keep_float32()
    device = next(model.parameters()).device
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        query = model.features(domain.query.images, batch, progress).to(device)
        gallery = model.features(domain.gallery.images, batch, progress).to(device)
    return rank_metrics(
        query, gallery, domain.query.pids, domain.gallery.pids, domain.query.cameras, domain.gallery.cameras
    )


def _ranks(distances: Tensor, own: Tensor, rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """For each of the ascending distances `own` [Q, M] at `rows` [B]: how many of `own`, and how many of
    `distances` [Q, G], are at most that far. [B, M]."""
    own = own[rows].contiguous()
    if own.device.type == "cpu":
        # one thread: several would wait for each other after each of these short operations, long on a busy machine
        near = np.empty(distances.shape[1], bool)
        pairs = zip(distances.numpy()[rows.numpy()], own.numpy())  # a query's distances and its matches'
        seen = np.array(
            [[np.count_nonzero(np.less_equal(all_, one, out=near)) for one in ones] for all_, ones in pairs]
        )
    else:
        distances = distances[rows]
        at_most = torch.empty_like(distances)
        seen = (
            torch.stack([torch.le(distances, one[:, None], out=at_most).sum(1) for one in own.unbind(1)], 1)
            .cpu()
            .numpy()
        )
    return torch.searchsorted(own, own, right=True).cpu().numpy(), seen


def _batches(query: Features, gallery: Features, batch: int) -> Iterator[_Batch]:
    _check_positive("batch", [batch])
    squared = gallery.x.square().sum(1)
    by_identity = np.argsort(gallery.pids, kind="stable")
    first, after = (np.searchsorted(gallery.pids[by_identity], query.pids, side) for side in ("left", "right"))
    for start in range(0, len(query), batch):
        rows = slice(start, start + batch)
        # |q|^2 is the same for a whole row and does not change its order
        distances = torch.addmm(squared, query.x[rows], gallery.x.t(), alpha=-2)
        places = first[rows, None] + np.arange((after - first)[rows].max())
        same = places < after[rows, None]
        columns = by_identity[np.minimum(places, len(gallery) - 1)]
        ignored = same & (gallery.cameras[columns] == query.cameras[rows, None])
        row, place = np.nonzero(ignored)
        distances[torch.from_numpy(row), torch.from_numpy(columns[row, place])] = torch.inf
        yield _Batch(rows, distances, columns, same & ~ignored)


def _check_positive(name: str, values: Sequence[int]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1.")


def _checked(query, gallery, query_pids, gallery_pids, query_cameras, gallery_cameras) -> tuple[Features, Features]:
    """The arguments of `rank_metrics`, ready for `_batches`."""
    query, gallery = _tensor("query", query), _tensor("gallery", gallery)
    query_pids = _numbers("query", query, "person ids", query_pids)
    query_cameras = _numbers("query", query, "cameras", query_cameras)
    gallery_pids = _numbers("gallery", gallery, "person ids", gallery_pids)
    gallery_cameras = _numbers("gallery", gallery, "cameras", gallery_cameras)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"Query features have {query.shape[1]} entries and gallery features {gallery.shape[1]}; one model must "
            "make both."
        )
    if not len(gallery):
        raise ValueError("The gallery is empty; there is nothing to rank.")
    query, gallery = _precise(query.to(gallery.device), gallery)
    return Features(query, query_pids, query_cameras), Features(gallery, gallery_pids, gallery_cameras)


def _numbers(name: str, features: Tensor, what: str, values) -> np.ndarray:
    """One whole number for each of the features, int64."""
    values = np.asarray(values.cpu() if isinstance(values, Tensor) else values)
    if values.shape != (len(features),):
        shape = list(values.shape)
        raise ValueError(f"There are {len(features)} {name} features and {what} of shape {shape}; expected one each.")
    if values.size and (values.dtype.kind not in "iu" or values.max() > np.iinfo(np.int64).max):
        raise ValueError(f"The {what} of the {name} are {values.dtype}; expected whole numbers below 2^63.")
    return values.astype(np.int64)


def _tensor(name: str, features) -> Tensor:
    if not isinstance(features, Tensor):
        array = np.array(features)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"The {name} features are {array.dtype}; expected real numbers.")
        features = torch.from_numpy(array)
    if features.is_complex():
        raise ValueError(f"The {name} features are {features.dtype}; expected real numbers.")
    if features.dim() != 2 or not features.shape[1]:
        raise ValueError(f"The {name} features have shape {list(features.shape)}; expected [images, d], d at least 1.")
    return features


def _precise(query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """The features in the arithmetic that keeps their order: |g|^2 - 2 qg in float32 resolves 1e-7 of the
    squared length, which is nothing between features far from zero."""
    if all(((x.float().square().sum(1) - 1).abs() < _UNIT).all() for x in (query, gallery)):
        return query.float(), gallery.float()
    if gallery.device.type == "mps":  # Apple's GPUs know no float64
        query, gallery = query.cpu(), gallery.cpu()
    query, gallery = query.double(), gallery.double()
    if not (torch.isfinite(query).all() and torch.isfinite(gallery).all()):
        raise ValueError("Features contain NaN or infinity; the model that made them has diverged.")
    largest = max(float(x.abs().max()) for x in (query, gallery) if len(x))
    # by a power of two, and to a point of the gallery: equal distances stay equal
    scale = 2.0 ** -min(max(math.frexp(largest)[1], -1000), 1000)
    query, gallery = query * scale, gallery * scale
    return query - gallery[0], gallery - gallery[0]
