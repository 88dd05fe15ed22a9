"""The U-Net's small layers in fewer operations, equal but for rounding, as `lean` does for the encoder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from peft.tuners.lora import Linear as AdaptedLinear
from torch import Tensor, nn

from .device import full_precision
from .lean import Lean, self_attention

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

#: Weights of a small linear layer. With Stable Diffusion's, which are larger, the gradient of W + BA / r
#: would cost as much as the layer itself.
SMALL = 2**16


class FoldedLinear(Lean, AdaptedLinear):
    """h (W + BA / r) in one product instead of hW + (hA)B / r in three."""

    base_layer: nn.Linear
    lora_A: Mapping[str, nn.Linear]
    lora_B: Mapping[str, nn.Linear]

    def folded(self) -> Tensor:
        """W + BA / r [out, in], float32 in a step of any precision, since the adapter is small beside W."""
        (name,) = self.active_adapters
        with full_precision(self.base_layer.weight):
            a, b = self.lora_A[name].weight, self.lora_B[name].weight
            return torch.addmm(self.base_layer.weight, b, a, alpha=self.scaling[name])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.folded(), self.base_layer.bias)


def _weight(layer: nn.Linear | FoldedLinear) -> Tensor:
    return layer.folded() if isinstance(layer, FoldedLinear) else layer.weight


def _is_small(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Linear, FoldedLinear)) and layer.weight.numel() <= SMALL


class OneProduct(Lean, Attention):
    """Self-attention with queries, keys and values from one product. Inputs [B, L, d]."""

    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear
    to_out: nn.ModuleList

    def forward(self, hidden_states: Tensor, *_, **__) -> Tensor:
        layers = self.to_q, self.to_k, self.to_v
        bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
        product = F.linear(hidden_states, torch.cat([_weight(layer) for layer in layers]), bias)
        return self.to_out[0](self_attention(product, self.heads))


class TwoProducts(Lean, GEGLU):
    """a gelu(b) with a and b from products of their own, so that they need not be cut apart and joined."""

    proj: nn.Linear

    def forward(self, hidden_states: Tensor) -> Tensor:
        weights, biases = _weight(self.proj).chunk(2), self.proj.bias.chunk(2)
        a, b = (F.linear(hidden_states, weight, bias) for weight, bias in zip(weights, biases))
        return a * F.gelu(b)


def lean_unet(unet: "UNet2DConditionModel") -> "UNet2DConditionModel":
    """Make the small layers of diffusers' U-Net, adapted or not, lean and return it."""
    for module in unet.modules():
        if type(module) is AdaptedLinear and module.weight.numel() <= SMALL:
            module.__class__ = FoldedLinear
    for module in unet.modules():
        if isinstance(module, BasicTransformerBlock) and _is_small(module.attn1.to_q):
            module.attn1.__class__ = OneProduct
        if type(module) is GEGLU and _is_small(module.proj):
            module.__class__ = TwoProducts
    return unet
