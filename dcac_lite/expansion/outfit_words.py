"""What the outfits of an embedded domain are called, as it would be found out: each training picture described with a
reader's errors, and the majority over an outfit's pictures (DLCR, Sec. 3.1)."""

from functools import cache

import numpy as np

from ..world.appearance import BOTTOMS, COLOURS, TOPS
from .descriptions import Description, majority, misread, true_description
from .specs import ClothesSpec
from .wardrobe import wearers
from .world import OutfitRecord, plan


@cache
def described(spec: ClothesSpec) -> dict[tuple[int, int], Description]:
    """By person and number of the outfit in the domain's catalogue: the description of every outfit of training people,
    each from its own pictures."""
    seen: dict[tuple[int, int], list[Description]] = {}
    for record in plan(spec):
        if record.split == "train":
            wearer = wearers(spec)[record.person]
            truth = true_description(wearer.outfits[record.outfit])
            said = misread(truth, np.random.default_rng([spec.seed, 30, record.index]))
            seen.setdefault((record.person, wearer.numbers[record.outfit]), []).append(said)
    return {key: majority(each) for key, each in seen.items()}


@cache
def by_number(spec: ClothesSpec) -> dict[int, Description]:
    """By number in the catalogue: the description of the outfit as its first training wearer has it."""
    return {number: words for (_, number), words in reversed(described(spec).items())}


def own_words(spec: ClothesSpec, record: OutfitRecord) -> Description:
    """The description of what is worn in a training picture."""
    return described(spec)[record.person, wearers(spec)[record.person].numbers[record.outfit]]


def random_words(spec: ClothesSpec, record: OutfitRecord, count: int) -> list[Description]:
    """Descriptions that know no data: colours and kinds drawn uniformly, by the picture's index."""
    rng = np.random.default_rng([spec.seed, 31, record.index])

    def one(kinds: tuple[str, ...]) -> str:
        return f"{list(COLOURS)[int(rng.integers(len(COLOURS)))]} {kinds[int(rng.integers(len(kinds)))]}"

    return [Description(one(TOPS), one(BOTTOMS), one(("shoes",))) for _ in range(count)]
