"""Copies of embedded pictures by the inpainting model, of several kinds: what DLCR makes, and its controls.

A kind says what the model is told and where it may paint. "inpainted" wears other people's outfits, drawn as the
oracles' are (`copies.other_outfits`) but not the same ones unless both have ten copies, in the words of the data;
"random prompts" knows no data; "own outfit" brings nothing but the model's artefacts; "empty prompt" leaves the clothes
to the model; "no mask" is image-to-image on the whole picture, which starts from a share of the noise and sees nothing
of the picture besides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..world.domains import Sample
from .copies import other_outfits
from .descriptions import Description
from .domains import truth_of
from .inpainting.cache import Order, painted_copies
from .inpainting.painter import LITE, Settings
from .outfit_words import by_number, own_words, random_words
from .specs import ClothesSpec
from .world import worn_mask


def _of_others(spec: ClothesSpec, sample: Sample, count: int) -> list[Description]:
    return [by_number(spec)[number] for number in other_outfits(spec, sample, count)]


def _random(spec: ClothesSpec, sample: Sample, count: int) -> list[Description]:
    return random_words(spec, sample.record, count)


def _own(spec: ClothesSpec, sample: Sample, count: int) -> list[Description]:
    return [own_words(spec, sample.record)] * count


def _nothing(spec: ClothesSpec, sample: Sample, count: int) -> list[Description]:
    return [Description("", "", "")] * count


@dataclass(frozen=True)
class Kind:
    """words: the descriptions of a picture's copies, from domain, sample and number; masked: whether only clothes are
    painted; strength: see `painter.Settings`."""

    words: Callable[[ClothesSpec, Sample, int], list[Description]]
    masked: bool = True
    strength: float = 1.0


#: By name. The two without a mask are told what "inpainted" is.
KINDS: dict[str, Kind] = {
    "inpainted": Kind(_of_others),
    "random prompts": Kind(_random),
    "own outfit": Kind(_own),
    "empty prompt": Kind(_nothing),
    "no mask": Kind(_of_others, masked=False, strength=0.8),
    "no mask, half strength": Kind(_of_others, masked=False, strength=0.5),
}


def order_of(kind: str, spec: ClothesSpec, sample: Sample, count: int) -> Order:
    """What is to be painted in a training picture. Raises ValueError for a kind that is none of KINDS."""
    if kind not in KINDS:
        raise ValueError(f"kind of copies is {kind!r}; expected one of {', '.join(KINDS)}.")
    picture = sample.picture.image
    mask = worn_mask(sample) if KINDS[kind].masked else np.ones(picture.shape[:2], bool)
    return Order(picture, mask, tuple(KINDS[kind].words(spec, sample, count)))


def settings_of(kind: str) -> Settings:
    """How a kind is painted in the lite tier."""
    return replace(LITE["train"], strength=KINDS[kind].strength)


def painted(
    kind: str, spec: ClothesSpec, names: Sequence[str], count: int, seed: int = 0
) -> tuple[np.ndarray, list[list[Description]]]:
    """Copies of training pictures of a domain and their descriptions: uint8 [M, count, 3, 64, 32], and M lists. A
    picture that shows no clothes at all has nothing to be painted in; its copies are itself. What has been painted
    before is read from the data root. Raises ValueError for a kind, and as `truth_of` and `other_outfits` do."""
    orders = [order_of(kind, spec, sample, count) for sample in truth_of(spec, names)]
    copies = painted_copies(orders, names, f"{spec.name} {kind}", settings_of(kind), seed)
    return copies.transpose(0, 1, 4, 2, 3), [list(order.words) for order in orders]


def inpainted(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by prompts from the data, uint8 [M, count, 3, 64, 32], as all of these functions."""
    return painted("inpainted", spec, names, count)[0]


def random_prompts(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by uniformly random colours and kinds."""
    return painted("random prompts", spec, names, count)[0]


def own_outfit(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by the words for what the person wears anyway."""
    return painted("own outfit", spec, names, count)[0]


def empty_prompt(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by no words at all."""
    return painted("empty prompt", spec, names, count)[0]


def no_mask(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by image-to-image on the whole picture, strength 0.8."""
    return painted("no mask", spec, names, count)[0]


def no_mask_half(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """Copies by image-to-image on the whole picture, strength 0.5."""
    return painted("no mask, half strength", spec, names, count)[0]


#: For `pools.POOLS`, by the name in the tables.
PAINTED: dict[str, Callable[[ClothesSpec, Sequence[str], int], np.ndarray]] = {
    "inpainted": inpainted,
    "random prompts": random_prompts,
    "own outfit": own_outfit,
    "empty prompt": empty_prompt,
    "no mask": no_mask,
    "no mask, half strength": no_mask_half,
}
