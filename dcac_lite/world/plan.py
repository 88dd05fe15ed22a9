"""Which pictures a domain consists of: who is seen how often, by which cameras, in which split."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .specs import DomainSpec

JUNK, DISTRACTOR = -1, 0  # Market-1501's special person ids


@dataclass(frozen=True)
class Record:
    """One picture to be taken. `person` indexes the domain's identities; `pid` is what the file
    name says (0 and -1 for distractors and junk). `camera` counts from 1."""

    index: int
    split: str  # train, query or gallery
    person: int
    pid: int
    camera: int


def _shares(rng: np.random.Generator, total: int, parts: int, least: int) -> np.ndarray:
    """`total` pictures over `parts` identities, at least `least` each, unevenly as in real data."""
    return least + rng.multinomial(total - least * parts, rng.dirichlet(np.full(parts, 6.0)))


@cache
def plan(spec: DomainSpec) -> tuple[Record, ...]:
    """Every picture of a domain. Training and test identities are disjoint; each test identity is
    seen by at least two cameras; an identity has at most one query per camera (Market-1501)."""
    rng = np.random.default_rng([spec.seed, 3])
    records: list[Record] = []

    def add(split: str, person: int, pid: int, camera: int) -> None:
        records.append(Record(len(records), split, person, pid, int(camera)))

    def cameras_of(person_images: int) -> np.ndarray:
        most = min(spec.cameras, max(2, person_images // 2), 6)
        return 1 + rng.permutation(spec.cameras)[: int(rng.integers(2, most + 1))]

    for person, count in enumerate(_shares(rng, spec.train, spec.train_ids, 4)):
        seen = cameras_of(count)
        for k in range(count):
            add("train", person, person + 1, seen[k % len(seen)])

    matches = spec.gallery - spec.distractors
    for i, count in enumerate(_shares(rng, matches, spec.test_ids, 3)):
        person = spec.train_ids + i
        seen = cameras_of(count)
        for k in range(count):
            add("gallery", person, person + 1, seen[k % len(seen)])
    corners = sorted({(r.person, r.camera) for r in records if r.split == "gallery"})
    if len(corners) < spec.query:
        raise ValueError(
            f"{spec.name}: {spec.query} queries asked for, only {len(corners)} (identity, camera) pairs exist"
        )
    # every identity asks once before any asks twice
    order = rng.permutation(len(corners))
    first = {corners[k][0]: k for k in reversed(order)}
    rest = [k for k in order if k not in set(first.values())]
    for k in sorted([*first.values(), *rest][: spec.query]):
        add("query", corners[k][0], corners[k][0] + 1, corners[k][1])
    beyond = spec.train_ids + spec.test_ids
    for k in range(spec.distractors):
        add("gallery", beyond + k, DISTRACTOR, rng.integers(1, spec.cameras + 1))
    for k in range(spec.junk):
        add("gallery", beyond + spec.distractors + k, JUNK, rng.integers(1, spec.cameras + 1))
    return tuple(records)
