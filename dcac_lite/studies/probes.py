"""What maps are asked about: pictures with their truth, and the identities or pictures that they are compared with."""

from dataclasses import dataclass

import numpy as np

from ..data.load import load_domain
from ..world.domains import Sample
from ..world.figure import LOWER, UPPER
from ..world.truth import attribute_similarity, garment_mask, look_similarity, truth_of


@dataclass(frozen=True)
class Probe:
    """One training picture of every identity of an embedded domain, with its truth, and the identities it
    is shown under.

    images: uint8 [N, 3, H, W]; regions: bool [N, H, W] by name (body, clothing, background, upper and lower
    clothing); looks, attributes: similarities [N, N]; targets: labels int64 [N] by name, -1 where there is none."""

    images: np.ndarray
    regions: dict[str, np.ndarray]
    looks: np.ndarray
    attributes: np.ndarray
    targets: dict[str, np.ndarray]


def make_probe(domain: str = "MA", tier: str = "lite", seed: int = 0) -> Probe:
    """The probe of an embedded domain; `seed` picks the picture of each identity. The targets: `own`
    identity; the `look-alike`, most similar by looks; the `stranger`, least similar; and the most similar
    identities that share the catalogue's `upper` or `lower` garment, and not the other one."""
    train = load_domain(domain, tier).train
    rng = np.random.default_rng(seed)
    rows = np.array([rng.choice(np.flatnonzero(train.pids == pid)) for pid in np.unique(train.pids)])
    truth = truth_of(domain, [train.names[row] for row in rows], tier)
    people = [sample.appearance for sample in truth]
    looks = look_similarity(people)
    others = ~np.eye(len(people), dtype=bool)
    top = np.array([[a.top == b.top for b in people] for a in people])
    bottom = np.array([[a.bottom == b.bottom for b in people] for a in people])
    targets = {
        "own": np.arange(len(people)),
        "look-alike": _most_similar(looks, others),
        "stranger": _most_similar(-looks, others),
        "upper": _most_similar(looks, top & ~bottom),
        "lower": _most_similar(looks, bottom & ~top),
    }
    return Probe(np.array(train.images[rows]), _regions(truth), looks, attribute_similarity(people), targets)


def _most_similar(similarity: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    best = np.where(allowed, similarity, -np.inf).argmax(1)
    return np.where(allowed.any(1), best, -1)


@dataclass(frozen=True)
class PairProbe:
    """One query of every test identity of an embedded domain, with its truth, and gallery pictures that it is
    compared with.

    images: uint8 [N, 3, H, W]; regions: bool [N, H, W] by name, as in `Probe`; others: uint8 [N, 3, H, W] by name."""

    images: np.ndarray
    regions: dict[str, np.ndarray]
    others: dict[str, np.ndarray]


def make_pair_probe(domain: str, tier: str = "lite", seed: int = 0) -> PairProbe:
    """The pair probe of an embedded domain, whether training saw it or not; `seed` picks the pictures. The others: a
    `match`, the same person seen by another camera, and a `stranger`, somebody else seen by that same camera where
    there is one."""
    loaded = load_domain(domain, tier)
    asked, searched = loaded.query, loaded.gallery
    rng = np.random.default_rng(seed)
    rows = np.array([rng.choice(np.flatnonzero(asked.pids == pid)) for pid in np.unique(asked.pids)])
    matches, strangers = [], []
    for pid, camera in zip(asked.pids[rows], asked.cameras[rows]):
        matches.append(rng.choice(np.flatnonzero((searched.pids == pid) & (searched.cameras != camera))))
        somebody = searched.pids != pid
        beside = somebody & (searched.cameras == searched.cameras[matches[-1]])
        strangers.append(rng.choice(np.flatnonzero(beside if beside.any() else somebody)))
    truth = truth_of(domain, [asked.names[row] for row in rows], tier)
    others = {
        name: np.array(searched.images[np.array(found)])
        for name, found in (("match", matches), ("stranger", strangers))
    }
    return PairProbe(np.array(asked.images[rows]), _regions(truth), others)


def _regions(truth: list[Sample]) -> dict[str, np.ndarray]:
    body = np.stack([sample.picture.body_mask for sample in truth])
    clothing = np.stack([sample.picture.clothing_mask for sample in truth])
    return {
        "body": body,
        "clothing": clothing,
        "background": ~body,
        "upper": np.stack([garment_mask(sample, UPPER) for sample in truth]),
        "lower": np.stack([garment_mask(sample, LOWER) for sample in truth]),
    }
