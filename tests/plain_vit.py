"""The image tower written out, and what comparisons of gradients need; the step is in `benchmarks.plain_method`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def learnable_parts(name: str, *tensors: Tensor) -> dict[str, tuple[Tensor, ...]]:
    """Corresponding tensors of a parameter (gradients, say), cut to what has a true gradient: a softmax does
    not see the biases of the keys, BatchNorm not ln_post's. What is found in those is rounding."""
    if name.endswith("ln_post.bias"):
        return {}
    if not name.endswith("attn.in_proj_bias"):
        return {name: tensors}
    query, _, value = zip(*(t.chunk(3) for t in tensors))
    return {f"{name} (query)": query, f"{name} (value)": value}


def plain_vit(visual: nn.Module, x: Tensor) -> Tensor:
    """f = ViT(image): patches, class token, positions, ln_pre, blocks, ln_post on all tokens, projection,
    class token."""
    w = dict(visual.named_parameters())
    width, heads = len(w["class_embedding"]), visual.transformer.resblocks[0].attn.num_heads

    def norm(h, name):
        return F.layer_norm(h, h.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    patches = F.conv2d(x, w["conv1.weight"], stride=w["conv1.weight"].shape[-1]).flatten(2).transpose(1, 2)
    h = torch.cat([w["class_embedding"].expand(len(x), 1, -1), patches], 1) + w["positional_embedding"]
    h = norm(h, "ln_pre")
    for k in range(len(visual.transformer.resblocks)):
        block = f"transformer.resblocks.{k}"
        a = norm(h, f"{block}.ln_1") @ w[f"{block}.attn.in_proj_weight"].t() + w[f"{block}.attn.in_proj_bias"]
        q, k_, v = (t.unflatten(-1, (heads, width // heads)).transpose(1, 2) for t in a.chunk(3, -1))
        a = ((q @ k_.transpose(-1, -2) / math.sqrt(width // heads)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = h + a @ w[f"{block}.attn.out_proj.weight"].t() + w[f"{block}.attn.out_proj.bias"]
        m = norm(h, f"{block}.ln_2") @ w[f"{block}.mlp.c_fc.weight"].t() + w[f"{block}.mlp.c_fc.bias"]
        m = m * torch.sigmoid(1.702 * m)
        h = h + m @ w[f"{block}.mlp.c_proj.weight"].t() + w[f"{block}.mlp.c_proj.bias"]
    return (norm(h, "ln_post") @ w["proj"])[:, 0]


def awaken(reid: nn.Module, unet: nn.Module) -> None:
    """Give adapters, classifier and neck values as after some training:
    at their initial ones nothing depends on them."""
    for name, p in unet.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.05)
    nn.init.normal_(reid.classifier.weight, std=0.3)
    nn.init.normal_(reid.neck.weight, 1.0, 0.2)
