"""Rank lists: what a Re-ID model finds for a query, as data and as a picture."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.domains import Split
from ..evaluation import rank_lists, rank_metrics
from .notebook import PALETTE, show_images


class RankList(NamedTuple):
    """The nearest gallery images of one query. rows: int64 [k], rows of the gallery, nearest first;
    distances: float32 [k], Euclidean, of unit features (0 to 2). Where identities are known, right: bool [k]
    and ap: average precision over the whole gallery, 0 to 1, NaN for a query without a true match; else None."""

    rows: np.ndarray
    distances: np.ndarray
    right: np.ndarray | None
    ap: float | None


def rank_list(query: Tensor, gallery: Tensor, identity: tuple | None = None, top: int = 10) -> RankList:
    """Rank gallery features [G, d] for one query feature [d], by the Market-1501 protocol.

    identity: (person of the query, its camera, persons [G], cameras [G]); the query's person in the query's own
    camera is left out of the list. None when nobody knows who is seen: then nothing is left out."""
    pid, camera, pids, cameras = identity or (-1, -1, *np.zeros((2, len(gallery)), np.int64))
    ids = np.array([pid]), pids, np.array([camera]), cameras
    rows, right = (found[0] for found in rank_lists(query[None], gallery, *ids, top=top))
    rows, right = rows[rows >= 0], right[rows >= 0]
    distances = torch.linalg.vector_norm(gallery[torch.from_numpy(rows)].float() - query.float(), dim=1).cpu().numpy()
    if identity is None:
        return RankList(rows, distances, None, None)
    answerable = ((pids == pid) & (cameras != camera)).any()
    return RankList(
        rows, distances, right, rank_metrics(query[None], gallery, *ids)["mAP"] / 100 if answerable else float("nan")
    )


def identity_of(query: Split, row: int, gallery: Split) -> tuple:
    """The `identity` that `rank_list` wants, for one row of a query split."""
    return query.pids[row], query.cameras[row], gallery.pids, gallery.cameras


def rank_figure(models, query, gallery, rows: Sequence[int] = (0, 1, 2), top: int = 8):
    """Draw the rank lists of some queries: one line per query and model, the query in a black frame, then its
    `top` nearest gallery images. A tick and a solid green frame mark the right person, a cross and a
    dashed orange frame somebody else; above the query stands the average precision (AP).

    models: a `ReIDModel`, or several by name. query, gallery: `data.Split`s, such as `domain.query` and
    `domain.gallery`, or uint8 images [N, 3, H, W] of which nothing is known (then there are no marks and no AP).
    rows: which queries.

    Returns the matplotlib figure and a DataFrame with a row per list entry: model, query, rank, picture (rows
    of `query` and `gallery`), distance, right, AP. Raises ValueError for a row that is not there."""
    import pandas as pd

    models = models if isinstance(models, Mapping) else {"": models}
    known = isinstance(query, Split) and isinstance(gallery, Split)
    asked, searched = (x.images if isinstance(x, Split) else np.asarray(x) for x in (query, gallery))
    rows = [int(r) for r in rows]
    if wrong := [r for r in rows if not 0 <= r < len(asked)]:
        raise ValueError(
            f"query row {wrong[0]} is not there: there are {len(asked)} queries, so expected 0 to {len(asked) - 1}."
        )
    features = {name: (m.features(asked[rows]), m.features(searched)) for name, m in models.items()}
    lists = [
        (row, name, rank_list(own[k], others, identity_of(query, row, gallery) if known else None, top))
        for k, row in enumerate(rows)
        for name, (own, others) in features.items()
    ]
    shortest = min(len(found.rows) for _, _, found in lists)
    listed, pictures, titles, frames, dashed = [], [], [], [], []
    for row, name, found in lists:
        right = list(found.right[:shortest]) if known else [None] * shortest
        dashed += [len(pictures) + n for n, ok in enumerate(right, 1) if ok is not None and not ok]
        pictures += [asked[row], *(searched[g] for g in found.rows[:shortest])]
        frames += ["black", *(_look(ok)[0] for ok in right)]
        titles += [f"AP {found.ap:.2f}" if known else "query", *(f"{_look(ok)[1]}{n}" for n, ok in enumerate(right, 1))]
        listed += [
            {
                "model": name,
                "query": row,
                "rank": n,
                "picture": int(g),
                "distance": float(d),
                "right": ok,
                "AP": found.ap,
            }
            for n, (g, d, ok) in enumerate(zip(found.rows, found.distances, right), 1)
        ]
    columns = 1 + shortest
    figure = show_images(np.stack(pictures), titles, columns=columns, frames=frames, dashed=dashed, scale=0.8)
    for axis, name in zip(figure.axes[::columns], [*models] * len(rows)):
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure, pd.DataFrame(listed)


def _look(right: bool | None) -> tuple[str, str]:
    """Frame colour and mark of a right, a wrong, or an unjudged image."""
    if right is None:
        return "grey", ""
    return (PALETTE["right"], "✓ ") if right else (PALETTE["wrong"], "✗ ")
