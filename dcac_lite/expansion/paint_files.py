"""Painting pictures that are files, in the full tier's way: masks of a parser and descriptions are files too."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data.decoding import open_image
from ..data.listing import SUFFIXES
from ..progress import line
from .copies import read_copies, write_copies
from .descriptions import Description
from .inpainting.painter import Painter, Settings
from .masks import read_mask
from .real.words import read_words


class _Order(NamedTuple):
    """A picture's file, its name below the folder, its mask's file and what its copies wear; paint: False where the
    mask is empty."""

    file: Path
    name: Path
    mask: Path
    words: list[Description]
    paint: bool


def paint_files(
    pictures: Path,
    masks: Path,
    words: Path,
    out: Path,
    settings: Settings,
    source: str | Path,
    seed: int = 0,
    keep_empty: bool = False,
) -> int:
    """Copies of every picture below `pictures` in the format of DLCR's release below `out`; returns how many pictures
    were painted now. Those whose copies are there in the words asked for are left alone. All pictures, masks
    and descriptions are looked at before the first is painted.

    masks: `NAME.png` for each picture, see `masks.read_mask`; words: `NAME.txt` for each, a line upper | lower |
    footwear for each copy; both in the pictures' folders. source: see `inpainting.pipeline.load_pipeline`. keep_empty:
    where a mask is empty the copies are the picture itself. Raises FileNotFoundError for no picture, mask or
    description, ValueError as `open_image`, `read_mask`, `read_words`, `load_pipeline` and `write_copies` do."""
    files = sorted(f for f in pictures.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"There are no pictures in {pictures}; expected PERSON/NAME.jpg.")
    orders = list(_orders(files, pictures, masks, words))
    if not keep_empty and (empty := [order.mask for order in orders if not order.paint]):
        raise ValueError(
            f"{len(empty):,} of {len(files):,} masks are empty, {empty[0]} first: nothing would be painted there. "
            "Leave these pictures out, or let their copies be the pictures themselves (--keep-empty)."
        )
    painter, painted = Painter(settings, source, seed), 0
    for order in line(orders, "painting"):
        stem = (out / order.name).with_suffix("")
        picture = np.asarray(open_image(order.file))
        mask = read_mask(order.mask, picture.shape[:2]) if order.paint else np.zeros(picture.shape[:2], bool)
        if _is_there(stem, order.words, picture, mask):
            continue
        prompts = [each.prompt for each in order.words]
        copies = (
            painter(picture, mask, prompts, order.name.as_posix())
            if order.paint
            else np.repeat(picture[None], len(prompts), 0)
        )
        write_copies(stem, copies, order.words)
        painted += order.paint
    return painted


def _orders(files: list[Path], pictures: Path, masks: Path, words: Path) -> Iterator[_Order]:
    for file in line(files, "looking at masks"):
        name = file.relative_to(pictures)
        lines = read_words((words / name).with_suffix(".txt"))
        mask = (masks / name).with_suffix(".png")
        picture = open_image(file)
        size = picture.height, picture.width
        yield _Order(file, name, mask, lines, not _is_empty(mask, size) and read_mask(mask, size).any())


def _is_empty(mask: Path, size: tuple[int, int]) -> bool:
    """Whether a file is a mask of this size that is 0 everywhere; what else may be wrong `read_mask` says."""
    if not mask.is_file():
        return False
    try:
        with Image.open(mask) as picture:
            return picture.mode in ("L", "1") and picture.size == size[::-1] and picture.getbbox() is None
    except OSError:
        return False


def _is_there(stem: Path, lines: list[Description], picture: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the copies in a file are of this picture and in these words. Raises ValueError for another picture's."""
    if not stem.with_name(f"{stem.name}.png").is_file():
        return False
    copies, said = read_copies(stem)
    if copies.shape[1:] != picture.shape or (copies[:, ~mask] != picture[~mask]).any():
        raise ValueError(f"{stem}.png holds copies of another picture; remove it, or choose another folder.")
    return said == lines
