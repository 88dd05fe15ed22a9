"""People who change clothes: a body that stays, and outfits from a catalogue that everybody in a domain shares."""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from ..world.appearance import HAIR_STYLES, Appearance, Garment, Piece, Rgb
from ..world.people import identities
from ..world.specs import DomainSpec
from .specs import MOST_OUTFITS, ClothesSpec

#: Words and sRGB values of hair. More than `world.appearance` has: hair is a large part of who somebody is here.
HAIR: dict[str, Rgb] = {
    "black": (30, 24, 22), "brown": (78, 50, 30), "beige": (206, 174, 120), "yellow": (176, 132, 70),
    "orange": (168, 84, 36), "red": (120, 42, 30), "grey": (128, 128, 132), "white": (212, 212, 210),
}  # fmt: skip
_STYLES = (0.3, 0.3, 0.25, 0.15)
_SKIN = np.array([232, 190, 160])


@dataclass(frozen=True)
class Body:
    """What a change of clothes leaves: the fields of `Appearance` of these names."""

    skin_rgb: Rgb
    hair: Piece
    build: float
    height: float


@dataclass(frozen=True)
class Outfit:
    """What is changed: the fields of `Appearance` of these names. Nobody has a hat or a bag, which would be neither:
    they are not inpainted (DLCR keeps hats), and people change them."""

    top: Garment
    bottom: Garment
    shoes: Piece
    belt: Piece | None
    scarf: Piece | None
    sleeves: Piece | None
    chest: Piece | None
    back: Piece | None
    side_stripe: Piece | None

    @classmethod
    def of(cls, person: Appearance) -> "Outfit":
        """What somebody wears."""
        return cls(**{f.name: getattr(person, f.name) for f in fields(cls)})


def dressed(body: Body, outfit: Outfit) -> Appearance:
    """A body in an outfit."""
    parts = {f.name: getattr(part, f.name) for part in (body, outfit) for f in fields(part)}
    return Appearance(**parts, hat=None, bag=None, bag_side=1)


@dataclass(frozen=True)
class Wearer:
    """A person. outfits: in the order in which they are worn; numbers: where each stands in the domain's catalogue, so
    that people with a number in common have dressed alike."""

    body: Body
    outfits: tuple[Outfit, ...]
    numbers: tuple[int, ...]


def _body(rng: np.random.Generator) -> Body:
    word = list(HAIR)[int(rng.integers(len(HAIR)))]
    hair = tuple(float(v) for v in np.clip(np.array(HAIR[word]) + rng.normal(0, 8, 3), 5, 247))
    # brightness, and a hue axis that no brightness changes
    hue = np.array([rng.uniform(0.93, 1.07), 1.0, rng.uniform(0.86, 1.14)])
    skin = np.clip(_SKIN * rng.uniform(0.38, 1.0) * hue, 8, 247)
    return Body(
        skin_rgb=tuple(float(v) for v in skin),
        hair=Piece(word, hair, HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=_STYLES))]),
        build=float(rng.uniform(0.72, 1.38)),
        height=float(rng.uniform(0.86, 1.06)),
    )


@cache
def catalogue(spec: ClothesSpec) -> tuple[Outfit, ...]:
    """The outfits of a domain: the clothes of as many people of an ordinary domain, families of look-alikes included
    (`world.people.identities`)."""
    names = [f.name for f in fields(DomainSpec)]
    ordinary = DomainSpec(**{name: getattr(spec, name) for name in names})
    people = identities(replace(ordinary, train_ids=spec.catalogue, test_ids=0, distractors=0, junk=0))
    return tuple(map(Outfit.of, people))


def _wearer(spec: ClothesSpec, person: int) -> Wearer:
    """Drawn from a stream of the person's own: who somebody is depends on neither the counts of a domain nor the number
    of outfits, and more outfits only add to fewer."""
    rng = np.random.default_rng([spec.seed, 21, person])
    body = _body(rng)
    training = person < spec.train_ids
    outfits = catalogue(spec)[: None if training else spec.in_fashion]
    zipf = np.arange(1, len(outfits) + 1) ** -0.6
    chosen = rng.choice(len(outfits), MOST_OUTFITS, replace=False, p=zipf / zipf.sum())
    count = 1 + int(rng.choice(len(spec.worn), p=spec.worn))
    if training and spec.train_outfits is not None:
        count = spec.train_outfits
    numbers = tuple(int(n) for n in chosen[:count])
    return Wearer(body, tuple(outfits[n] for n in numbers), numbers)


@cache
def wearers(spec: ClothesSpec) -> tuple[Wearer, ...]:
    """The people of a domain: those of training, then those of test."""
    return tuple(_wearer(spec, person) for person in range(spec.train_ids + spec.test_ids))


@cache
def passers_by(spec: ClothesSpec) -> tuple[Appearance, ...]:
    """Who may walk through a picture: thirty people of nobody's acquaintance."""
    outfits = catalogue(spec)
    rngs = (np.random.default_rng([spec.seed, 22, k]) for k in range(30))
    return tuple(dressed(_body(rng), outfits[int(rng.integers(len(outfits)))]) for rng in rngs)
