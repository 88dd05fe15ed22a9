"""The embedded worlds: one captioned `web` domain and five Re-ID domains of procedural people.

The four Re-ID domains stand for the paper's data sets (Table 1) at one tenth of the images and one
fifth of the identities (one tenth of MSMT17's many test identities): MA (Market1501, 6 cameras),
D (DukeMTMC-reID, 8), MS (MSMT17, 15) and C3 (CUHK03-NP, 2). A fifth, V, serves to choose settings
and nothing else. `plan` lists the pictures of a domain, `photograph_record` makes one of them with
its truth; both depend on nothing but the domain and the picture's index, so any process makes the
same picture.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from .renderer import (
    BAGS,
    BOTTOMS,
    COLOURS,
    HAIR_STYLES,
    PATTERNS,
    TOPS,
    VIEWS,
    Appearance,
    Camera,
    Garment,
    Picture,
    Pose,
    render,
)
from .scenes import KINDS, crop_scene, draw_scene

JUNK, DISTRACTOR = -1, 0  # Market-1501's special person ids


@dataclass(frozen=True)
class Nuisance:
    """How far a domain's cameras stray from a clean photograph: SDs of the camera style, and per
    picture the SD of exposure jitter, crop shift (pixels) and crop scale, and occluder probability."""

    cast: float
    exposure: float
    gamma: float
    contrast: float
    veil: float
    light: float
    blur: float
    noise: float
    resolution: float
    jitter: float = 0.02
    shift: float = 0.5
    scale: float = 0.015
    occluder: float = 0.03


@dataclass(frozen=True)
class DomainSpec:
    """A Re-ID domain: its role in the paper, its places, its cameras, its counts and its nuisances.

    `train`, `query`, `gallery` are image counts (gallery includes distractors, person id 0, and
    leaves out junk, person id -1, as the Market-1501 counts of Table 1 do)."""

    name: str
    role: str
    seed: int
    scenes: tuple[str, ...]
    cameras: int
    train_ids: int
    test_ids: int
    train: int
    query: int
    gallery: int
    distractors: int
    junk: int
    nuisance: Nuisance
    tops: int = 110  # garments in the domain's catalogue
    bottoms: int = 55

    def slice(self, share: float) -> "DomainSpec":
        """The same domain with a share of its identities and pictures (the smoke tier's slice)."""
        few = {n: max(24, round(getattr(self, n) * share)) for n in ("train_ids", "test_ids")}
        counts = {n: round(getattr(self, n) * share) for n in ("distractors", "junk")}
        # every identity keeps at least four pictures, every test identity a query
        counts["train"] = max(8 * few["train_ids"], round(self.train * share))
        counts["query"] = max(few["test_ids"], round(self.query * share))
        counts["gallery"] = max(6 * few["test_ids"], round(self.gallery * share)) + counts["distractors"]
        return replace(self, **few, **counts)


#: Per domain: cast, exposure, gamma, contrast, veil, light, blur, noise, resolution. What a camera
#: does to every picture alike is what an unseen domain changes; what varies from picture to picture
#: (jitter, shift, scale, occluder) is kept small, because it hurts the source domain just as much.
DOMAINS: dict[str, DomainSpec] = {
    d.name: d
    for d in (
        DomainSpec("MA", "Market1501", 11, ("street", "plaza"), 6, 150, 150, 1294, 337, 1591, 279, 382,
                   Nuisance(0.066, 0.060, 0.06, 0.06, 0.03, 0.12, 0.25, 1.5, 0.955)),
        DomainSpec("D", "DukeMTMC-reID", 12, ("park", "street"), 8, 140, 140, 1652, 223, 1766, 180, 0,
                   Nuisance(0.055, 0.055, 0.045, 0.045, 0.02, 0.09, 0.25, 1.5, 0.97), tops=130, bottoms=65),
        DomainSpec("MS", "MSMT17", 13, KINDS, 15, 208, 320, 3262, 1166, 8216, 0, 0,
                   Nuisance(0.030, 0.030, 0.03, 0.03, 0.015, 0.05, 0.20, 1.5, 0.97), tops=400, bottoms=200),
        DomainSpec("C3", "CUHK03-NP", 14, ("indoor",), 2, 153, 140, 736, 140, 533, 0, 0,
                   Nuisance(0.096, 0.072, 0.06, 0.06, 0.03, 0.12, 0.27, 1.5, 0.94), tops=90, bottoms=45),
        DomainSpec("V", "validation", 15, ("plaza", "park", "indoor"), 6, 150, 120, 1300, 280, 1200, 150, 60,
                   Nuisance(0.072, 0.078, 0.06, 0.06, 0.03, 0.12, 0.27, 1.8, 0.94)),
    )
}  # fmt: skip

WEB_SEED, WEB_SCENES = 10, 600
_WEB = Nuisance(0.04, 0.06, 0.03, 0.03, 0.01, 0.1, 0.15, 1.5, 1.0, 0.03, 1.0, 0.03, 0.04)


@dataclass(frozen=True)
class Record:
    """One picture to be taken. `person` indexes the domain's identities; `pid` is what the file
    name says (0 and -1 for distractors and junk). `camera` counts from 1."""

    index: int
    split: str  # train, query or gallery
    person: int
    pid: int
    camera: int


@dataclass(frozen=True)
class Sample:
    """A picture with everything that is true about it."""

    picture: Picture
    record: Record
    appearance: Appearance
    view: str
    scene: str
    caption: str


# ---------------------------------------------------------------- people


def _colour(rng: np.random.Generator, weights: np.ndarray, sd: float = 12.0) -> tuple[str, tuple[float, float, float]]:
    word = str(rng.choice(list(COLOURS), p=weights))
    return word, tuple(float(v) for v in np.clip(np.array(COLOURS[word]) + rng.normal(0, sd, 3), 8, 247))


def _garment(rng: np.random.Generator, kinds: tuple[str, ...], weights: np.ndarray, plain: float) -> Garment:
    word, rgb = _colour(rng, weights)
    _, second = _colour(rng, np.full(len(COLOURS), 1 / len(COLOURS)))
    pattern = "plain" if rng.random() < plain else str(rng.choice(PATTERNS[1:]))
    return Garment(str(rng.choice(kinds)), word, rgb, second, pattern, int(rng.integers(4, 8)) * 2)


def _appearance(rng: np.random.Generator, top: Garment, bottom: Garment) -> Appearance:
    flat = np.full(len(COLOURS), 1 / len(COLOURS))
    skin = np.array([232, 190, 160]) * rng.uniform(0.42, 1.0)
    hair = np.array([[30, 24, 22], [74, 48, 30], [150, 108, 60], [140, 140, 140]])[
        rng.choice(4, p=[0.45, 0.3, 0.15, 0.1])
    ]
    return Appearance(
        top=top,
        bottom=bottom,
        shoes_rgb=_colour(rng, flat)[1],
        skin_rgb=tuple(float(v) for v in skin),
        hair_rgb=tuple(float(v) for v in hair + rng.normal(0, 8, 3).clip(-20, 20)),
        hair_style=str(rng.choice(HAIR_STYLES, p=[0.45, 0.33, 0.12, 0.1])),
        hat_rgb=_colour(rng, flat)[1] if rng.random() < 0.2 else None,
        bag=str(rng.choice(BAGS, p=[0.45, 0.25, 0.15, 0.15])),
        bag_rgb=_colour(rng, flat)[1],
        belt_rgb=_colour(rng, flat)[1] if rng.random() < 0.25 else None,
        logo=bool(rng.random() < 0.25),
        build=float(rng.uniform(0.85, 1.2)),
        height=float(rng.uniform(0.93, 1.03)),
    )


def _tinted(garment: Garment, rng: np.random.Generator, sd: float = 5.0) -> Garment:
    return replace(garment, rgb=tuple(float(v) for v in np.clip(np.array(garment.rgb) + rng.normal(0, sd, 3), 8, 247)))


@cache
def identities(spec: DomainSpec) -> tuple[Appearance, ...]:
    """The people of a domain, in order: training ids, test ids, then distractors and passers-by.

    People come in families of three that start from one outfit of the domain's garment catalogue;
    each member keeps the upper garment with probability 0.5 and the lower one with 0.3, so that
    look-alikes exist (Fig. 1e, Fig. 3). Everything else is drawn for each person."""
    rng = np.random.default_rng([spec.seed, 1])
    weights = rng.dirichlet(np.full(len(COLOURS), 4.0))
    tops = [_garment(rng, TOPS, weights, plain=0.5) for _ in range(spec.tops)]
    bottoms = [_garment(rng, BOTTOMS, weights, plain=0.8) for _ in range(spec.bottoms)]

    def pick(catalogue: list[Garment]) -> Garment:
        zipf = np.arange(1, len(catalogue) + 1) ** -0.6
        return catalogue[rng.choice(len(catalogue), p=zipf / zipf.sum())]

    people: list[Appearance] = []
    total = spec.train_ids + spec.test_ids + spec.distractors + spec.junk
    for _ in range(-(-total // 3)):
        shared_top, shared_bottom = pick(tops), pick(bottoms)
        for _ in range(3):
            top = shared_top if rng.random() < 0.5 else pick(tops)
            bottom = shared_bottom if rng.random() < 0.3 else pick(bottoms)
            people.append(_appearance(rng, _tinted(top, rng), _tinted(bottom, rng)))
    return tuple(people[:total])


# ---------------------------------------------------------------- places and cameras


def _camera(rng: np.random.Generator, n: Nuisance) -> Camera:
    return Camera(
        cast=tuple(float(v) for v in rng.normal(0, n.cast, 3)),
        exposure=float(rng.normal(0, n.exposure)),
        gamma=float(np.exp(rng.normal(0, n.gamma))),
        contrast=float(np.exp(rng.normal(0, n.contrast))),
        veil=float(abs(rng.normal(0, n.veil))),
        light=float(rng.normal(0, n.light)),
        blur=float(abs(rng.normal(0, n.blur))),
        noise=n.noise,
        resolution=n.resolution,
    )


@cache
def _places(spec: DomainSpec | None) -> list[tuple[str, str, np.ndarray, Camera]]:
    """(kind of scene, its colour word, the scene, the camera) of each camera of a domain; None is web."""
    if spec is None:
        rng = np.random.default_rng([WEB_SEED, 0])
        kinds, count, nuisance = KINDS, WEB_SCENES, _WEB
    else:
        rng = np.random.default_rng([spec.seed, 0])
        kinds, count, nuisance = spec.scenes, spec.cameras, spec.nuisance
    places = []
    for c in range(count):
        kind = kinds[c % len(kinds)]
        scene, word = draw_scene(kind, rng)
        places.append((kind, word, scene, _camera(rng, nuisance)))
    return places


def _take(
    rng: np.random.Generator, appearance: Appearance, place, nuisance: Nuisance, patch: np.ndarray
) -> tuple[Picture, str]:
    view = str(rng.choice(VIEWS, p=[0.36, 0.36, 0.28]))
    pose = Pose(
        view,
        phase=float(rng.uniform(0, 2 * np.pi)),
        shift_x=float(rng.normal(0, nuisance.shift)),
        shift_y=float(rng.normal(0, nuisance.shift)),
        scale=float(np.exp(rng.normal(0, nuisance.scale))),
    )
    camera = place[3]
    camera = replace(
        camera,
        exposure=camera.exposure + float(rng.normal(0, nuisance.jitter)),
        cast=tuple(float(c + rng.normal(0, 0.3 * nuisance.jitter)) for c in camera.cast),
    )
    occluder = bool(rng.random() < nuisance.occluder)
    return render(appearance, pose, patch, camera, rng, occluder), view


# ---------------------------------------------------------------- captions

_VIEW_WORDS = {"front": "from the front", "back": "from behind", "side": "from the side"}


def caption_of(appearance: Appearance, view: str, scene: str, background: str, rng: np.random.Generator) -> str:
    """A short caption as people write them: a garment's colour, often the place and the background,
    sometimes the view or a second garment, rarely a pattern or a bag. It names little of what
    defines an identity; that is what leaves fine-tuning something to learn."""
    words = f"a person in a {appearance.top.colour} {appearance.top.kind}"
    if appearance.top.pattern != "plain" and rng.random() < 0.15:
        words = f"a person in a {appearance.top.pattern} {appearance.top.colour} {appearance.top.kind}"
    if rng.random() < 0.5 and appearance.top.kind != "dress":
        words += f" and {appearance.bottom.colour} {appearance.bottom.kind}"
    if appearance.bag != "none" and rng.random() < 0.15:
        words += f" with a {appearance.bag}"
    if rng.random() < 0.4:
        words += f" {_VIEW_WORDS[view]}"
    if rng.random() < 0.7:
        words += f" , {scene}"
    if rng.random() < 0.6:
        words += f" , {background} background"
    return words


def caption_words() -> list[str]:
    """Every word a caption can contain, sorted: the vocabulary of the lite tokenizer."""
    phrases = [*COLOURS, *TOPS, *BOTTOMS, *PATTERNS, *BAGS, *_VIEW_WORDS.values(), *KINDS]
    phrases += ["a photo of person in and with background ,"]
    return sorted({word for phrase in phrases for word in phrase.split()})


def web_sample(index: int) -> Sample:
    """Picture `index` of the endless web domain: a new person in one of 600 places, captioned."""
    rng = np.random.default_rng([WEB_SEED, 2, index])
    flat = np.full(len(COLOURS), 1 / len(COLOURS))
    appearance = _appearance(rng, _garment(rng, TOPS, flat, plain=0.5), _garment(rng, BOTTOMS, flat, plain=0.8))
    number = int(rng.integers(WEB_SCENES))
    place = _places(None)[number]
    picture, view = _take(rng, appearance, place, _WEB, crop_scene(place[2], rng))
    caption = caption_of(appearance, view, place[0], place[1], rng)
    return Sample(picture, Record(index, "web", -1, -1, number + 1), appearance, view, place[0], caption)


# ---------------------------------------------------------------- Re-ID domains


def _shares(rng: np.random.Generator, total: int, parts: int, least: int) -> np.ndarray:
    """`total` pictures over `parts` identities, at least `least` each, unevenly as in real data."""
    return least + rng.multinomial(total - least * parts, rng.dirichlet(np.full(parts, 6.0)))


def plan(spec: DomainSpec) -> list[Record]:
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
    places = sorted({(r.person, r.camera) for r in records if r.split == "gallery"})
    if len(places) < spec.query:
        raise ValueError(
            f"{spec.name}: {spec.query} queries asked for, only {len(places)} (identity, camera) pairs exist"
        )
    # every identity asks once before any asks twice
    order = rng.permutation(len(places))
    first = {places[k][0]: k for k in reversed(order)}
    rest = [k for k in order if k not in set(first.values())]
    for k in sorted([*first.values(), *rest][: spec.query]):
        add("query", places[k][0], places[k][0] + 1, places[k][1])
    beyond = spec.train_ids + spec.test_ids
    for k in range(spec.distractors):
        add("gallery", beyond + k, DISTRACTOR, rng.integers(1, spec.cameras + 1))
    for k in range(spec.junk):
        add("gallery", beyond + spec.distractors + k, JUNK, rng.integers(1, spec.cameras + 1))
    return records


def photograph_record(spec: DomainSpec, record: Record) -> Sample:
    """Take one picture of a Re-ID domain. With probability 0.7 an identity stands at the same spot
    of a camera's scene as last time, so that backgrounds are a shortcut as in real data. Junk
    pictures are misplaced boxes: the person is far out of the crop."""
    rng = np.random.default_rng([spec.seed, 4, record.index])
    place = _places(spec)[record.camera - 1]
    spot = np.random.default_rng([spec.seed, 5, record.person, record.camera]) if rng.random() < 0.7 else rng
    patch = crop_scene(place[2], spot)
    appearance = identities(spec)[record.person]
    nuisance = spec.nuisance
    if record.pid == JUNK:
        nuisance = replace(nuisance, shift=14.0, scale=0.3)
    picture, view = _take(rng, appearance, place, nuisance, patch)
    caption = caption_of(appearance, view, place[0], place[1], rng)
    return Sample(picture, record, appearance, view, place[0], caption)
