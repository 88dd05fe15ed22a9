"""A human parser's label maps as masks (DLCR, Sec. 3.1): everything is painted but background, hat, hair and skin.

Label maps are what a parser trained on LIP writes, Self-Correction-Human-Parsing for one: `NAME.png` for `NAME.jpg` in
the same folders, one channel or a palette, a label of 20 in each pixel. Nothing is smoothed or enlarged."""

from pathlib import Path

import numpy as np
from PIL import Image

from ...progress import line
from ..masks import write_mask

#: LIP's labels, each at its number.
LABELS = (
    "background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks", "trousers",
    "jumpsuit", "scarf", "skirt", "face", "left arm", "right arm", "left leg", "right leg", "left shoe", "right shoe",
)  # fmt: skip
KEPT = ("background", "hat", "hair", "face", "left arm", "right arm", "left leg", "right leg")
_KEPT = [LABELS.index(name) for name in KEPT]


def clothes_in(file: Path) -> np.ndarray:
    """Where a label map shows what is painted: bool [H, W]. Raises ValueError for a file that is no label map."""
    try:
        with Image.open(file) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except OSError as error:
        raise ValueError(f"{file} is not a readable label map ({error}); make it again.") from error
    if mode not in ("L", "P"):
        raise ValueError(f"{file} is no label map: expected one channel or a palette, found {mode}.")
    if values.max() >= len(LABELS):
        raise ValueError(
            f"{file} holds the label {values.max()}; a parser trained on LIP has 0 to {len(LABELS) - 1}. "
            "Masks of 0 and 255 need no translation."
        )
    return ~np.isin(values, _KEPT)


def write_masks(labels: Path, out: Path) -> tuple[int, list[Path]]:
    """A mask below `out` for each label map below `labels`; returns how many, and which of the masks are empty, since a
    parser finds no clothes in some pictures. Raises FileNotFoundError where there is no label map, ValueError as
    `clothes_in`."""
    files = sorted(labels.rglob("*.png"))
    if not files:
        raise FileNotFoundError(f"There are no label maps in {labels}; expected NAME.png for each picture NAME.jpg.")
    empty = []
    for file in line(files, "masks"):
        mask = clothes_in(file)
        path = out / file.relative_to(labels)
        write_mask(path, mask)
        if not mask.any():
            empty.append(path)
    return len(files), empty
