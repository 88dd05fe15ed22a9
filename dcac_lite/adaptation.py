"""Adapting the U-Net (Sec. 4.2, Eq. 9; Table 5): which of its parameters learn."""

import re
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

#: The layers whose adapters add up to the 89.01 M trainable parameters of Table 6: the four attention
#: projections and the *first* linear layer of each feed-forward network (the text says "the linear
#: transformation matrices"; with the second one the count would be 89.50 M).
LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj"]

# "Output blocks" includes the time embedding and the output layer; only then is the count 599.37 M.
_OUTPUT = ("up_blocks", "time_embedding", "conv_norm_out", "conv_out")
_PARTS: dict[str, tuple[str, ...]] = {
    "frozen": (),
    "output-blocks": _OUTPUT,
    "middle-output-blocks": (*_OUTPUT, "mid_block"),
    "full": ("",),
    "scratch": ("",),
}
#: What `add_stray_biases` adds, by its name in a model, adapted or not.
STRAY_BIAS = re.compile(r".+\.attn[12]\.to_[qkv](\.base_layer)?\.bias")
#: The rows of Table 5, in its order.
MODES = ("frozen", "lora", "output-blocks", "middle-output-blocks", "full", "scratch")


def adapt(
    unet: "UNet2DConditionModel", mode: str, rank: int = 8, second_feed_forward: bool = False
) -> "UNet2DConditionModel":
    """Make `unet` learn in one of the MODES of Table 5 and return it.

    `lora` adds peft adapters h' = hW + (1/r) hAB (Eq. 9: alpha = 1) with B = 0, so the adapted U-Net
    starts exactly equal to the pre-trained one; `rank` is used by this mode only, as is `second_feed_forward`, which
    adapts the second linear layer of each feed-forward network too. `scratch` returns a newly
    initialised U-Net (draws from torch's global generator); the VAE stays pre-trained."""
    if mode == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        if rank < 1:
            raise ValueError(f"LoRA rank is {rank}; it must be at least 1.")
        targets = [*LORA_TARGETS, "ff.net.2"] if second_feed_forward else LORA_TARGETS
        linear = [(name, layer) for name, layer in unet.named_modules() if isinstance(layer, nn.Linear)]
        adapted = [layer for name, layer in linear if name.endswith(tuple(targets))]
        if rank > (widest := max(min(layer.weight.shape) for layer in adapted)):
            raise ValueError(f"LoRA rank is {rank}; more than the {widest} of the widest adapted layer cannot matter.")
        config = LoraConfig(r=rank, lora_alpha=1, target_modules=targets, bias="none")
        inject_adapter_in_model(config, unet.requires_grad_(False))
        return unet
    if mode not in _PARTS:
        raise ValueError(f"{mode!r} is no adaptation mode: choose one of {', '.join(MODES)}.")
    if mode == "scratch":
        unet = cast("UNet2DConditionModel", type(unet).from_config(unet.config))
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(name.startswith(_PARTS[mode]))
    return unet


def add_stray_biases(unet: "UNet2DConditionModel") -> "UNet2DConditionModel":
    """Give the attention projections to_q, to_k and to_v, which have none in Stable Diffusion, a random
    bias that does not learn: U(-1/sqrt(in), 1/sqrt(in)) from torch's global generator. The official
    code does this by accident wherever it puts an adapter, so its U-Net does not start at the
    pre-trained one. Call before `adapt`."""
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(("to_q", "to_k", "to_v")) and module.bias is None:
            bound = module.in_features**-0.5
            bias = torch.empty(module.out_features, device=module.weight.device).uniform_(-bound, bound)
            module.bias = nn.Parameter(bias, requires_grad=False)
    return unet
