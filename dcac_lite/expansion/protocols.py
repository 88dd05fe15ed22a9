"""How clothes-changing Re-ID is scored: which gallery pictures of the query's person count.

All rules leave pictures of the person from the query's own camera out. *Same clothes* (SC) leaves out the person in
other clothes too, *clothes-changing* (CC) the person in the query's own. Outfits are numbered by person, so nobody
else's picture is ever ignored. Metrics are those of `evaluation.rank_metrics`: AP is the mean of the precisions at the
matches, and a query without a match left is not counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.clothes import UNKNOWN, ClothesSplit
from ..evaluation import rank_metrics

RULES = ("general", "same clothes", "clothes-changing")


@dataclass(frozen=True)
class Protocol:
    """A way to score a data set. rule: of RULES; query_cameras, gallery_cameras: the only ones taken, None for all."""

    rule: str
    query_cameras: tuple[int, ...] | None = None
    gallery_cameras: tuple[int, ...] | None = None


def all_cameras() -> dict[str, Protocol]:
    """The three rules on all cameras."""
    return {rule: Protocol(rule) for rule in RULES}


#: By data set and name. PRCC's gallery is the whole of camera A (several pictures of a person) as in CAL's published
#: numbers; `single_shot` is the other custom. LaST labels no clothes outside of training.
PROTOCOLS: dict[str, dict[str, Protocol]] = {
    "prcc": {"same clothes": Protocol("general", (2,), (1,)), "clothes-changing": Protocol("general", (3,), (1,))},
    "ltcc": all_cameras(),
    "ccvid": all_cameras(),
    "vc-clothes": all_cameras()
    | {
        "same clothes, cameras 2 and 3": Protocol("general", (2, 3), (2, 3)),
        "clothes-changing, cameras 3 and 4": Protocol("general", (3, 4), (3, 4)),
    },
    "last": {"general": Protocol("general")},
}


@dataclass(frozen=True)
class Dressed:
    """What retrieval with clothes looks at. x: features [N, d]; pids, cameras, clothes: int64 [N]."""

    x: Tensor
    pids: np.ndarray
    cameras: np.ndarray
    clothes: np.ndarray

    def __len__(self) -> int:
        return len(self.pids)

    def rows(self, which: np.ndarray) -> "Dressed":
        """The pictures at `which`, positions int [M] or bool [N]."""
        at = np.flatnonzero(which) if which.dtype == bool else which
        return Dressed(self.x[torch.from_numpy(at)], self.pids[at], self.cameras[at], self.clothes[at])


def dressed(features: Tensor, split: ClothesSplit) -> Dressed:
    """Features [N, d] of a split's pictures with what is known of them. Of videos the mean of each tracklet's frames,
    which then counts as one picture: frames are not samples."""
    if len(features) != len(split):
        raise ValueError(f"There are {len(features)} features of {len(split)} pictures; expected one each.")
    if split.tracklets is None:
        return Dressed(features, split.pids, split.cameras, split.clothes)
    _, first, of = np.unique(split.tracklets, return_index=True, return_inverse=True)
    frames = torch.from_numpy(of.reshape(-1)).to(features.device)
    count = torch.bincount(frames)[:, None]
    means = torch.zeros(len(first), features.shape[1], device=features.device).index_add_(0, frames, features) / count
    return Dressed(means, split.pids[first], split.cameras[first], split.clothes[first])


def _left_out(rule: str, pids: np.ndarray, cameras: np.ndarray, clothes: np.ndarray, gallery: Dressed) -> np.ndarray:
    """Which of G gallery pictures the rule ignores for queries with these ids: [Q, 1] for all pairs, bool [Q, G]; or
    [G], each picture with a query of its own, bool [G]."""
    out = cameras == gallery.cameras
    if rule != "general":
        worn = clothes == gallery.clothes
        out = out | (worn if rule == "clothes-changing" else ~worn)
    return (pids == gallery.pids) & out


def taken(query: Dressed, gallery: Dressed, protocol: Protocol) -> tuple[Dressed, Dressed]:
    """The queries and gallery pictures that a protocol takes. Raises ValueError for a rule that is none of RULES, or
    that asks for clothes where the owners label none."""
    if protocol.rule not in RULES:
        raise ValueError(f"rule is {protocol.rule!r}; expected one of {', '.join(RULES)}.")
    if protocol.rule != "general" and any((part.clothes == UNKNOWN).any() for part in (query, gallery)):
        raise ValueError(f"The clothes of some pictures are not known, which the rule {protocol.rule!r} asks for.")
    cameras = ((query, protocol.query_cameras), (gallery, protocol.gallery_cameras))
    query, gallery = (p if seen is None else p.rows(np.isin(p.cameras, seen)) for p, seen in cameras)
    return query, gallery


def ignored(query: Dressed, gallery: Dressed, protocol: Protocol) -> np.ndarray:
    """Which gallery pictures are left out for each query, bool [Q, G], of queries and gallery that are `taken`: for
    `refinement.refine` and `reranking.distance_metrics`."""
    return _left_out(protocol.rule, *(x[:, None] for x in (query.pids, query.cameras, query.clothes)), gallery)


def clothes_metrics(
    query: Dressed, gallery: Dressed, protocol: Protocol, ranks: tuple[int, ...] = (1, 5, 10)
) -> dict[str, float]:
    """{"mAP", "R1", ..., "queries"} by cosine, in percent. Raises ValueError where no query is counted, and as `taken`
    and `rank_metrics` do.

    `rank_metrics` knows one camera a picture. Queries are therefore asked in rounds with one camera and outfit of each
    person, in which what is left out has the queries' camera and everything else another."""
    query, gallery = taken(query, gallery, protocol)
    results, counted = [], []
    for rows, out in _rounds(query, gallery, protocol.rule):
        asked = query.rows(rows)
        cameras = np.ones(len(asked), np.int64), out.astype(np.int64)
        x = (F.normalize(part.x.float(), dim=1) for part in (asked, gallery))
        metrics = rank_metrics(*x, asked.pids, gallery.pids, *cameras, ranks)
        counted.append(metrics.pop("queries"))
        results.append(metrics)
    if not results:
        raise ValueError(f"No query has a match left by the rule {protocol.rule!r}; it counts none of them.")
    total = sum(counted)
    means = {name: sum(n * r[name] for n, r in zip(counted, results)) / total for name in results[0]}
    return means | {"queries": total}


def _rounds(query: Dressed, gallery: Dressed, rule: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of queries that have a match, each person with one camera and outfit, and which gallery pictures are left
    out for them, bool [G]."""
    looks = np.stack([query.pids, query.cameras, query.clothes], 1)
    kinds, first, of = np.unique(looks, axis=0, return_index=True, return_inverse=True)
    of = of.reshape(-1)
    number = np.arange(len(kinds)) - np.searchsorted(kinds[:, 0], kinds[:, 0])  # of each look among its person's
    for turn in range(number.max(initial=-1) + 1):
        now = np.flatnonzero(number == turn)
        asked = query.rows(first[now])  # one query for each person
        at = np.searchsorted(asked.pids, gallery.pids).clip(max=len(asked) - 1)
        out = _left_out(rule, asked.pids[at], asked.cameras[at], asked.clothes[at], gallery)
        matched = np.isin(asked.pids, gallery.pids[~out])
        rows = np.flatnonzero(np.isin(of, now[matched]))
        if rows.size:
            yield rows, out


def single_shot(gallery: Dressed, seed: int) -> Dressed:
    """One picture of each person in the gallery, drawn by `seed`: the single-shot custom on PRCC, whose results are
    means over some draws, ten in CAL's code (which makes them and uses none)."""
    order = np.random.default_rng(seed).permutation(len(gallery))
    _, first = np.unique(gallery.pids[order], return_index=True)
    return gallery.rows(np.sort(order[first]))
