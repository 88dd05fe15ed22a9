"""Makes small checkpoints with the tensor names of the official code, of loralib and of the LDM code.

The names are written down here once more, from diffusers' to LDM's, so that the package's way from
LDM's to diffusers' is checked against something else than itself."""

import re

import torch
from torch import nn

UNET = {"sample_size": 8, "block_out_channels": [32, 32, 64, 64], "attention_head_dim": 4, "cross_attention_dim": 16}
VAE = {
    "block_out_channels": [32, 32, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
ADAPTED = re.compile(r".+\.(attn[12]\.to_[qkv]|attn[12]\.to_out\.0|ff\.net\.0\.proj)$")
STRAY = re.compile(r".+\.attn[12]\.to_[qkv]$")


def unet_to_ldm(name: str) -> str:
    """A diffusers U-Net tensor's name in the LDM code (four levels, two residual blocks each)."""
    for ours, theirs in (
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    ):
        if name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    for ours, theirs in (
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("time_emb_proj", "emb_layers.1"),
        ("conv_shortcut", "skip_connection"),
    ):
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    name = re.sub(r"^mid_block\.resnets\.(\d+)", lambda m: f"middle_block.{2 * int(m[1])}", name)
    name = re.sub(r"^mid_block\.attentions\.0", "middle_block.1", name)
    name = re.sub(
        r"^down_blocks\.(\d+)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op", name
    )
    name = re.sub(
        r"^up_blocks\.(\d+)\.upsamplers\.0",
        lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{1 if m[1] == '0' else 2}",
        name,
    )
    for kind, place in (("resnets", 0), ("attentions", 1)):
        name = re.sub(
            rf"^down_blocks\.(\d+)\.{kind}\.(\d+)",
            lambda m: f"input_blocks.{3 * int(m[1]) + int(m[2]) + 1}.{place}",
            name,
        )
        name = re.sub(
            rf"^up_blocks\.(\d+)\.{kind}\.(\d+)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.{place}", name
        )
    return name


def vae_to_ldm(name: str) -> str:
    """A diffusers VAE tensor's name in the LDM code (four levels)."""
    for ours, theirs in (
        ("conv_shortcut", "nin_shortcut"),
        ("conv_norm_out", "norm_out"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
    ):
        name = name.replace(f"{ours}.", f"{theirs}.")
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)


def vae_tensors(vae: nn.Module) -> dict:
    """LDM's tensors of a VAE: its attention is made of 1 x 1 convolutions."""
    state = {vae_to_ldm(name): tensor for name, tensor in vae.state_dict().items()}
    return {n: t[:, :, None, None] if ".attn_1." in n and t.dim() == 2 else t for n, t in state.items()}


def small_parts():
    """A visual tower, a U-Net and a VAE with random weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(5)
    visual = VisionTransformer((64, 32), 16, 64, 2, 1, 4.0, output_dim=24, act_layer=QuickGELU)
    return visual.eval(), UNet2DConditionModel(**UNET).eval(), AutoencoderKL(**VAE).eval()


def betas() -> torch.Tensor:
    return torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square().float()


def official_state(visual, unet, vae, identities: int = 6, rank: int = 3, zero: bool = False) -> dict:
    """A checkpoint of the official trainer: `model.state_dict()` with LoRA. `zero`: lora_B is 0."""
    torch.manual_seed(6)
    state = {f"encoder.image_encoder.{name}": tensor for name, tensor in visual.state_dict().items()}
    width = visual.output_dim
    state |= {
        "encoder.fc.weight": torch.randn(identities, width),
        "encoder.bnneck.weight": torch.rand(width) + 0.5,
        "encoder.bnneck.bias": torch.zeros(width),
        "encoder.bnneck.running_mean": torch.randn(width),
        "encoder.bnneck.running_var": torch.rand(width) + 0.5,
        "encoder.bnneck.num_batches_tracked": torch.tensor(7),
    }
    state["denoiser.betas"], state["denoiser.alphas_cumprod"] = betas(), (1 - betas()).cumprod(0)
    for name, tensor in unet.state_dict().items():
        theirs = "denoiser.model." + unet_to_ldm(name)
        state[theirs] = tensor
        layer = name.removesuffix(".weight")
        if name.endswith(".weight") and ADAPTED.match(layer):
            layer_there = theirs.removesuffix(".weight")
            state[f"{layer_there}.lora_A"] = torch.randn(rank, tensor.shape[1])
            state[f"{layer_there}.lora_B"] = torch.randn(tensor.shape[0], rank) * (0 if zero else 0.3)
            if STRAY.match(layer):
                state[f"{layer_there}.bias"] = (torch.rand(tensor.shape[0]) * 2 - 1) * tensor.shape[1] ** -0.5
    state["denoiser.model.prompt_emb.prompt_emb"] = torch.randn(identities, UNET["cross_attention_dim"])
    return state | {f"denoiser.autoencoder.{name}": tensor for name, tensor in vae_tensors(vae).items()}
