"""Prediction refinement on the trained heads of stage 2: how many copies, how many neighbours, and what else would do.

Controls: ordinary augmentations of the query vote in place of its copies, and the views' mean feature searches alone.
Rank-m stands beside each refined rank-1, which it bounds."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ..reranking import distance_metrics
from .activations import as_they_are, encoder_key, of_copies
from .arms import ARMS, REFERENCE, Arm, people, test_features, trained
from .domains import protocols_of
from .head import Head
from .pools import kept, material_of, pool
from .protocols import clothes_metrics, dressed, ignored, taken
from .references import SETTINGS
from .refinement import RULES, refine, refined_distances

COPIES = 6  # l
NEAREST = 5  # m
#: What votes beside the query.
VOTERS = ("O2", "second augmentation")


def voters(kind: str, head: Head, arm: Arm, domain: str, tier: str) -> Tensor:
    """Features of COPIES views of every query, [l, Q, d]: perfect copies in other clothes, as they are and mirrored as
    the query is, or the query itself, augmented."""
    spec, pictures = people(domain, tier, arm.outfits)
    query = pictures.query
    if kind == "O2":
        material = [material_of(kind, spec, query.names, COPIES), encoder_key()]
        copies = lambda: np.asarray(pool(kind, spec, query.names, COPIES)).reshape(-1, *query.images.shape[1:])  # noqa: E731
        seen = kept(f"{spec.name}-{kind}-query-seen", material, lambda: as_they_are(copies()))
    else:
        seen = of_copies(kind, spec, query, COPIES).reshape(len(query) * COPIES, 1, -1)
    return head.features(torch.from_numpy(np.array(seen))).unflatten(0, (len(query), COPIES)).transpose(0, 1)


def settings() -> Iterator[tuple[int, int]]:
    """l and m of the two sweeps."""
    yield from ((count, NEAREST) for count in (0, 1, 2, 4, COPIES))
    yield from ((COPIES, m) for m in (1, 10, 20))


def rows_of(name: str, seed: int, domain: str, tier: str) -> Iterator[dict]:
    """The rows of an arm and seed, clothes changed: without refinement, then voter by voter the mean feature and both
    rules; bound: rank-m without refinement."""
    arm, protocol = ARMS[name], protocols_of(domain)[SETTINGS[1]]
    head = trained(arm, domain, tier, seed)
    pictures = people(domain, tier, arm.outfits)[1]
    found = test_features(head, arm, domain, tier)
    whole = dressed(found["query"], pictures.query)
    query, gallery = taken(whole, dressed(found["gallery"], pictures.gallery), protocol)
    asked = np.flatnonzero(np.isin(pictures.query.cameras, protocol.query_cameras or pictures.query.cameras))
    out = ignored(query, gallery, protocol)
    plain = clothes_metrics(query, gallery, protocol, ranks=(1, NEAREST, 10, 20))
    facts = {"name": name, "seed": seed}
    yield facts | {"voters": "", "rule": "none", "l": 0, "m": NEAREST, "mAP": plain["mAP"], "R1": plain["R1"]}
    for kind in VOTERS:
        views = voters(kind, head, arm, domain, tier)[:, torch.from_numpy(asked)]
        for count in (1, 2, 4, COPIES):
            mean = F.normalize(torch.cat([query.x[None], views[:count]]).mean(0))
            scores = clothes_metrics(
                type(query)(mean, query.pids, query.cameras, query.clothes), gallery, protocol, ranks=(1,)
            )
            yield facts | {"voters": kind, "rule": "mean feature", "l": count, "m": 0} | _kept(scores)
        for rule in RULES:
            for count, m in settings():
                refined = refine(query.x, views[:count], gallery.x, gallery.pids, m, rule, out)
                distances = refined_distances(query.x, gallery.x, refined)
                scores = distance_metrics(distances, query.pids, gallery.pids, out, ranks=(1,))
                bound = {"bound": plain[f"R{m}"]}
                yield facts | {"voters": kind, "rule": rule, "l": count, "m": m} | _kept(scores) | bound


def _kept(scores: dict[str, float]) -> dict[str, float]:
    return {name: scores[name] for name in ("mAP", "R1")}


def table(
    seeds: Sequence[int], domain: str, tier: str, names: Sequence[str] = (REFERENCE, "O2")
) -> Iterator[pd.DataFrame]:
    """The rows of arms and seeds, each time that they have grown."""
    rows: list[dict] = []
    for seed in seeds:
        for name in names:
            rows += rows_of(name, seed, domain, tier)
            yield pd.DataFrame(rows)
