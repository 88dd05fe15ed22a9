"""Stable Diffusion in one file, with the tensor names of the CompVis code (LDM), in diffusers' classes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .files import load_exactly, read_tensors, some

#: Stable Diffusion 1.5; what is not named is the default of diffusers' classes.
SD15_UNET = {"sample_size": 64, "cross_attention_dim": 768}
SD15_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}

#: The noise schedule as LDM stores it; it follows from `betas`. `scale_factor` is the VAE's.
SCHEDULE_NAMES = frozenset(
    "betas alphas_cumprod alphas_cumprod_prev sqrt_alphas_cumprod sqrt_one_minus_alphas_cumprod "
    "log_one_minus_alphas_cumprod sqrt_recip_alphas_cumprod sqrt_recipm1_alphas_cumprod posterior_variance "
    "posterior_log_variance_clipped "
    "posterior_mean_coef1 posterior_mean_coef2 lvlb_weights logvar scale_factor".split()
)
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_UNUSED = ("cond_stage_model.", "model_ema.")  # the text encoder; the other U-Net


def sd15_schedule():
    """Stable Diffusion's DDPM schedule: scaled_linear betas 0.00085..0.012, 1000 steps, noise prediction."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, steps_offset=1)


def check_schedule(betas: Tensor | None, where) -> None:
    """Raise ValueError if stored `betas` [1000] are not those of `sd15_schedule`."""
    expected = sd15_schedule().betas
    # a plain linear schedule is 1.6e-3 away, half precision 1e-5
    if betas is not None and (betas.shape != expected.shape or not torch.allclose(betas.float(), expected, atol=1e-4)):
        raise ValueError(
            f"The betas in {where} are not Stable Diffusion's (scaled_linear, 0.00085 to 0.012, 1000 steps)."
        )


def unet_names(state: Mapping[str, Tensor], config: Mapping, where) -> dict[str, Tensor]:
    """LDM U-Net tensors under diffusers' names. What hangs on an attention or feed-forward layer (an
    adapter, a bias) goes with it. Raises ValueError naming what has no place."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    renamed = convert_ldm_unet_checkpoint({_UNET + name: tensor for name, tensor in state.items()}, config)
    return _complete(renamed, state, where)


def vae_names(state: Mapping[str, Tensor], config: Mapping, where) -> dict[str, Tensor]:
    """LDM VAE tensors under diffusers' names; 1 x 1 convolutions of the attention become linear."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    renamed = convert_ldm_vae_checkpoint({_VAE + name: tensor for name, tensor in state.items()}, config)
    return _complete(renamed, state, where)


def _complete(renamed: dict, state: Mapping[str, Tensor], where) -> dict[str, Tensor]:
    renamed = {name: tensor for name, tensor in renamed.items() if tensor is not None}
    placed = {tensor.data_ptr() for tensor in renamed.values()}  # diffusers' converter drops what it does not know
    if lost := [name for name, tensor in state.items() if tensor.data_ptr() not in placed]:
        raise ValueError(f"{where} holds tensors that have no place in the model: {some(lost)}.")
    return renamed


def build_unet(state: Mapping[str, Tensor], config: dict, where) -> nn.Module:
    """A UNet2DConditionModel of `config` with the LDM tensors `state`, strictly."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    load_exactly(unet, unet_names(state, unet.config, where), f"{where} (U-Net)", assign=True)
    return unet.eval()


def build_vae(state: Mapping[str, Tensor], config: dict, where) -> nn.Module:
    """An AutoencoderKL of `config` with the LDM tensors `state`, strictly."""
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(**config)
    load_exactly(vae, vae_names(state, vae.config, where), f"{where} (VAE)", assign=True)
    return vae.eval()


def load_single_file(
    path: Path, ema: bool, unet: dict = SD15_UNET, vae: dict = SD15_VAE
) -> tuple[nn.Module, nn.Module, object]:
    """U-Net, VAE and schedule of an LDM checkpoint, .ckpt or .safetensors, without a network.

    `v1-5-pruned` holds two U-Nets: as it was trained, which the official DCAC code takes (`ema` False),
    and the moving average of its weights (`ema` True). `v1-5-pruned-emaonly` holds the second only.

    Raises ValueError naming what is missing, left over or wrong."""
    path = Path(path)
    state = read_tensors(path)
    has_both = any(name.startswith("model_ema.") for name in state)
    if not has_both and ema != ("emaonly" in path.name):
        kind = "the moving average" if ema else "the U-Net as it was trained"
        raise ValueError(
            f"{path} holds one U-Net and, by its name, not {kind}: take v1-5-pruned (both U-Nets) or load with "
            f"ema={not ema}."
        )
    unused = (*_UNUSED, *SCHEDULE_NAMES)
    if lost := [name for name in state if not name.startswith((_UNET, _VAE, *unused))]:
        raise ValueError(f"{path} holds tensors that are no part of Stable Diffusion 1.5: {some(lost)}.")
    check_schedule(state.get("betas"), path)
    denoiser = {name.removeprefix(_UNET): tensor for name, tensor in state.items() if name.startswith(_UNET)}
    if ema and has_both:
        stored = {name: "model_ema." + (_UNET + name).removeprefix("model.").replace(".", "") for name in denoiser}
        if lost := [name for name in stored.values() if name not in state]:
            raise ValueError(f"{path} lacks the moving average {some(lost)}.")
        denoiser = {name: state[average] for name, average in stored.items()}
    autoencoder = {name.removeprefix(_VAE): tensor for name, tensor in state.items() if name.startswith(_VAE)}
    return build_unet(denoiser, unet, path), build_vae(autoencoder, vae, path), sd15_schedule()
