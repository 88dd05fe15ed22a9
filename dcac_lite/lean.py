"""The encoder's layers in fewer operations, equal but for rounding; parameters and their names stay as they
are. At the lite size a step is a thousand small operations, most of which cost more than their arithmetic."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

_QUICK = 1.702  # of QuickGELU


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of [B, heads, L, d]. On a CPU torch's own backward pass takes up to ten times
    as long in bfloat16 as in float32, so there it is written out."""
    if q.device.type != "cpu" or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v)
    flat = [t.flatten(0, 1) for t in (q, k, v)]  # [B * heads, L, d]
    scores = torch.baddbmm(q.new_empty(1, 1, 1), flat[0], flat[1].mT, beta=0, alpha=q.shape[-1] ** -0.5)
    return (scores.softmax(-1, dtype=q.dtype) @ flat[2]).unflatten(0, q.shape[:2])


def self_attention(product: Tensor, heads: int) -> Tensor:
    """Attention from queries, keys and values side by side, [B, L, 3 d] -> [B, L, d]."""
    q, k, v = product.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return attention(q, k, v).transpose(1, 2).flatten(2)


class Lean:
    """A module that computes what its other base class does."""


def plain(model: nn.Module) -> nn.Module:
    """Let every layer of `model` compute again as in the library that it is from."""
    for module in model.modules():
        if isinstance(module, Lean):
            module.__class__ = type(module).__bases__[1]
    return model


class SelfAttention(Lean, nn.MultiheadAttention):
    """Without the copies that serve attention between two sequences. Inputs [B, L, d]."""

    def forward(self, x: Tensor, *_, **__) -> tuple[Tensor, None]:
        product = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return self.out_proj(self_attention(product, self.num_heads)), None


class QuickMLP(Lean, nn.Sequential):
    """x sigmoid(1.702 x) = SiLU(1.702 x) / 1.702; in training both factors go into the weights around it."""

    c_fc: nn.Linear
    c_proj: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:  # for a few images the factors would cost more than they save
            return super().forward(x)
        wide, narrow = self.c_fc, self.c_proj
        h = F.silu(F.linear(x, _QUICK * wide.weight, _QUICK * wide.bias))
        return F.linear(h, narrow.weight / _QUICK, narrow.bias)


def lean_visual(visual: "VisionTransformer") -> "VisionTransformer":
    """Make open_clip's VisionTransformer lean and return it."""
    from open_clip.transformer import QuickGELU, ResidualAttentionBlock

    for block in visual.modules():
        if isinstance(block, ResidualAttentionBlock):
            block.attn.__class__ = SelfAttention
            if isinstance(block.mlp.gelu, QuickGELU):
                block.mlp.__class__ = QuickMLP
    return visual
