"""What the frozen encoder sees: the lite CLIP's image features of pictures and copies, computed once and kept.

Stage 2 then trains a head on them, in seconds. The price is that augmentation is drawn beforehand: each training
picture is seen in VIEWS ways, and each copy in one."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..augment import augment, normalise, to_tensor
from ..code_key import code_key
from ..data.domains import Split
from ..inversion.training import seeded
from ..lean import lean_visual
from ..pretrained.clip import load_clip_visual
from ..pretrained.files import file_sha256
from ..progress import over
from ..tiers import LITE
from .pools import code_of, kept, material_of, pool
from .specs import ClothesSpec

VIEWS = 2  # augmented, of each training picture
COPIES = 4  # of each picture, in the pools that are trained on
_BATCH = 128


def _encoder() -> torch.nn.Module:
    return lean_visual(load_clip_visual(LITE.clip, LITE.image_size)).eval().requires_grad_(False)


def encoder_key() -> list[str]:
    """The encoder's weights and the code that sees with it, as hashes."""
    weights = [file_sha256(file) for file in sorted(Path(LITE.clip).rglob("*.safetensors"))]
    return [*weights, code_of("pretrained.clip"), code_key(("expansion.activations", "lean"))]


@torch.no_grad()
def _seen(x: Tensor) -> np.ndarray:
    """float16 [N, d] of normalised pictures [N, 3, H, W]."""
    encoder = _encoder()
    return torch.cat([encoder(part) for part in over("CLIP")(x.split(_BATCH))]).half().numpy()


def _augmented(images: np.ndarray, *seed: object) -> np.ndarray:
    """float16 [M, K, d] of pictures uint8 [M, K, 3, H, W], augmented as the lite tier does, each once."""
    generator = torch.Generator().manual_seed(seeded(*seed).initial_seed())
    flat = to_tensor(np.asarray(images)).flatten(0, 1)
    x = torch.cat([augment(part, LITE.padding, LITE.erasing, LITE.jitter, generator) for part in flat.split(_BATCH)])
    return _seen(x).reshape(*images.shape[:2], -1)


def of_training(spec: ClothesSpec, split: Split) -> np.ndarray:
    """Of the training pictures of an embedded domain, each in VIEWS augmentations: float16 [M, VIEWS, d]."""
    images = np.asarray(split.images)
    material = [repr(spec), list(split.names), VIEWS, encoder_key(), code_of("augment")]
    several = np.broadcast_to(images[:, None], (len(images), VIEWS, *images.shape[1:]))
    return kept(f"{spec.name}-training-seen", material, lambda: _augmented(several, "originals"))


def of_copies(kind: str, spec: ClothesSpec, split: Split, count: int = COPIES) -> np.ndarray:
    """Of `count` copies of each training picture, of one kind (`pools.POOLS`): float16 [M, count, d]."""
    material = [material_of(kind, spec, split.names, count), encoder_key(), code_of("augment")]
    return kept(
        f"{spec.name}-{kind}-seen", material, lambda: _augmented(pool(kind, spec, split.names, count), "copies", kind)
    )


def of_test(spec: ClothesSpec, split: Split) -> np.ndarray:
    """Of queries or gallery pictures as they are and mirrored: float16 [N, 2, d]."""
    material = [repr(spec), list(split.names), encoder_key()]
    return kept(f"{spec.name}-test-seen", material, lambda: as_they_are(np.asarray(split.images)))


def as_they_are(images: np.ndarray) -> np.ndarray:
    """Of any pictures, uint8 [N, 3, H, W], as they are and mirrored: float16 [N, 2, d]."""
    x = normalise(to_tensor(images))
    return np.stack([_seen(x), _seen(x.flip(-1))], 1)
