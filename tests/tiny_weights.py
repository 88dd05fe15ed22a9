"""A CLIP of a few numbers, and a copy of the lite Stable Diffusion to change."""

import shutil
from pathlib import Path

from dcac_lite.tiers import LITE

TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 20, "width": 32, "heads": 2, "layers": 1},
}
SIZE = (64, 32)  # a grid of 8 x 4 where the tiny CLIP was trained with 4 x 4


def copy_of_lite(folder: Path) -> Path:
    for part in ("unet", "vae", "scheduler"):
        shutil.copytree(f"{LITE.stable_diffusion}/{part}", folder / part)
    return folder
