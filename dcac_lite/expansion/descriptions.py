"""Clothes in words (DLCR, Sec. 3.1): upper garment, lower garment, footwear, a "colour noun" each.

In the embedded domains the truth is known, with the errors of a reader on purpose. A description of an outfit is the
majority over its pictures, part by part, as the paper says (its published code summarises the first few instead)."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..world.appearance import COLOURS
from .wardrobe import Outfit

PARTS = ("upper", "lower", "footwear")


class Description(NamedTuple):
    """The three parts in lower case; "" for what cannot be seen."""

    upper: str
    lower: str
    footwear: str

    @property
    def prompt(self) -> str:
        """What an inpainting model is told: the parts that are known, joined by blanks."""
        return " ".join(part for part in self if part)

    def __str__(self) -> str:
        return " | ".join(self)


def parse(line: str) -> Description:
    """A line such as "Black jacket |blue jeans | white shoes." as a description: lower case, blanks and a final full
    stop left out. Raises ValueError for another number of parts."""
    parts = [" ".join(part.split()).rstrip(".").lower() for part in line.split("|")]
    if len(parts) != len(PARTS):
        raise ValueError(f"{line!r} has {len(parts)} parts; expected {' | '.join(PARTS)}.")
    return Description(*parts)


def true_description(outfit: Outfit) -> Description:
    """What somebody would say who sees everything."""
    return Description(
        f"{outfit.top.colour} {outfit.top.kind}",
        f"{outfit.bottom.colour} {outfit.bottom.kind}",
        f"{outfit.shoes.colour} shoes",
    )


def misread(
    description: Description, rng: np.random.Generator, missing: float = 0.2, wrong: float = 0.1
) -> Description:
    """The same as a reader with errors says it of one picture: each part is missing with one probability, and else has
    another colour with the other."""
    words = list(COLOURS)

    def part(text: str) -> str:
        lost, mistaken, colour = rng.random(), rng.random(), words[int(rng.integers(len(words)))]
        if lost < missing or not text:
            return ""
        return f"{colour} {text.split(' ', 1)[-1]}" if mistaken < wrong else text

    return Description(*map(part, description))


def majority(descriptions: Sequence[Description]) -> Description:
    """One description from those of an outfit's pictures: of each part the one seen most often, the first seen of
    equals. What was not visible never wins against something. Raises ValueError for none."""
    if not descriptions:
        raise ValueError("There is no description of the outfit; expected those of its pictures.")
    seen = (Counter(filter(None, parts)) for parts in zip(*descriptions))
    return Description(*(max(counts, key=lambda text: counts[text], default="") for counts in seen))
