"""Where a picture shows clothes (DLCR, Sec. 3.1): masks on disk, and masks that are wrong on purpose.

In the embedded domains they are true (`world.worn_mask`); of real pictures a human parser's are read. One file a
picture, `PERSON/NAME.png` for `NAME.jpg`: 8 bit, one channel, 255 where clothes are, 0 elsewhere, at the picture's
size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..paths import replacing
from ..world.domains import Sample
from ..world.figure import SHOES
from ..world.truth import garment_mask
from .world import WORN, worn_mask


def shifted(sample: Sample, pixels: int = 1) -> np.ndarray:
    """The true mask moved to the right by some pixels, as a parser's that looks at another scale: bool [64, 32]."""
    mask = worn_mask(sample)
    moved = np.zeros_like(mask)
    moved[:, pixels:] = mask[:, : mask.shape[1] - pixels]
    return moved


def without_shoes(sample: Sample) -> np.ndarray:
    """The true mask less the shoes, the smallest part and the first that a parser loses: bool [64, 32]."""
    return garment_mask(sample, [label for label in WORN if label != SHOES])


#: By name: how the clothes of an embedded picture are found.
MASKS: dict[str, Callable[[Sample], np.ndarray]] = {
    "true": worn_mask,
    "shifted": shifted,
    "without shoes": without_shoes,
}


def write_mask(path: Path, mask: np.ndarray) -> None:
    """A mask, bool [H, W], as a file."""
    with replacing(path) as temporary:
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(temporary, format="PNG")


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The mask in a file, bool [H, W], for a picture of `size` (height, width). Raises FileNotFoundError for a file
    that is not there and ValueError for one that is no mask, of another size, or empty: nothing would be painted."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no mask {path}; make one for each picture, PERSON/NAME.png.")
    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except OSError as error:
        raise ValueError(f"{path} is not a readable mask ({error}); make it again.") from error
    if mode not in ("L", "1") or not np.isin(values, (0, 1) if mode == "1" else (0, 255)).all():
        raise ValueError(f"{path} is no mask: expected one channel of 0 and 255, found {mode}.")
    if values.shape != tuple(size):
        found, expected = (" x ".join(map(str, shape)) for shape in (values.shape, size))
        raise ValueError(f"{path} is {found}; expected {expected}, the picture's height and width.")
    if not values.any():
        raise ValueError(f"{path} is empty: it finds no clothes, so there is nothing to paint. Leave the picture out.")
    return values > 0


def pasted(picture: np.ndarray, painted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`painted` where the mask is, the picture's own pixels elsewhere: uint8 [H, W, 3] from two of them and bool
    [H, W]. (The published code pastes into a picture that has been enlarged and reduced again.)"""
    if picture.shape != painted.shape or picture.shape[:2] != mask.shape:
        shapes = f"{list(picture.shape)}, {list(painted.shape)} and {list(mask.shape)}"
        raise ValueError(f"Picture, painted picture and mask have shapes {shapes}; expected one height and width.")
    return np.where(mask[:, :, None], painted, picture)
