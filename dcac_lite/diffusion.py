"""The diffusion model (Sec. 3 and 4.2): latents, forward process, and the denoising loss.

U-Net, VAE and noise schedule are diffusers' own. What is ours: the posterior moments of the VAE
are constants of the data set (the diffusion branch sees un-augmented images), so they are computed
once and only sampled in each step.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import to_tensor

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def to_diffusion_input(images: Tensor, size: int) -> Tensor:
    """uint8 images [B, 3, H, W] -> float [B, 3, size, size] in [-1, 1], bicubic and un-augmented
    (Sec. 4.2: "resized to match the input size of the diffusion model")."""
    x = images.float() / 127.5 - 1
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


@torch.no_grad()
def vae_moments(vae: "AutoencoderKL", images: Tensor, size: int, batch: int = 128, progress: Callable = iter) -> Tensor:
    """Posterior mean and log-variance of every image, float32 [N, 2 * channels, h, w].

    `images` uint8 [N, 3, H, W]; `progress` wraps the batch iterator (for example `tqdm`)."""
    device = next(vae.parameters()).device
    done = []
    for start in progress(range(0, len(images), batch)):
        x = to_diffusion_input(to_tensor(images[start : start + batch]).to(device), size)
        posterior = vae.encode(x, return_dict=False)[0]
        done.append(posterior.parameters.float().cpu())
    return torch.cat(done)


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


def use_one_token_attention(unet: "UNet2DConditionModel") -> "UNet2DConditionModel":
    """Let the cross-attention layers (`attn2`) of a U-Net skip what one token makes superfluous."""
    from diffusers.models.attention_processor import Attention, AttnProcessor

    for name, module in unet.named_modules():
        if isinstance(module, Attention) and name.endswith("attn2"):
            module.set_processor(cast(AttnProcessor, OneTokenAttention(module.processor)))
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
