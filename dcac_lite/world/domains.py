"""The embedded world: one captioned `web` domain and five Re-ID domains of procedural people.

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

from .appearance import (
    BAGS,
    BOTTOMS,
    COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    LOGOS,
    PATTERNS,
    TOPS,
    Appearance,
    Garment,
    Piece,
)
from .captioning import WRITERS, caption_of
from .figure import ARMS, Pose
from .renderer import Box, Camera, Light, Occluder, PasserBy, Picture, Shot, render
from .scenes import KINDS, crop_scene, draw_scene

JUNK, DISTRACTOR = -1, 0  # Market-1501's special person ids


@dataclass(frozen=True)
class Nuisance:
    """How far pictures stray from a clean photograph.

    The first eight are SDs over the *cameras* of a domain (blur and veil: scale of a half-normal; noise: grey levels,
    the same for all). The rest vary from *picture* to picture: SD of the light's colour and of its exposure,
    probability of a shadow, of an occluder and of a passer-by, SD of the box's shift (share of its sides) and of its
    log-size, least resolution (uniform up to 1), motion blur (scale of a half-normal, pixels), SD of the yaw about
    the camera's heading."""

    cast: float
    exposure: float
    gamma: float
    contrast: float
    veil: float
    light: float
    blur: float
    noise: float
    light_cast: float = 0.1
    light_exposure: float = 0.22
    shadow: float = 0.3
    occluder: float = 0.15
    passer_by: float = 0.2
    shift: float = 0.12
    scale: float = 0.15
    resolution: float = 0.6
    motion: float = 0.5
    turn: float = 0.4


@dataclass(frozen=True)
class DomainSpec:
    """A Re-ID domain: its role in the paper, its places, its cameras, its counts and its nuisances.

    `train`, `query`, `gallery` are image counts (gallery includes distractors, person id 0, and
    leaves out junk, person id -1, as the Market-1501 counts of Table 1 do). tops, bottoms: garments in the
    domain's catalogue."""

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
    tops: int = 50
    bottoms: int = 25

    def slice(self, share: float) -> "DomainSpec":
        """The same domain with a share of its identities and pictures (the smoke tier's slice)."""
        few = {n: max(24, round(getattr(self, n) * share)) for n in ("train_ids", "test_ids")}
        counts = {n: round(getattr(self, n) * share) for n in ("distractors", "junk")}
        # every identity keeps at least four pictures, every test identity a query
        counts["train"] = max(8 * few["train_ids"], round(self.train * share))
        counts["query"] = max(few["test_ids"], round(self.query * share))
        counts["gallery"] = max(6 * few["test_ids"], round(self.gallery * share)) + counts["distractors"]
        return replace(self, **few, **counts)

    def redrawn(self, world: int) -> "DomainSpec":
        """The same domain in another world: other people, places and cameras by the same rules. World 0 is this one."""
        return replace(self, seed=self.seed + 1000 * world)


#: Per domain the SDs over its cameras: cast, exposure, gamma, contrast, veil, light, blur, noise. What a camera does to
#: every picture alike is what an unseen domain changes.
DOMAINS: dict[str, DomainSpec] = {
    d.name: d
    for d in (
        DomainSpec("MA", "Market1501", 11, ("street", "plaza"), 6, 150, 150, 1294, 337, 1591, 279, 382,
                   Nuisance(0.12, 0.16, 0.12, 0.12, 0.06, 0.22, 0.15, 2.0)),
        DomainSpec("D", "DukeMTMC-reID", 12, ("park", "street"), 8, 140, 140, 1652, 223, 1766, 180, 0,
                   Nuisance(0.13, 0.17, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, occluder=0.3, passer_by=0.4, scale=0.18,
                            resolution=0.5),
                   tops=40, bottoms=20),
        DomainSpec("MS", "MSMT17", 13, KINDS, 15, 208, 320, 3262, 1166, 8216, 0, 0,
                   Nuisance(0.13, 0.16, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, light_exposure=0.25, shadow=0.35),
                   tops=100, bottoms=50),
        DomainSpec("C3", "CUHK03-NP", 14, ("indoor",), 2, 153, 140, 736, 140, 533, 0, 0,
                   Nuisance(0.16, 0.16, 0.13, 0.13, 0.06, 0.22, 0.15, 2.0, light_exposure=0.28, resolution=0.45,
                            turn=0.6),
                   tops=40, bottoms=20),
        DomainSpec("V", "validation", 15, ("plaza", "park", "indoor"), 6, 150, 120, 1300, 280, 1200, 150, 60,
                   Nuisance(0.14, 0.18, 0.14, 0.14, 0.06, 0.22, 0.15, 2.0, shadow=0.4, scale=0.18, motion=0.7)),
    )
}  # fmt: skip

WEB_SEED, WEB_SCENES = 10, 600
#: The web is broader than any Re-ID domain: more places, stronger casts, every heading.
WEB_NUISANCE = Nuisance(
    0.08, 0.12, 0.08, 0.08, 0.03, 0.12, 0.15, 2.0, light_cast=0.06, light_exposure=0.14, shadow=0.15, occluder=0.08,
    passer_by=0.15, shift=0.06, scale=0.1, resolution=0.8, motion=0.2, turn=1.0,
)  # fmt: skip
#: People of the web come in groups of as many that are dressed alike, so that small things are worth a look.
WEB_GROUP = 3
#: People of a Re-ID domain who start from one outfit.
FAMILY = 3


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
    """A picture with everything that is true about it. `shot` is what it was made of: render(replace(shot, ...)) takes
    it again with something changed."""

    picture: Picture
    record: Record
    shot: Shot
    scene: str
    caption: str

    @property
    def appearance(self) -> Appearance:
        return self.shot.person

    @property
    def view(self) -> str:
        return self.shot.pose.view


# ---------------------------------------------------------------- people

_WORDS = tuple(COLOURS)
#: How common the colours of clothes are: black, white, grey and blue lead, as in any street.
_COMMON = np.array([2.5, 2, 2, 1.2, 0.8, 0.8, 1.0, 0.8, 1.6, 0.8, 0.8, 1.2, 1.2])
_COMMON /= _COMMON.sum()


def _colour(rng: np.random.Generator, weights: np.ndarray | None = None) -> tuple[str, tuple[float, float, float]]:
    word = _WORDS[int(rng.choice(len(_WORDS), p=weights))]
    return word, tuple(float(v) for v in np.clip(np.array(COLOURS[word]) + rng.normal(0, 10, 3), 8, 247))


def _piece(rng: np.random.Generator, kinds: tuple[str, ...] = ("",)) -> Piece:
    return Piece(*_colour(rng), kinds[int(rng.integers(len(kinds)))])


def _garment(rng: np.random.Generator, kinds: tuple[str, ...], weights: np.ndarray, plain: float) -> Garment:
    word, rgb = _colour(rng, weights)
    second_word, second = _colour(rng)
    pattern = "plain" if rng.random() < plain else PATTERNS[1 + int(rng.integers(len(PATTERNS) - 1))]
    return Garment(
        kinds[int(rng.integers(len(kinds)))], word, rgb, second_word, second, pattern, int(rng.integers(6, 11)) * 2
    )


def _appearance(rng: np.random.Generator, top: Garment, bottom: Garment) -> Appearance:
    def maybe(share: float, kinds: tuple[str, ...] = ("",)) -> Piece | None:
        piece, there = _piece(rng, kinds), rng.random() < share
        return piece if there else None

    hair_word = list(HAIR_COLOURS)[int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.1]))]
    hair_rgb = tuple(float(v) for v in np.clip(np.array(HAIR_COLOURS[hair_word]) + rng.normal(0, 8, 3), 5, 247))
    return Appearance(
        top=top,
        bottom=bottom,
        shoes=_piece(rng),
        hair=Piece(hair_word, hair_rgb, HAIR_STYLES[int(rng.choice(4, p=[0.45, 0.33, 0.12, 0.1]))]),
        hat=maybe(0.25),
        bag=maybe(0.55, BAGS[1:]),
        bag_side=1 if rng.random() < 0.5 else -1,
        belt=maybe(0.3),
        scarf=maybe(0.2),
        sleeves=maybe(0.25),
        chest=maybe(0.45, LOGOS),
        back=maybe(0.45, LOGOS),
        side_stripe=maybe(0.3),
        skin_rgb=tuple(float(v) for v in np.array([232, 190, 160]) * rng.uniform(0.42, 1.0)),
        build=float(rng.uniform(0.85, 1.2)),
        height=float(rng.uniform(0.93, 1.03)),
    )


@cache
def identities(spec: DomainSpec) -> tuple[Appearance, ...]:
    """The people of a domain, in order: training ids, test ids, then distractors and passers-by.

    People come in families of `FAMILY` that start from one outfit of the domain's garment catalogue;
    each member keeps the upper garment with probability 0.5 and the lower one with 0.3, so that
    look-alikes exist (Fig. 1e, Fig. 3). Everything else is drawn for each person."""
    rng = np.random.default_rng([spec.seed, 1])
    weights = rng.dirichlet(20 * _COMMON)
    tops = [_garment(rng, TOPS, weights, plain=0.5) for _ in range(spec.tops)]
    bottoms = [_garment(rng, BOTTOMS, weights, plain=0.8) for _ in range(spec.bottoms)]

    def pick(catalogue: list[Garment]) -> Garment:
        zipf = np.arange(1, len(catalogue) + 1) ** -0.6
        return catalogue[int(rng.choice(len(catalogue), p=zipf / zipf.sum()))]

    people: list[Appearance] = []
    total = spec.train_ids + spec.test_ids + spec.distractors + spec.junk
    for _ in range(-(-total // FAMILY)):
        shared_top, shared_bottom = pick(tops), pick(bottoms)
        for _ in range(FAMILY):
            top = shared_top if rng.random() < 0.7 else pick(tops)
            bottom = shared_bottom if rng.random() < 0.5 else pick(bottoms)
            people.append(_appearance(rng, top, bottom))
    return tuple(people[:total])


# ---------------------------------------------------------------- places and cameras


@dataclass(frozen=True)
class Place:
    """A camera and what it sees: kind of scene, colour word of its upper part, the scene."""

    kind: str
    word: str
    scene: np.ndarray
    camera: Camera


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
        heading=float(rng.uniform(0, 2 * np.pi)),
    )


@cache
def places(spec: DomainSpec | None) -> tuple[Place, ...]:
    """The place of each camera of a domain, in order; of the web for None."""
    if spec is None:
        rng = np.random.default_rng([WEB_SEED, 0])
        kinds, count, nuisance = KINDS, WEB_SCENES, WEB_NUISANCE
    else:
        rng = np.random.default_rng([spec.seed, 0])
        kinds, count, nuisance = spec.scenes, spec.cameras, spec.nuisance
    found = []
    for c in range(count):
        kind = kinds[c % len(kinds)]
        scene, word = draw_scene(kind, rng)
        found.append(Place(kind, word, scene, _camera(rng, nuisance)))
    return tuple(found)


def _pose(rng: np.random.Generator, heading: float, turn: float) -> Pose:
    along = heading + (np.pi if rng.random() < 0.5 else 0.0)  # people walk past a camera one way or the other
    return Pose(
        yaw=float((along + rng.normal(0, turn)) % (2 * np.pi)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0, 1.2)),
        lean=float(rng.normal(0, 2.5)),
        arms=ARMS[int(rng.choice(3, p=[0.6, 0.25, 0.15]))],
    )


def _box(rng: np.random.Generator, n: Nuisance) -> Box:
    return Box(
        float(rng.normal(0, 32 * n.shift)), float(rng.normal(0, 64 * n.shift)), float(np.exp(rng.normal(0.05, n.scale)))
    )


def _light(rng: np.random.Generator, n: Nuisance) -> Light:
    # a shadow's edge crosses the picture anywhere, at any slope
    shadow = (float(rng.uniform(-24, 24)), float(rng.normal(0, 1)), float(rng.uniform(-0.7, -0.25)))
    return Light(
        side=float(rng.normal(0, 0.25)),
        cast=tuple(float(v) for v in rng.normal(0, n.light_cast, 3)),
        exposure=float(rng.normal(0, n.light_exposure)),
        shadow=shadow if rng.random() < n.shadow else None,
    )


def _occluder(rng: np.random.Generator) -> Occluder:
    rgb = tuple(int(v) for v in rng.integers(40, 190, 3))
    if rng.random() < 0.5:  # a post
        return Occluder(int(rng.integers(0, 28)), 0, int(rng.integers(3, 7)), rgb)
    width = int(rng.integers(10, 32))  # a box, a bicycle, a car
    return Occluder(int(rng.integers(-6, 30)), int(rng.integers(36, 54)), width, rgb)


def _passer_by(rng: np.random.Generator, people: tuple[Appearance, ...]) -> PasserBy:
    person = people[int(rng.integers(len(people)))]
    return PasserBy(person, _pose(rng, 0.0, 3.0), int(rng.choice([-1, 1])) * int(rng.integers(22, 42)))


def _shot(
    rng: np.random.Generator, person: Appearance, place: Place, n: Nuisance, patch: np.ndarray, passers_by
) -> Shot:
    return Shot(
        person=person,
        pose=_pose(rng, place.camera.heading, n.turn),
        box=_box(rng, n),
        patch=patch,
        light=_light(rng, n),
        camera=place.camera,
        resolution=float(rng.uniform(n.resolution, 1.0)),
        motion=float(abs(rng.normal(0, n.motion))),
        occluder=_occluder(rng) if rng.random() < n.occluder else None,
        passer_by=_passer_by(rng, passers_by) if rng.random() < n.passer_by else None,
        seed=int(rng.integers(2**31)),
    )


# ---------------------------------------------------------------- the web


@cache
def _web_passers_by() -> tuple[Appearance, ...]:
    return tuple(web_person(-1 - k) for k in range(200))


def web_person(number: int) -> Appearance:
    """Person `number` of the endless web; negative numbers are passers-by. Groups of `WEB_GROUP` consecutive people
    start from one outfit, of which each keeps the upper garment with probability 0.6 and the lower one with 0.5."""
    flat = np.full(len(COLOURS), 1 / len(COLOURS))

    def outfit(rng: np.random.Generator) -> tuple[Garment, Garment]:
        return _garment(rng, TOPS, flat, plain=0.5), _garment(rng, BOTTOMS, flat, plain=0.7)

    group = outfit(np.random.default_rng([WEB_SEED, 3, abs(number) // WEB_GROUP, number < 0]))
    rng = np.random.default_rng([WEB_SEED, 1, abs(number), number < 0])
    own = outfit(rng)
    top, bottom = (group[k] if rng.random() < share else own[k] for k, share in ((0, 0.6), (1, 0.5)))
    return _appearance(rng, top, bottom)


def web_sample(index: int, photo: int = 0, writer: str = "short") -> Sample:
    """Photograph `photo` of person `index` of the web, in one of 600 places, captioned by one of captioning.WRITERS.
    Two photographs of a person share nothing but the person."""
    rng = np.random.default_rng([WEB_SEED, 2, index, photo])
    person = web_person(index)
    number = int(rng.integers(WEB_SCENES))
    place = places(None)[number]
    shot = _shot(rng, person, place, WEB_NUISANCE, crop_scene(place.scene, rng), _web_passers_by())
    caption = caption_of(person, shot.pose.view, place.kind, place.word, WRITERS[writer], rng)
    return Sample(render(shot), Record(index, "web", index, -1, number + 1), shot, place.kind, caption)


# ---------------------------------------------------------------- Re-ID domains


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


def photograph_record(spec: DomainSpec, record: Record) -> Sample:
    """Take one picture of a Re-ID domain. With probability 0.5 an identity stands at the same spot
    of a camera's scene as last time, so that backgrounds are a shortcut as in real data. Junk
    pictures are misplaced boxes: the person is far out of the crop."""
    rng = np.random.default_rng([spec.seed, 4, record.index])
    place = places(spec)[record.camera - 1]
    spot = np.random.default_rng([spec.seed, 5, record.person, record.camera]) if rng.random() < 0.5 else rng
    patch = crop_scene(place.scene, spot)
    people = identities(spec)
    shot = _shot(rng, people[record.person], place, spec.nuisance, patch, people)
    if record.pid == JUNK:
        shot = replace(shot, box=Box(float(rng.choice([-1, 1])) * 12, float(rng.normal(0, 12)), 0.7))
    caption = caption_of(shot.person, shot.pose.view, place.kind, place.word, WRITERS["short"], rng)
    return Sample(render(shot), record, shot, place.kind, caption)
