"""Training the lite inpainting model: the lite Stable Diffusion's U-Net with five more input channels.

As Stable Diffusion Inpainting was made from Stable Diffusion: conv_in takes the noisy latent (4 channels), the mask (1)
and the latent of the picture with a hole (4); the new weights start at zero. The text encoder is trained along, as in
the recipe of the lite weights: what it knows of lower garments and shoes it knows from captions that name them now and
then."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...diffusion import add_noise, predict_noise, sample_latents
from ...lean import plain
from ...lean_unet import lean_unet
from ...lite_weights.fitting import fit
from ...paths import LITE_WEIGHTS
from ...pretrained.captions import load_text_encoder
from ...pretrained.stable_diffusion import load_stable_diffusion
from ...progress import over
from ..descriptions import Description
from .material import Material, make_material
from .recipe import Recipe

CHANNELS = 9  # noisy latent, mask, latent of the picture with a hole


def widened(unet: nn.Module) -> nn.Module:
    """A U-Net of 4 input channels as one of `CHANNELS` that computes the same and does not look at the others yet."""
    from diffusers import UNet2DConditionModel

    wide = UNet2DConditionModel.from_config(dict(unet.config) | {"in_channels": CHANNELS})
    state = dict(unet.state_dict())
    weight = state["conv_in.weight"]
    state["conv_in.weight"] = torch.zeros(len(weight), CHANNELS, *weight.shape[2:])
    state["conv_in.weight"][:, : weight.shape[1]] = weight
    wide.load_state_dict(state)
    return wide


def gappy(descriptions: list[Description], recipe: Recipe, generator: torch.Generator) -> list[str]:
    """Prompts of descriptions, some empty and some with parts left out."""
    empty = torch.rand(len(descriptions), generator=generator) < recipe.empty
    silent = torch.rand(len(descriptions), 3, generator=generator) < recipe.silent
    kept = ([p for p, gone in zip(d, row) if not gone] for d, row in zip(descriptions, silent.tolist()))
    return ["" if nothing else " ".join(filter(None, parts)) for parts, nothing in zip(kept, empty.tolist())]


def train(recipe: Recipe, folder: Path, material: Material | None = None) -> tuple[nn.ModuleDict, list[dict]]:
    """The "unet" and "text_encoder", trained, and the history of `lite_weights.fitting.fit`. What is made on the way is
    kept in `folder`; a call that finds it there goes on from it. The loss is Eq. 3 over all cells of the latent."""
    source = LITE_WEIGHTS / "stable-diffusion"
    sd, text = load_stable_diffusion(source, 32), load_text_encoder(source)
    folder.mkdir(parents=True, exist_ok=True)
    if material is None:
        material = make_material(recipe, sd.vae, folder / "material.safetensors", over("encoding pictures"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        unet = lean_unet(widened(sd.unet)).train()
    module = nn.ModuleDict({"unet": unet, "text_encoder": text.model.requires_grad_(True).train()})
    scale, tokenizer = sd.vae.config.scaling_factor, text.tokenizer

    def loss_of_step(generator: torch.Generator, step: int) -> Tensor:
        size = (recipe.batch,)
        rows = torch.randint(len(material.moments), size, generator=generator)
        which = (torch.rand(size, generator=generator) >= recipe.true_masks).long()
        prompts = gappy([material.descriptions[r] for r in rows.tolist()], recipe, generator)
        tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        moments = material.moments[rows].float()
        latents = sample_latents(moments, scale, torch.randn(moments[:, :4].shape, generator=generator))
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(1000, size, generator=generator)
        noisy = add_noise(sd.scheduler, latents, noise, timesteps)
        seen = torch.cat([noisy, material.masks[rows, which].float(), scale * material.known[rows, which].float()], 1)
        context = module["text_encoder"](tokens).last_hidden_state
        return F.mse_loss(predict_noise(module["unet"], seen, timesteps, context), noise)

    partial = folder / "partial.pt"
    history = fit(module, recipe.steps, recipe.lr, recipe.warm_up, loss_of_step, "inpainting", partial)
    plain(unet)
    return module.eval().requires_grad_(False), history
