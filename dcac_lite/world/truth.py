"""What is true about the embedded pictures and people: masks, attributes, and who looks like whom.

No real data set knows this. The drawing code does: every picture depends on nothing but its domain and
its index, and the index is in the file name, so the truth of a file can be drawn again."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ..tiers import TIERS
from .domains import DOMAINS, DomainSpec, Record, Sample, photograph_record, plan
from .renderer import H2, VIEWS, W2, Appearance, Garment, Pose, draw_labels, paint

WAIST = 33  # row of a finished picture, about where a standing person's belt is


def truth_of(domain: str, names: Sequence[str], tier: str = "lite") -> list[Sample]:
    """The truth of files of an embedded domain (MA, D, MS, C3 or V): for each name such as
    `0001_c3s1_000000_00.jpg` the `worlds.Sample` with the undistorted picture (before JPEG), its body
    and clothing masks (bool [64, 32]) and the person's `Appearance`. Needs no file.

    Raises ValueError for a domain or tier without a known truth, and for a name that is not of that domain."""
    share = TIERS[tier].share
    if share is None or domain not in DOMAINS:
        raise ValueError(
            f"The truth of {domain!r} in tier {tier!r} is not known: it exists for {', '.join(DOMAINS)} in smoke and "
            "lite."
        )
    spec = DOMAINS[domain] if share == 1 else DOMAINS[domain].slice(share)
    return [photograph_record(spec, _record(spec, name)) for name in names]


@cache
def _plan(spec: DomainSpec) -> list[Record]:
    return plan(spec)


def _record(spec: DomainSpec, name: str) -> Record:
    pid, camera, index = (*name.split("_"), "", "")[:3]
    records = _plan(spec)
    if index.isdigit() and int(index) < len(records):
        record = records[int(index)]
        if int(pid) == record.pid and camera == f"c{record.camera}s1":
            return record
    raise ValueError(
        f"{name!r} is no picture of the embedded domain {spec.name}; expected a name such as 0001_c3s1_000000_00.jpg."
    )


def _rgb_similarity(colours: Sequence) -> np.ndarray:
    # 1 for equal colours, 0 for black against white; None (no such piece) equals None and nothing else
    values = np.array([(np.nan,) * 3 if c is None else c for c in colours], float)  # [N, 3]
    gap = np.linalg.norm(values[:, None] - values, axis=2) / (255 * 3**0.5)
    absent = np.isnan(values[:, 0])
    return np.where(np.isnan(gap), (absent[:, None] & absent).astype(float), 1 - gap)


def _same(words: Sequence) -> np.ndarray:
    words = np.array(words)
    return (words[:, None] == words).astype(float)


def _near(values: Sequence[float]) -> np.ndarray:
    values = np.array(values)
    return 1 - abs(values[:, None] - values) / max(np.ptp(values), 1e-9)


def attribute_similarity(people: Sequence[Appearance]) -> np.ndarray:
    """How alike people are by their attributes, float [N, N] in 0..1, with 1 on the diagonal: Gower's
    similarity (1971), the mean over eight parts (upper garment, lower garment, shoes, hair, hat, bag,
    skin, shape), each the mean of its attributes. All parts count the same, however small."""

    def garment(which: str) -> np.ndarray:
        pieces = [getattr(p, which) for p in people]
        parts = (
            _rgb_similarity([g.rgb for g in pieces]),
            _same([g.kind for g in pieces]),
            _same([g.pattern for g in pieces]),
        )
        return np.mean(parts, axis=0)

    hair = (_same([p.hair_style for p in people]), _rgb_similarity([p.hair_rgb for p in people]))
    bag = (_same([p.bag for p in people]), _rgb_similarity([p.bag_rgb if p.bag != "none" else None for p in people]))
    shape = (_near([p.build for p in people]), _near([p.height for p in people]))
    parts = [garment("top"), garment("bottom"), *(np.mean(part, axis=0) for part in (hair, bag, shape))]
    parts += [_rgb_similarity([getattr(p, f"{name}_rgb") for p in people]) for name in ("shoes", "hat", "skin")]
    return np.mean(parts, axis=0)


def look_similarity(people: Sequence[Appearance]) -> np.ndarray:
    """How alike people look, float [N, N] in 0..1, with 1 on the diagonal: one minus the mean absolute
    difference of their undistorted pictures before grey, seen from the front, the back and the side. Here
    a part counts by the area that it covers."""
    from scipy.spatial.distance import cdist

    grey = np.full((H2, W2, 3), 128, np.uint8)
    drawn = np.array(
        [[paint(draw_labels(p, pose), p, pose, grey) for pose in (Pose(v, 0.0) for v in VIEWS)] for p in people]
    )
    # a fourth of the side: a picture of 32 x 16 tells garments apart, and 4096 numbers a person are enough
    small = drawn.reshape(len(people), len(VIEWS), H2 // 4, 4, W2 // 4, 4, 3).mean((3, 5)).reshape(len(people), -1)
    return 1 - cdist(small, small, "cityblock") / small.shape[1] / 255


def same_garment(a: Garment, b: Garment) -> bool:
    """Whether two garments are the same piece of a domain's catalogue, up to the small tint of each person's copy."""
    return replace(a, rgb=b.rgb) == b
