"""The inpainting model as diffusers' own pipeline: the lite weights of the package, or Stable Diffusion Inpainting."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...device import compute_device
from ...paths import LITE_WEIGHTS
from ...pretrained.captions import load_text_encoder
from ...pretrained.files import load_exactly, read_tensors, write_json, write_tensors
from ...pretrained.stable_diffusion import load_stable_diffusion
from .training import CHANNELS, widened

if TYPE_CHECKING:
    from diffusers import StableDiffusionInpaintPipeline

#: U-Net and text encoder in half precision; the VAE and the tokenizer are those of the lite Stable Diffusion.
SHIPPED = Path(__file__).parents[1] / "weights" / "inpainting.safetensors"


def ship(module: nn.Module, history: list[dict], facts: dict, file: Path = SHIPPED) -> None:
    """Write what `training.train` returns in half precision as `file`, and beside it the recipe and the history."""
    half = {name: x.half() if x.is_floating_point() else x for name, x in module.state_dict().items()}
    write_tensors(half, file)
    write_json(facts | {"history": history}, file.with_suffix(".json"))


def load_pipeline(source: str | Path | None = None) -> "StableDiffusionInpaintPipeline":
    """The pipeline on the computing device, in half precision on a GPU. source: a folder in diffusers' format or a hub
    id, as `load_stable_diffusion` finds them, or a safetensors file of `ship`; None for the weights of the package. The
    sampler is DDIM on the weights' own schedule; the lite model, which takes few steps, starts at the last timestep.

    Raises FileNotFoundError where there are no weights, and ValueError for a U-Net that cannot inpaint and as
    `load_stable_diffusion` and `load_text_encoder` do."""
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline

    path = Path(SHIPPED if source is None else source)
    lite = path.suffix == ".safetensors"
    if lite and not path.is_file():
        raise FileNotFoundError(f"There are no inpainting weights {path}; `python -m dcac_lite clothes pretrain`.")
    parts = LITE_WEIGHTS / "stable-diffusion" if lite else path if path.exists() else str(source)
    sd, text = load_stable_diffusion(parts, 32 if lite else 512), load_text_encoder(parts)
    if lite:
        sd.unet = widened(sd.unet)
        load_exactly(nn.ModuleDict({"unet": sd.unet, "text_encoder": text.model}), read_tensors(path), path)
    if sd.unet.config.in_channels != CHANNELS:
        raise ValueError(
            f"The U-Net in {source} takes {sd.unet.config.in_channels} channels; an inpainting one takes {CHANNELS}: "
            "the noisy latent, the mask, and the latent of the picture with a hole."
        )
    pipe = StableDiffusionInpaintPipeline(
        sd.vae, text.model, text.tokenizer, sd.unet.eval().requires_grad_(False),
        DDIMScheduler.from_config(sd.scheduler.config, **({"timestep_spacing": "trailing"} if lite else {})),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    device = compute_device()
    return pipe.to(device, torch.float16) if device.type == "cuda" else pipe.to(device)
