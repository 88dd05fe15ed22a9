"""Painting a user's own pictures, in the full tier's way: masks of a parser and descriptions are files."""

from pathlib import Path

import numpy as np

from ..data.decoding import open_image
from ..data.listing import SUFFIXES
from ..progress import line
from .copies import read_copies, write_copies
from .descriptions import parse
from .inpainting.painter import Painter, Settings
from .masks import read_mask


def paint_files(
    pictures: Path, masks: Path, words: Path, out: Path, settings: Settings, source: str | Path, seed: int = 0
) -> int:
    """Copies of every picture below `pictures` in the format of DLCR's release below `out`; returns how many pictures
    were painted now. Those whose copies are there in the words asked for are left alone.

    masks: `NAME.png` for each picture, see `masks.read_mask`; words: `NAME.txt` for each, a line upper | lower |
    footwear for each copy; both in the pictures' folders. source: see `inpainting.pipeline.load_pipeline`. Raises
    FileNotFoundError for no picture, mask or description, ValueError as `read_mask`, `parse` and `Painter` do."""
    files = sorted(f for f in pictures.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"There are no pictures in {pictures}; expected PERSON/NAME.jpg.")
    painter, painted = Painter(settings, source, seed), 0
    for file in line(files, "painting"):
        name = file.relative_to(pictures)
        said = (words / name).with_suffix(".txt")
        if not said.is_file():
            raise FileNotFoundError(f"There are no descriptions {said}; write a line for each copy of {name}.")
        try:
            lines = [parse(text) for text in said.read_text(encoding="utf-8").splitlines() if text.strip()]
        except ValueError as error:
            raise ValueError(f"{said}: {error}") from error
        stem = (out / name).with_suffix("")
        picture = np.asarray(open_image(file))
        mask = read_mask((masks / name).with_suffix(".png"), picture.shape[:2])
        if not _is_there(stem, lines, picture, mask):
            stem.parent.mkdir(parents=True, exist_ok=True)
            write_copies(stem, painter(picture, mask, [each.prompt for each in lines], name.as_posix()), lines)
            painted += 1
    return painted


def _is_there(stem: Path, lines: list, picture: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the copies in a file are of this picture and in these words. Raises ValueError for another picture's."""
    if not stem.with_name(f"{stem.name}.png").is_file():
        return False
    copies, said = read_copies(stem)
    if copies.shape[1:] != picture.shape or (copies[:, ~mask] != picture[~mask]).any():
        raise ValueError(f"{stem}.png holds copies of another picture; remove it, or choose another folder.")
    return said == lines
