"""Stable Diffusion as it is published: U-Net, VAE and noise schedule from a folder, a file or the hub."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..paths import weights_root
from .files import check_sizes, load_exactly, read_json, read_tensors
from .hub import hub_folder
from .single_file import check_schedule, load_single_file

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

#: Of a U-Net or VAE in diffusers' configurations.
_SIZES = (
    "in_channels", "out_channels", "latent_channels", "block_out_channels", "layers_per_block", "norm_num_groups",
    "transformer_layers_per_block", "reverse_transformer_layers_per_block", "cross_attention_dim", "attention_head_dim",
    "conv_in_kernel", "conv_out_kernel", "time_embedding_dim", "time_cond_proj_dim", "num_class_embeds",
    "encoder_hid_dim",
)  # fmt: skip


@dataclass
class StableDiffusion:
    """The parts of a pre-trained Stable Diffusion that DCAC uses. `image_size` is the side of the
    square image the VAE encodes (paper: 128; lite: 32)."""

    unet: "UNet2DConditionModel"
    vae: "AutoencoderKL"
    scheduler: "DDPMScheduler"
    image_size: int

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent: the VAE halves the image at each level but the first."""
        side = self.image_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.vae.config.latent_channels, side, side


SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
#: Single-file checkpoints that may lie in the weights folder instead of a diffusers folder.
SINGLE_FILES = {SD15: ("v1-5-pruned.safetensors", "v1-5-pruned.ckpt")}


def load_stable_diffusion(
    source: str | os.PathLike, image_size: int, revision: str | None = None, ema: bool = True
) -> StableDiffusion:
    """VAE, U-Net and DDPM schedule in float32. The VAE is frozen for good; the U-Net is left to
    `adaptation.adapt`. The schedule's betas are SD's `scaled_linear`, which the official code calls "linear".

    source: a diffusers folder, a single-file checkpoint (.safetensors or .ckpt, see
    `single_file.load_single_file`), or a hub id, which is looked for in the weights folder (a folder
    called as the repository, or `v1-5-pruned.ckpt`), in the hub's cache, and on the hub at `revision`.
    ema: Stable Diffusion 1.5 is published with two U-Nets. diffusers loads the moving average of the
    weights (True); the official DCAC code takes the weights as they were trained (False), which a
    diffusers folder holds as the variant `non_ema`. The lite weights have one U-Net only.

    Raises FileNotFoundError when the weights are neither here nor reachable, and ValueError, naming
    them, when tensors are missing, left over, of the wrong shape or not finite, or when the schedule or
    the VAE's scale cannot be Stable Diffusion's."""
    path = Path(source)
    if not path.exists():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) or path.suffix in (".ckpt", ".safetensors"):
            raise FileNotFoundError(
                f"{source} does not exist; expected a diffusers folder, a checkpoint file or a hub id OWNER/NAME."
            )
        path = _locate(str(source), revision, ema)
    unet, vae, scheduler = load_single_file(path, ema) if path.is_file() else _load_folder(path, ema)
    if scheduler.config.prediction_type != "epsilon":
        kind = scheduler.config.prediction_type
        raise ValueError(
            f"{path} predicts {kind!r}; DCAC's loss (Eq. 11) needs a model that predicts noise, 'epsilon'."
        )
    scale = vae.config.scaling_factor
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
        raise ValueError(
            f"The VAE's scaling_factor in {path} is {scale!r}; expected a number above 0, such as 0.18215."
        )
    return StableDiffusion(unet, vae.requires_grad_(False).eval(), scheduler, image_size)


def _weights_name(ema: bool) -> str:
    return f"diffusion_pytorch_model{'' if ema else '.non_ema'}.safetensors"


def _locate(repo: str, revision: str | None, ema: bool) -> Path:
    for name in SINGLE_FILES.get(repo, ()):
        if (weights_root() / name).is_file() and not (weights_root() / repo.rpartition("/")[2]).is_dir():
            return weights_root() / name
    files = ["unet/config.json", f"unet/{_weights_name(ema)}", "vae/config.json", f"vae/{_weights_name(True)}"]
    return hub_folder(repo, [*files, "scheduler/scheduler_config.json"], revision)


def _load_folder(folder: Path, ema: bool) -> tuple[torch.nn.Module, torch.nn.Module, object]:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    described = folder / "scheduler" / "scheduler_config.json"
    read_json(described)
    vae = _load_part(AutoencoderKL, folder / "vae", ema=True)
    unet = _load_part(UNet2DConditionModel, folder / "unet", ema)
    try:
        scheduler = DDPMScheduler.from_pretrained(described.parent)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{described} describes no noise schedule ({error}).") from error
    check_schedule(scheduler.betas, described)
    return unet, vae, scheduler


def _load_part(kind: type, folder: Path, ema: bool) -> torch.nn.Module:
    """One model of a diffusers folder, strictly: diffusers itself fills what is missing with random numbers."""
    file, described = folder / _weights_name(ema), folder / "config.json"
    config = read_json(described)
    check_sizes(config, _SIZES, described)
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; {'fetch it' if ema else 'fetch it, or load with ema=True'}.")
    try:
        with torch.device("meta"):
            model = kind.from_config(config)
    except (TypeError, ValueError, AttributeError, IndexError) as error:  # lists of two lengths, a number for a word
        raise ValueError(f"{described} describes no {kind.__name__} ({type(error).__name__}: {error}).") from error
    state = read_tensors(file)
    model._fix_state_dict_keys_on_load(state)  # older files name the VAE's attention layers otherwise
    load_exactly(model, state, file, assign=True)
    return model.eval()
