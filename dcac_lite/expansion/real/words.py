"""What each copy will wear: outfits that occur in the training set, in the words that were found for them (DLCR,
Sec. 3.1)."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...data.clothes import UNKNOWN, ClothesListing
from ...inversion.training import seeded
from ...paths import replacing
from ..descriptions import Description, majority, parse

_NOTHING = Description("", "", "")


def read_words(file: Path) -> list[Description]:
    """The descriptions in a file, a line each. Raises FileNotFoundError for a file that is not there, ValueError for
    one without a line and for a line that is no description."""
    if not file.is_file():
        raise FileNotFoundError(f"There are no descriptions {file}; expected a line upper | lower | footwear each.")
    try:
        lines = [parse(text) for text in file.read_text(encoding="utf-8").splitlines() if text.strip()]
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not lines:
        raise ValueError(f"{file} has no line; expected upper | lower | footwear.")
    return lines


def outfits_in_words(listing: ClothesListing, answers: Path) -> dict[int, Description]:
    """The description of every training outfit by its number: the majority over its pictures, part by part, of what was
    said of each in `answers`/NAME.txt. Outfits of which nothing was ever visible are left out.

    Raises FileNotFoundError for pictures without an answer, ValueError as `read_words` does and where the owners of the
    data set number no outfits."""
    said: dict[int, list[Description]] = defaultdict(list)
    for picture, outfit in zip(listing.train, listing.clothes["train"].tolist()):
        if outfit == UNKNOWN:
            raise ValueError(f"{picture.path} has no outfit's number, so there is nothing to describe.")
        said[outfit] += read_words((answers / picture.name).with_suffix(".txt"))
    found = {outfit: majority(each) for outfit, each in said.items()}
    return {outfit: words for outfit, words in found.items() if words != _NOTHING}


def choose(described: Mapping[int, Description], own: int, name: str, count: int, seed: int) -> list[Description]:
    """`count` of the described outfits but the own, drawn uniformly without replacement by the picture's name and the
    seed. Raises ValueError where there are not so many."""
    others = sorted(set(described) - {own})
    if not 1 <= count <= len(others):
        raise ValueError(f"{count} copies asked for; there are descriptions of {len(others)} other outfits.")
    rng = np.random.default_rng(seeded("outfits", seed, name).initial_seed())
    return [described[outfit] for outfit in rng.choice(others, count, replace=False).tolist()]


def write_words(listing: ClothesListing, split: str, answers: Path, out: Path, count: int, seed: int) -> int:
    """Write `out`/NAME.txt, a line for each copy, for the pictures of a split ("train" or "query"); returns how many
    outfits they were drawn from. A query's own outfit is unknown and may be met by chance. Errors as `outfits_in_words`
    and `choose`."""
    described = outfits_in_words(listing, answers)
    own = listing.clothes[split].tolist() if split == "train" else [UNKNOWN] * len(getattr(listing, split))
    for picture, outfit in zip(getattr(listing, split), own):
        lines = choose(described, outfit, picture.name, count, seed)
        with replacing((out / picture.name).with_suffix(".txt")) as temporary:
            temporary.write_text("".join(f"{words}\n" for words in lines), encoding="utf-8")
    return len(described)
