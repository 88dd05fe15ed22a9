"""What is true about the embedded pictures and people: masks, attributes, and who looks like whom.

No real data set knows this. The drawing code does: every picture depends on nothing but its domain and
its index, and the index is in the file name, so the truth of a file can be drawn again."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..tiers import TIERS
from .appearance import BAGS, BOTTOMS, HAIR_STYLES, LOGOS, PATTERNS, TOPS, Appearance, Piece
from .domains import Sample, photograph_record
from .figure import BOX_HEIGHT, BOX_WIDTH, CANVAS_HEIGHT, CANVAS_WIDTH, MARGIN, Pose, draw_labels
from .plan import Record, plan
from .renderer import cut, paint
from .specs import DOMAINS, DomainSpec

_YAWS = (0.0, np.pi, np.pi / 2, -np.pi / 2)  # from the front, from the back, from both sides


def truth_of(domain: str, names: Sequence[str], tier: str = "lite") -> list[Sample]:
    """The truth of files of an embedded domain (MA, D, MS, C3 or V): for each name such as
    `0001_c3s1_000000_00.jpg` the `domains.Sample` with the undistorted picture (before JPEG), its body
    and clothing masks (bool [64, 32]) and the person's `Appearance`. Needs no file.

    Raises ValueError for a domain or tier without a known truth, and for a name that is not of that domain."""
    share = TIERS[tier].share
    if share is None or domain not in DOMAINS:
        raise ValueError(
            f"The truth of {domain!r} in tier {tier!r} is not known: "
            f"it exists for {', '.join(DOMAINS)} in smoke and lite."
        )
    spec = DOMAINS[domain] if share == 1 else DOMAINS[domain].slice(share)
    return [photograph_record(spec, _record(spec, name)) for name in names]


def _record(spec: DomainSpec, name: str) -> Record:
    index = (*name.split("_"), "", "")[2]
    records = plan(spec)
    if index.isdigit() and int(index) < len(records):
        record = records[int(index)]
        pid = f"{record.pid:04d}" if record.pid >= 0 else "-1"
        if name.startswith(f"{pid}_c{record.camera}s1_"):
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


def _pieces(pieces: Sequence[Piece | None]) -> np.ndarray:
    return np.mean([_rgb_similarity([p and p.rgb for p in pieces]), _same([p and p.kind for p in pieces])], axis=0)


def attribute_similarity(people: Sequence[Appearance]) -> np.ndarray:
    """How alike people are by their attributes, float [N, N] in 0..1, with 1 on the diagonal: Gower's
    similarity (1971), the mean over their parts (garments, each small piece, skin, shape), each the mean of its
    attributes. All parts count the same, however small."""

    def garment(which: str) -> np.ndarray:
        pieces = [getattr(p, which) for p in people]
        parts = (
            _rgb_similarity([g.rgb for g in pieces]),
            _same([g.kind for g in pieces]),
            _same([g.pattern for g in pieces]),
        )
        return np.mean(parts, axis=0)

    shape = np.mean([_near([p.build for p in people]), _near([p.height for p in people])], axis=0)
    parts = [garment("top"), garment("bottom"), shape, _rgb_similarity([p.skin_rgb for p in people])]
    parts += [_pieces([getattr(p, name) for p in people]) for name in SMALL_PARTS]
    return np.mean(parts, axis=0)


def look_similarity(people: Sequence[Appearance]) -> np.ndarray:
    """How alike people look, float [N, N] in 0..1, with 1 on the diagonal: one minus the mean absolute
    difference of their undistorted pictures before grey, seen from the front, the back and both sides. Here
    a part counts by the area that it covers."""
    from scipy.spatial.distance import cdist

    grey = np.full((CANVAS_HEIGHT, CANVAS_WIDTH, 3), 128, np.uint8)
    box = slice(MARGIN, MARGIN + BOX_HEIGHT), slice(MARGIN, MARGIN + BOX_WIDTH)
    drawn = np.array([[paint(draw_labels(p, Pose(yaw)), p, grey)[box] for yaw in _YAWS] for p in people], np.float32)
    # a fourth of the side: a picture of 32 x 16 tells garments apart, and 6144 numbers a person are enough
    small = (
        drawn.reshape(len(people), len(_YAWS), BOX_HEIGHT // 4, 4, BOX_WIDTH // 4, 4, 3)
        .mean((3, 5))
        .reshape(len(people), -1)
    )
    return 1 - cdist(small, small, "cityblock") / small.shape[1] / 255


def garment_mask(sample: Sample, labels: Sequence[int]) -> np.ndarray:
    """Where a picture shows parts of these labels, such as UPPER, in more than half of a pixel: bool [64, 32]."""
    drawn = np.isin(draw_labels(sample.shot.person, sample.shot.pose), labels)
    shown = np.asarray(cut(Image.fromarray(255 * drawn.astype(np.uint8)), sample.shot.box)) > 128
    return shown & sample.picture.body_mask  # what stands in front hides it


# ---------------------------------------------------------------- the oracle

#: Parts of an appearance that a person can add or take off, or that are small.
SMALL_PARTS = ("shoes", "hair", "hat", "bag", "belt", "scarf", "sleeves", "chest", "back", "side_stripe")


def attribute_vector(person: Appearance) -> np.ndarray:
    """The attributes of a person as numbers, float64 [D]: colours (each channel over 255), one number a word for kinds
    and patterns, 1 or 0 for what is there or not."""
    values: list[float] = []

    def colour(rgb) -> None:
        values.extend(v / 255 for v in (rgb if rgb is not None else (0.5, 0.5, 0.5)))

    def word(kind: str, kinds: Sequence[str]) -> None:
        values.extend(float(kind == k) for k in kinds)

    for garment, kinds in ((person.top, TOPS), (person.bottom, BOTTOMS)):
        colour(garment.rgb)
        colour(garment.second_rgb if garment.pattern != "plain" else None)
        word(garment.kind, kinds)
        word(garment.pattern, PATTERNS)
        values.append(garment.period / 20 if garment.pattern not in ("plain", "two-tone") else 0.0)
    for name in SMALL_PARTS:
        piece = getattr(person, name)
        values.append(float(piece is not None))
        colour(piece and piece.rgb)
        word(
            piece.kind if piece else "",
            {"hair": HAIR_STYLES, "bag": BAGS[1:], "chest": LOGOS, "back": LOGOS}.get(name, ()),
        )
    colour(person.skin_rgb)
    values.extend([person.build, person.height])
    return np.array(values)


def oracle_features(samples: Sequence[Sample], noise: float = 0.1, seed: int = 0) -> Tensor:
    """What somebody who reads every attribute from every picture with an error knows, float32 [N, D] of unit length:
    the `attribute_vector` of each sample's person plus Gaussian noise of SD `noise` on every number. The error is
    drawn anew for each picture, and what a pose hides is known too: a ceiling, not a method."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.from_numpy(np.stack([attribute_vector(s.appearance) for s in samples])).float() - 0.5
    return F.normalize(vectors + noise * torch.randn(vectors.shape, generator=generator))
