"""Who lives in a domain, and who in the web: appearances by the number of the person."""

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
from .specs import WEB_SEED, DomainSpec

#: People of the web come in groups of as many that are dressed alike, so that small things are worth a look.
WEB_GROUP = 3
#: People of a Re-ID domain who start from one outfit.
FAMILY = 3

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
