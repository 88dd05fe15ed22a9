"""The recipe of the lite weights: a small CLIP and a small Stable Diffusion, from the captioned `web` domain only.

Saved in open_clip's and diffusers' own folder layouts, so that real weights later load through the same code.
`python -m dcac_lite weights make OUT` runs the whole recipe; a finished stage is not repeated.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..progress import over
from ..world.domains import web_sample
from ..world.figure import HEIGHT, WIDTH
from .clip import train_clip
from .stable_diffusion import train_unet, train_vae

STAGES = ("clip", "vae", "unet")


@dataclass(frozen=True)
class Recipe:
    """What the three stages see and for how long.

    people: persons of the web domain that CLIP sees, one photograph each; two_photographs: share of them with a
    second one, the dial of how much identity CLIP's trunk knows. diffusion_people: persons that Stable Diffusion sees,
    all of them others than CLIP's; the ratio of the two numbers, and the captions (`short` for CLIP, `full` for Stable
    Diffusion), make the knowledge gap."""

    people: int = 60_000
    two_photographs: float = 0.6
    clip_steps: int = 10_000
    clip_batch: int = 96
    clip_lr: float = 1.5e-3
    diffusion_people: int = 90_000
    vae_steps: int = 3_000
    vae_batch: int = 32
    unet_steps: int = 6_000
    unet_batch: int = 64
    seed: int = 0

    def of(self, stage: str) -> dict[str, int | float]:
        """What one stage depends on: fields of its own, the seed, and what says which people it sees."""
        people = ("people", "two_photographs") if stage == "clip" else ("people", "diffusion_people")
        return {k: v for k, v in asdict(self).items() if k in people or k == "seed" or k.startswith(stage)}


LITE_RECIPE = Recipe()
SMOKE_RECIPE = Recipe(
    people=300,
    clip_steps=8,
    clip_batch=48,
    diffusion_people=300,
    vae_steps=8,
    vae_batch=16,
    unet_steps=8,
    unet_batch=32,
)


def web_images(
    start: int, count: int, progress: Callable = iter, photo: int = 0, writer: str = "short"
) -> tuple[Tensor, list[str]]:
    """Photograph number `photo` of the web's people `start` ... `start + count - 1`, uint8 [N, 3, 64, 32], and captions
    by one of `world.captioning.WRITERS`."""
    images = np.empty((count, 3, HEIGHT, WIDTH), np.uint8)
    captions = []
    for k in progress(range(count)):
        sample = web_sample(start + k, photo, writer)
        images[k] = sample.picture.image.transpose(2, 0, 1)
        captions.append(sample.caption)
    return torch.from_numpy(images), captions


def pretrain(out: Path, recipe: Recipe = LITE_RECIPE, stages: tuple[str, ...] = STAGES) -> list[dict]:
    """Run the recipe into `out`/clip and `out`/stable-diffusion; returns the loss history.

    A stage whose `history-STAGE.json` exists is finished and is not repeated; it is written last, by renaming. An
    interrupted stage goes on from where its state was last saved (`fitting.fit`). `clip` and `vae` may run side by
    side, each in a process of its own."""
    drawing = over("drawing the web domain")
    clip_folder, sd_folder = out / "clip", out / "stable-diffusion"
    history: list[dict] = []
    diffusion_data = None
    for stage in stages:
        record = out / f"history-{stage}.json"
        if not record.exists():
            clip_folder.mkdir(parents=True, exist_ok=True)
            sd_folder.mkdir(parents=True, exist_ok=True)
            if stage == "clip":
                images, captions = web_images(0, recipe.people, drawing)
                second, _ = web_images(0, round(recipe.two_photographs * recipe.people), drawing, photo=1)
                entries = train_clip(clip_folder, recipe, images, second, captions)
            else:
                if diffusion_data is None:
                    diffusion_data = web_images(recipe.people, recipe.diffusion_people, drawing, writer="full")
                images, captions = diffusion_data
                entries = (
                    train_vae(sd_folder, recipe, images)
                    if stage == "vae"
                    else train_unet(sd_folder, recipe, images, captions)
                )
            temporary = record.with_suffix(".part")
            temporary.write_text(json.dumps({"recipe": recipe.of(stage), "history": entries}))
            os.replace(temporary, record)
        history += json.loads(record.read_text())["history"]
    return history
