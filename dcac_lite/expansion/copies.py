"""Copies of pictures in other clothes: the format that DLCR's are released in, and those of the oracle.

Of each original `NAME.jpg` there are `NAME.png`, its K copies side by side, and `NAME.txt`, a line for each copy:
upper | lower | footwear. DLCR has K = 10."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.clothes import ClothesSplit
from ..data.decoding import open_image
from ..paths import replacing
from ..world.domains import Sample
from .descriptions import Description, parse, true_description
from .domains import truth_of
from .masks import MASKS, pasted
from .specs import ClothesSpec
from .wardrobe import catalogue, wearers
from .world import in_other_clothes

COPIES = 10


def write_copies(stem: Path, copies: np.ndarray, descriptions: Sequence[Description]) -> None:
    """Write `stem`.png and `stem`.txt. copies: uint8 [K, h, w, 3]. Raises ValueError where the two differ in number."""
    if copies.ndim != 4 or len(copies) != len(descriptions) or not len(copies):
        shape = list(copies.shape)
        raise ValueError(f"{stem}: copies of shape {shape} and {len(descriptions)} descriptions; expected one each.")
    with replacing(stem.with_name(f"{stem.name}.txt")) as temporary:
        temporary.write_text("".join(f"{description}\n" for description in descriptions), encoding="utf-8")
    with replacing(stem.with_name(f"{stem.name}.png")) as temporary:  # last: copies without words are never seen
        Image.fromarray(np.concatenate(list(copies), 1)).save(temporary, format="PNG")


def read_copies(stem: Path) -> tuple[np.ndarray, list[Description]]:
    """The copies of an original in `stem`.png (or .jpg), uint8 [K, h, w, 3], and their descriptions in `stem`.txt, K
    lines. Raises FileNotFoundError for what is missing, ValueError for a line that is no description and for a picture
    whose width is not that of K copies."""
    picture = next((p for s in ("png", "jpg") if (p := stem.with_name(f"{stem.name}.{s}")).is_file()), None)
    words = stem.with_name(f"{stem.name}.txt")
    if picture is None or not words.is_file():
        what = "copies" if picture is None else "descriptions"
        raise FileNotFoundError(f"There are no {what} of {stem}: expected {stem.name}.png and {words.name} beside it.")
    try:
        descriptions = [parse(line) for line in words.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"{words}: {error}") from error
    values, count = np.asarray(open_image(picture)), len(descriptions)
    if not count or values.shape[1] % count:
        raise ValueError(f"{picture} is {values.shape[1]} pixels wide, which {count} copies side by side cannot be.")
    height, width, _ = values.shape
    return values.reshape(height, count, width // count, 3).swapaxes(0, 1), descriptions


def read_pool(folder: Path, split: ClothesSplit, count: int = COPIES) -> np.ndarray:
    """The copies of a split's pictures in the order of the pictures and at their size, uint8 [M, count, 3, H, W], for
    `progressive.Expansion`, from files named as the pictures are below `folder`. All in memory: 17 GB for PRCC at 256 x
    128. Raises what `read_copies` does, and ValueError for another number of copies."""
    height, width = split.images.shape[2:]
    pool = np.empty((len(split), count, 3, height, width), np.uint8)
    for row, name in enumerate(split.names):
        copies, _ = read_copies((folder / name).with_suffix(""))
        if len(copies) != count:
            raise ValueError(f"{folder / name} has {len(copies)} copies; expected {count} of each picture.")
        for k, copy in enumerate(copies):
            resized = copy if copy.shape[:2] == (height, width) else _resized(copy, (width, height))
            pool[row, k] = resized.transpose(2, 0, 1)
    return pool


def _resized(copy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(copy).resize(size, Image.Resampling.BICUBIC))


def other_outfits(spec: ClothesSpec, sample: Sample, count: int = COPIES) -> list[int]:
    """Numbers in the domain's catalogue of the outfits that a training picture is copied in: different ones, drawn
    uniformly from all that training people wear but the picture's own, by the picture's index."""
    people = wearers(spec)[: spec.train_ids]
    own = wearers(spec)[sample.record.person].numbers[sample.record.outfit]
    worn = sorted({number for person in people for number in person.numbers} - {own})
    if len(worn) < count:
        raise ValueError(f"{count} other outfits asked for; the training people of {spec.name} wear {len(worn)}.")
    rng = np.random.default_rng([spec.seed, 26, sample.record.index])
    return [int(number) for number in rng.choice(worn, count, replace=False)]


def oracle_copies(
    spec: ClothesSpec, names: Sequence[str], count: int = COPIES, mask: str = "true", progress: Callable = iter
) -> tuple[np.ndarray, list[list[Description]]]:
    """Copies of pictures of an embedded domain, painted without error inside the mask and nowhere else (oracle O2, what
    DLCR would make with a perfect inpainting model): uint8 [M, count, 3, 64, 32], and the words for each. mask: of
    `masks.MASKS`. Raises ValueError as `other_outfits` and `truth_of` do."""
    if mask not in MASKS:
        raise ValueError(f"mask is {mask!r}; expected one of {', '.join(MASKS)}.")
    copies, words = [], []
    for sample in progress(truth_of(spec, names)):
        outfits = [catalogue(spec)[number] for number in other_outfits(spec, sample, count)]
        where, picture = MASKS[mask](sample), sample.picture.image
        painted = [pasted(picture, in_other_clothes(sample, outfit).image, where) for outfit in outfits]
        copies.append(np.stack(painted).transpose(0, 3, 1, 2))
        words.append([true_description(outfit) for outfit in outfits])
    return np.stack(copies), words
