"""The diffusion model (Sec. 3 and 4.2): latents, forward process, and the denoising loss.

U-Net, VAE and noise schedule are diffusers' own. What is ours: the posterior moments of the VAE
are constants of the data set (the diffusion branch sees un-augmented images), so they are computed
once and only sampled in each step.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import to_tensor
from .paths import weights_root
from .pretrained.files import check_sizes, load_exactly, read_json, read_tensors
from .pretrained.hub import hub_folder
from .pretrained.single_file import check_schedule, load_single_file

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

    unet: torch.nn.Module
    vae: torch.nn.Module
    scheduler: object
    image_size: int

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent: the VAE halves the image at each level but the first."""
        side = self.image_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.vae.config.latent_channels, side, side


#: What is fetched from the hub, and at which revision unless the caller names one.
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
REVISIONS = {SD15: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"}
#: Single-file checkpoints that may lie in the weights folder instead of a diffusers folder.
SINGLE_FILES = {SD15: ("v1-5-pruned.safetensors", "v1-5-pruned.ckpt")}


def load_stable_diffusion(
    source: str | Path, image_size: int, revision: str | None = None, ema: bool = True
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
        path = _locate(str(source), revision or REVISIONS.get(str(source)), ema)
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


def to_diffusion_input(images: Tensor, size: int) -> Tensor:
    """uint8 images [B, 3, H, W] -> float [B, 3, size, size] in [-1, 1], bicubic and un-augmented
    (Sec. 4.2: "resized to match the input size of the diffusion model")."""
    x = images.float() / 127.5 - 1
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


@torch.no_grad()
def vae_moments(vae: torch.nn.Module, images: Tensor, size: int, batch: int = 128, progress: Callable = iter) -> Tensor:
    """Posterior mean and log-variance of every image, float32 [N, 2 * channels, h, w].

    `images` uint8 [N, 3, H, W]; `progress` wraps the batch iterator (for example `tqdm`)."""
    device = next(vae.parameters()).device
    parts = []
    for start in progress(range(0, len(images), batch)):
        x = to_diffusion_input(to_tensor(images[start : start + batch]).to(device), size)
        parts.append(vae.encode(x).latent_dist.parameters.float().cpu())
    return torch.cat(parts)


def sample_latents(moments: Tensor, scaling_factor: float, noise: Tensor) -> Tensor:
    """F_0 = (mean + std * noise) * scaling_factor: a fresh posterior sample, never the mode.

    moments [B, 2C, h, w] and noise [B, C, h, w] -> [B, C, h, w]."""
    mean, logvar = moments.chunk(2, dim=1)
    return (mean + torch.exp(0.5 * logvar.clamp(-30, 20)) * noise) * scaling_factor


def add_noise(scheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Eq. 4 and 10: F_t = sqrt(abar_t) F_0 + sqrt(1 - abar_t) eps. Shapes of `latents`;
    timesteps int64 [B] in 0..T-1."""
    return scheduler.add_noise(latents, noise, timesteps)


def predict_noise(unet: torch.nn.Module, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
    """eps_theta(F_t, c). `context` [B, L, d]: L prompt tokens; a DCAC condition is L = 1."""
    return unet(noisy, timesteps, encoder_hidden_states=context).sample


class OneTokenAttention:
    """Cross-attention on a single key, an attention processor for diffusers.

    A softmax over one key is 1, so the output is to_out(to_v(c)) at every position, and queries and
    keys need not be computed. Equal to the full computation up to rounding; on several tokens it is
    the full computation."""

    def __init__(self, full):
        self.full = full

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        if encoder_hidden_states is None or encoder_hidden_states.shape[1] != 1:
            return self.full(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        value = attn.to_out[0](attn.to_v(encoder_hidden_states))  # [B, 1, d]
        return value.expand(-1, hidden_states.shape[1], -1)


def use_one_token_attention(unet: torch.nn.Module) -> torch.nn.Module:
    """Let the cross-attention layers (`attn2`) of a U-Net skip what one token makes superfluous."""
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            module.set_processor(OneTokenAttention(module.processor))
    return unet


def idle_parameters(unet: torch.nn.Module) -> list[str]:
    """Names of the U-Net's parameters that one context token leaves without any effect: queries, keys
    and the norm before them, adapters included."""
    idle = re.compile(r"\.attn2\.to_[qk]\.|\.transformer_blocks\.\d+\.norm2\.")
    return [name for name, _ in unet.named_parameters() if idle.search(name)]


def denoising_loss(
    unet: torch.nn.Module,
    scheduler,
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    context: Tensor,
    reduction: str = "mean",
) -> Tensor:
    """L_dif (Eq. 3 and 11), the error (eps - eps_theta(F_t, c))^2, a scalar. reduction: "mean" over all
    elements, as the official code computes it; "squared norm" is the sum over a latent's elements, mean over
    the batch, as the equations say. The paper's lambda = 1 belongs to the mean."""
    if reduction not in ("mean", "squared norm"):
        raise ValueError(f"reduction is {reduction!r}; expected 'mean' or 'squared norm'.")
    noisy = add_noise(scheduler, latents, noise, timesteps)
    error = F.mse_loss(predict_noise(unet, noisy, timesteps, context).float(), noise.float())
    return error * noise[0].numel() if reduction == "squared norm" else error
