"""Painted copies, kept below the data root in parts, each written whole or not at all.

Painting that was stopped goes on where it was. Several processes may paint one pool: each takes parts that nobody has
taken."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from ...code_key import code_key
from ...paths import data_root
from ...pretrained.files import file_sha256, read_tensors, write_tensors
from ...progress import line
from ..descriptions import Description
from .painter import Painter, Settings
from .pipeline import SHIPPED

PART = 50  # pictures
_CODE = ("expansion.inpainting.painter", "expansion.inpainting.pipeline", "expansion.inpainting.material")


@dataclass(frozen=True)
class Order:
    """A picture, uint8 [H, W, 3], where it is painted, bool [H, W], and in what: K descriptions."""

    picture: np.ndarray
    mask: np.ndarray
    words: tuple[Description, ...]


def _weights_key(source: Path) -> str:
    if source.is_file():
        return file_sha256(source)
    return json.dumps([(str(f), file_sha256(f)) for f in sorted(source.rglob("*.safetensors"))])


def pool_key(orders: Sequence[Order], names: Sequence[str], settings: Settings, source: Path, seed: int) -> str:
    """Hash of all that the copies depend on: pictures, masks and words, names, settings, weights, seed and code."""
    digest = hashlib.sha256(json.dumps([list(names), asdict(settings), seed, code_key(_CODE)]).encode())
    digest.update(_weights_key(source).encode())
    for order in orders:
        digest.update(order.picture.tobytes() + order.mask.tobytes() + repr(order.words).encode())
    return digest.hexdigest()[:12]


def painted_copies(
    orders: Sequence[Order], names: Sequence[str], label: str, settings: Settings, seed: int = 0,
    source: str | Path | None = None, root: Path | None = None,
) -> np.ndarray:  # fmt: skip
    """Copies in the order of the orders, uint8 [M, K, H, W, 3], all of one size. label: what the folder is called and
    the progress line says; source: see `pipeline.load_pipeline`; root: where the folder lies, None for `copies` in the
    data root. Raises what `Painter` does, ValueError for a part that is damaged."""
    weights = Path(SHIPPED if source is None else source)
    key = pool_key(orders, names, settings, weights, seed)
    folder = (root or data_root() / "copies") / f"{label.replace(' ', '-').replace(',', '')}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    painter, found = Painter(settings, source, seed), {}
    starts = range(0, len(orders), PART)
    # a second pass waits for the parts that another process was painting in the first
    for timeout in (0, -1):
        for start in line([s for s in starts if s not in found], f"painting {label}"):
            file, end = folder / f"part-{start:06d}.safetensors", min(start + PART, len(orders))
            try:
                with FileLock(file.with_suffix(".lock")).acquire(timeout=timeout):
                    if not file.exists():
                        each = [_copies(painter, orders[row], names[row]) for row in range(start, end)]
                        write_tensors({"copies": torch.from_numpy(np.stack(each))}, file)
            except Timeout:
                continue
            found[start] = read_tensors(file)["copies"].numpy()
    return np.concatenate([found[start] for start in starts])


def _copies(painter: Painter, order: Order, name: str) -> np.ndarray:
    if not order.mask.any():  # nobody is seen, or no clothes: nothing to paint
        return np.repeat(order.picture[None], len(order.words), 0)
    return painter(order.picture, order.mask, [words.prompt for words in order.words], name)
