"""Stages two and three: a small Stable Diffusion, an autoencoder and then a U-Net with its text encoder.

It sees other and more pictures than the small CLIP, and full captions, and its text encoder is its own: the knowledge
gap between the two (`make.Recipe`)."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusion import denoising_loss, sample_latents, to_diffusion_input, vae_moments
from ..lean import plain
from ..lean_unet import lean_unet
from .clip import CONTEXT_LENGTH, TEXT_WIDTH, make_tokenizer
from .fitting import fit

IMAGE_SIZE = 32  # the side of the diffusion model's square images


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def train_vae(folder: Path, recipe, images: Tensor) -> list[dict]:
    """AutoencoderKL, 32 x 32 x 3 to 8 x 8 x 4. Squared error of pixels and of the differences between neighbours,
    so that stripes and prints count although they are small, and a little KL. Latents are scaled to unit variance."""
    from diffusers import AutoencoderKL

    torch.manual_seed(recipe.seed + 1)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64), layers_per_block=1, latent_channels=4, norm_num_groups=8,
        sample_size=IMAGE_SIZE,
    )  # fmt: skip

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        rows = torch.randint(len(images), (recipe.vae_batch,), generator=generator)
        x = to_diffusion_input(images[rows], IMAGE_SIZE)
        flip = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 times faster on this size, at equal loss
            posterior = vae.encode(x).latent_dist
            output = vae.decode(posterior.sample(generator)).sample
        output = output.float()
        edges = sum(F.mse_loss(a, b) for a, b in zip(_edges(output), _edges(x)))
        return F.mse_loss(output, x) + edges + 1e-5 * posterior.kl().mean() / x[0].numel()

    partial = folder / "partial-vae.pt"
    history = fit(vae, recipe.vae_steps, 2e-3, 150, loss_of_step, "vae", partial, weight_decay=0.0)
    mean, _ = vae_moments(vae.eval(), images[:2000], IMAGE_SIZE).chunk(2, dim=1)
    vae.register_to_config(scaling_factor=float(1 / mean.std()))
    vae.save_pretrained(folder / "vae")
    partial.unlink()
    return history


def make_text_encoder():
    """The untrained text encoder of the small Stable Diffusion, a transformers `CLIPTextModel`, and its tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = make_tokenizer()
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, projection_dim=TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CONTEXT_LENGTH, hidden_act="quick_gelu",
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    ))  # fmt: skip
    return model, tokenizer


def train_unet(folder: Path, recipe, images: Tensor, captions: list[str]) -> list[dict]:
    """UNet2DConditionModel on 8 x 8 latents with cross-attention on the caption's tokens, and the text encoder that
    reads them, trained together as the first latent diffusion models were; one caption in ten is left empty so that
    classifier-free guidance works. Completes a diffusers pipeline folder."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    moments = torch.stack([vae_moments(vae, images, IMAGE_SIZE), vae_moments(vae, images.flip(-1), IMAGE_SIZE)])
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    torch.manual_seed(recipe.seed + 2)
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 4, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=4,
    )  # fmt: skip
    lean_unet(unet)
    text_encoder, tokenizer = make_text_encoder()
    tokens = tokenizer([*captions, ""], padding="max_length", truncation=True, return_tensors="pt").input_ids

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        size = (recipe.unet_batch,)
        rows = torch.randint(len(images), size, generator=generator)
        flip = torch.randint(2, size, generator=generator)
        chosen = moments[flip, rows]
        empty = torch.rand(size, generator=generator) < 0.1
        with torch.autocast("cpu", torch.bfloat16):
            prompt = text_encoder(tokens[torch.where(empty, len(tokens) - 1, rows)]).last_hidden_state
        latents = sample_latents(
            chosen, vae.config.scaling_factor, torch.randn(chosen[:, :4].shape, generator=generator)
        )
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(1000, size, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            return denoising_loss(unet, scheduler, latents, noise, timesteps, prompt)

    partial = folder / "partial-unet.pt"
    module = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
    history = fit(module, recipe.unet_steps, 1.5e-3, 400, loss_of_step, "unet", partial)
    plain(unet).save_pretrained(folder / "unet")
    text_encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    partial.unlink()
    return history
