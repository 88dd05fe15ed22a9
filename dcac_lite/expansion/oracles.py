"""Copies that no method can make, and one that any can: what painting other clothes could be worth at best.

The renderer takes an embedded picture again in other clothes. O1 does so as it is, O2 inside the picture's own mask
only (what a perfect inpainting model would paint), O3 is a new photograph of the same person in the same other clothes
(what collecting data would bring). O- knows no clothes: it gives the picture's own garments other colours. O1, O2 and
O3 of a picture wear the same outfits in the same order."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..progress import over
from ..world.appearance import COLOURS
from ..world.domains import Sample
from ..world.figure import BELT, LOWER, SCARF, SHOES, UPPER
from ..world.truth import garment_mask
from .copies import other_outfits
from .domains import truth_of
from .masks import pasted
from .specs import ClothesSpec
from .wardrobe import Outfit, catalogue
from .world import in_other_clothes, photograph, plan, worn_mask

#: Garments that are given a colour each.
GARMENTS = (UPPER, LOWER, (SHOES,), (BELT, SCARF))


def second_view(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """The picture itself, `count` times: what a batch of pairs is without any copies, each picture augmented twice."""
    pictures = np.stack([s.picture.image for s in over("pictures again")(truth_of(spec, names))])
    return np.repeat(pictures.transpose(0, 3, 1, 2)[:, None], count, 1)


def recoloured(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """O-: each garment's mean colour exchanged for one of `appearance.COLOURS`, drawn uniformly by the picture's index;
    shading and pattern stay as they are."""
    palette = np.array(list(COLOURS.values()), float)

    def paint(sample: Sample, _: Outfit, k: int) -> np.ndarray:
        rng = np.random.default_rng([spec.seed, 28, sample.record.index, k])
        image = sample.picture.image.astype(float)
        for labels in GARMENTS:
            colour, mask = palette[int(rng.integers(len(palette)))], garment_mask(sample, labels)
            if mask.any():
                image[mask] += colour - image[mask].mean(0)
        return image.round().clip(0, 255).astype(np.uint8)

    return _painted(spec, names, count, paint)


def redressed(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """O1: the same picture in other clothes; outline and bare limbs follow them."""
    return _painted(spec, names, count, lambda sample, outfit, _: in_other_clothes(sample, outfit).image)


def inside_the_mask(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """O2: O1 inside the picture's mask, the picture's own pixels elsewhere: the first `count` of
    `copies.oracle_copies`."""

    def paint(sample: Sample, outfit: Outfit, _: int) -> np.ndarray:
        return pasted(sample.picture.image, in_other_clothes(sample, outfit).image, worn_mask(sample))

    return _painted(spec, names, count, paint)


def photographed_anew(spec: ClothesSpec, names: Sequence[str], count: int) -> np.ndarray:
    """O3: another picture of the person in the other clothes, with pose, place, light and noise of its own, by one of
    the domain's cameras, drawn uniformly."""
    pictures = len(plan(spec))

    def paint(sample: Sample, outfit: Outfit, k: int) -> np.ndarray:
        index = (1 + k) * pictures + sample.record.index  # a stream of random numbers that no other picture has
        camera = 1 + int(np.random.default_rng([spec.seed, 29, index]).integers(spec.cameras))
        return in_other_clothes(photograph(spec, replace(sample.record, index=index, camera=camera)), outfit).image

    return _painted(spec, names, count, paint)


def _painted(
    spec: ClothesSpec, names: Sequence[str], count: int, paint: Callable[[Sample, Outfit, int], np.ndarray]
) -> np.ndarray:
    """uint8 [M, count, 3, H, W] of what `paint` makes of each picture and its k-th other outfit, uint8 [H, W, 3]. Fewer
    copies are the first of more."""

    def copies(sample: Sample) -> np.ndarray:
        outfits = [catalogue(spec)[number] for number in other_outfits(spec, sample)[:count]]
        return np.stack([paint(sample, outfit, k) for k, outfit in enumerate(outfits)])

    return np.stack([copies(s) for s in over("copies")(truth_of(spec, names))]).transpose(0, 1, 4, 2, 3)


#: By the name in the tables.
ORACLES: dict[str, Callable[[ClothesSpec, Sequence[str], int], np.ndarray]] = {
    "second augmentation": second_view,
    "O-": recoloured,
    "O1": redressed,
    "O2": inside_the_mask,
    "O3": photographed_anew,
}
