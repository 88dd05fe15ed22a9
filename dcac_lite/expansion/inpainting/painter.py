"""Painting clothes in a picture (DLCR, Eq. 4): K copies of one picture, by K prompts, inside its mask only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...inversion.training import seeded
from ..masks import pasted
from .material import as_input, with_hole
from .pipeline import load_pipeline


@dataclass(frozen=True)
class Settings:
    """size: (height, width) that pictures are brought to for painting. steps: of DDIM, eta 0. guidance: the scale s of
    classifier-free guidance, eps = eps(empty) + s (eps(prompt) - eps(empty)); 1 for none, in half the time. strength:
    share of the steps that are done, from as much noise; 1 starts from noise alone, less from the picture itself."""

    size: tuple[int, int]
    steps: int
    guidance: float
    strength: float = 1.0


#: Training pictures, and queries, which are cheaper in DLCR. Lite: chosen on 20 training pictures of CV from 5 and 8
#: steps and scales from 1 to 5. Eight steps bring nothing; from 1 to 3 the colours follow the words (upper garment 50,
#: 76 and 81 %), and at 5 they hardly do more, but PSNR falls from 15.0 to 14.3.
LITE = {"train": Settings((64, 32), 5, 3.0), "query": Settings((64, 32), 5, 3.0)}
FULL = {"train": Settings((768, 256), 50, 7.5), "query": Settings((384, 128), 10, 7.5)}


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture at `size` (height, width), bicubic; one of that size as it is."""
    there = (size[1], size[0])
    return picture if picture.size == there else picture.resize(there, Image.Resampling.BICUBIC)


class Painter:
    """Paints with one model and one seed. source: see `pipeline.load_pipeline`.

    A copy depends on the seed, the picture, its name, its mask, the prompt and its number, and on nothing that is
    painted before or beside it: a picture's copies are always a batch of their own, and each has noise of its own."""

    def __init__(self, settings: Settings, source: str | Path | None = None, seed: int = 0):
        self.settings, self.source, self.seed = settings, source, seed
        self._embedded: dict[str, Tensor] = {}

    @cached_property
    def pipe(self):
        """The pipeline, loaded when it is first needed."""
        return load_pipeline(self.source)

    @cached_property
    def _device(self) -> torch.device:  # the pipeline looks through all of its modules whenever it is asked
        return self.pipe.device

    @torch.no_grad()
    def _context(self, prompts: Sequence[str]) -> Tensor:
        """States of the prompts' tokens [K, L, D], each prompt computed once and alone."""
        for prompt in set(prompts) - set(self._embedded):
            self._embedded[prompt] = self.pipe.encode_prompt(prompt, self._device, 1, False)[0]
        return torch.cat([self._embedded[prompt] for prompt in prompts])

    @torch.no_grad()
    def _start(self, x: Tensor, name: str, count: int) -> Tensor:
        """Where sampling starts, [K, 4, h, w]: noise, below strength 1 added to the picture x [1, 3, H, W]."""
        pipe, scale = self.pipe, self.pipe.vae.config.scaling_factor
        shape = (1, pipe.vae.config.latent_channels, *(side // pipe.vae_scale_factor for side in self.settings.size))
        draws = [torch.randn(shape, generator=seeded("paint", self.seed, name, k)) for k in range(count)]
        noise = torch.cat(draws).to(x)
        if self.settings.strength == 1:
            return noise
        pipe.scheduler.set_timesteps(self.settings.steps)
        timesteps, _ = pipe.get_timesteps(self.settings.steps, self.settings.strength, self._device)
        latents = pipe.vae.encode(x).latent_dist.mean * scale
        return pipe.scheduler.add_noise(latents.expand_as(noise), noise, timesteps[:1])

    def __call__(self, picture: np.ndarray, mask: np.ndarray, prompts: Sequence[str], name: str) -> np.ndarray:
        """Copies of a picture, uint8 [K, H, W, 3], one a prompt, with the picture's own pixels outside of the mask.

        picture: uint8 [H, W, 3]; mask: bool [H, W], True where is painted; name: of the picture, says which noise.
        Raises ValueError for a mask of another size or an empty one, and for no prompt."""
        if mask.shape != picture.shape[:2]:
            sizes = (" x ".join(map(str, shape)) for shape in (mask.shape, picture.shape[:2]))
            raise ValueError("The mask of {} is {}; expected {}, the picture's size.".format(name, *sizes))
        if not mask.any():
            raise ValueError(f"The mask of {name} is empty, so there is nothing to paint; leave the picture out.")
        if not prompts:
            raise ValueError(f"There is no description for {name}; expected one for each copy.")
        size, pipe = self.settings.size, self.pipe
        small = np.array(_resized(Image.fromarray(picture), size))
        # as the published code does, whatever the enlarged mask touches is painted
        hole = np.asarray(_resized(Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)), size)) > 0
        x = as_input(small[None]).to(self._device, pipe.vae.dtype)
        where = torch.from_numpy(hole)[None, None].to(self._device)
        with torch.no_grad():
            known = pipe.vae.encode(with_hole(x, where)).latent_dist.mean * pipe.vae.config.scaling_factor
        count = len(prompts)
        painted = pipe(
            prompt_embeds=self._context(prompts), negative_prompt_embeds=self._context([""] * count),
            image=(x / 2 + 0.5).expand(count, -1, -1, -1), mask_image=where.float(), masked_image_latents=known,
            latents=self._start(x, name, count), height=size[0], width=size[1], strength=self.settings.strength,
            num_inference_steps=self.settings.steps, guidance_scale=self.settings.guidance, output_type="np",
        ).images  # fmt: skip
        values = (255 * np.clip(painted, 0, 1)).round().astype(np.uint8)
        back = [np.asarray(_resized(Image.fromarray(copy), mask.shape)) for copy in values]
        return np.stack([pasted(picture, copy, mask) for copy in back])
