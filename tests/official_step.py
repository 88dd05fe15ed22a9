"""The official code's training step in plain torch: its formulas once more, to check the package's against."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcac_lite.lean import plain


def learnable_parts(name: str, *tensors: Tensor) -> dict[str, tuple[Tensor, ...]]:
    """Corresponding tensors of a parameter (gradients, say), cut to what has a true gradient: a softmax does
    not see the biases of the keys, BatchNorm not ln_post's. What is found in those is rounding."""
    if name.endswith("ln_post.bias"):
        return {}
    if not name.endswith("attn.in_proj_bias"):
        return {name: tensors}
    query, _, value = zip(*(t.chunk(3) for t in tensors))
    return {f"{name} (query)": query, f"{name} (value)": value}


def official_vit(visual: nn.Module, x: Tensor) -> Tensor:
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


def official_step(
    visual, fc, bn, prompts, memory, unet, x, labels, latents, noise, timesteps, tau_c, tau, gamma=0.2, lambda_=1.0
) -> dict[str, Tensor]:
    """Section by section what the published code computes; returns losses and updates bn and memory."""
    f = official_vit(visual, x)
    logits = bn(f) @ fc.t()
    z = bn(f)  # a second time, so the running statistics move twice
    feature = z / z.norm(dim=1, keepdim=True)
    condition = torch.softmax(logits / tau_c, 1) @ prompts
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, device=x.device) ** 2
    abar = torch.cumprod(1 - beta, 0)[timesteps].view(-1, 1, 1, 1)
    predicted = unet(abar.sqrt() * latents + (1 - abar).sqrt() * noise, timesteps, condition[:, None]).sample
    dif = ((predicted - noise) ** 2).mean()
    smooth = torch.full_like(logits, 0.1 / len(fc)).scatter(1, labels[:, None], 0.9 + 0.1 / len(fc))
    ce = -(smooth * logits.log_softmax(1)).sum(1).mean()
    pcl = F.cross_entropy(feature @ memory.clone().t() / tau, labels)
    with torch.no_grad():
        for y in set(labels.tolist()):
            own = feature[labels == y]
            hardest = own[(own @ memory[y]).argmin()]
            row = gamma * memory[y] + (1 - gamma) * hardest
            memory[y] = row / row.norm()
    return {"id": ce, "pcl": pcl, "dif": dif, "total": lambda_ * dif + ce + pcl}


@torch.no_grad()
def official_prototypes(visual, bn: nn.BatchNorm1d, images: Tensor, labels: Tensor) -> Tensor:
    """Memory [N, d] at the start of an epoch. images: uint8, un-augmented, in any order; the features are
    those of the test, with running statistics."""
    f = official_vit(visual, (images.float() / 255 - 0.5) / 0.5)
    z = (f - bn.running_mean) / (bn.running_var + 1e-5).sqrt() * bn.weight
    z = z / z.norm(dim=1, keepdim=True)
    means = torch.stack([z[labels == y].mean(0) for y in range(int(labels.max()) + 1)])
    return means / means.norm(dim=1, keepdim=True)


def official_neck(neck: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """The official neck, applied twice a step with torch's momentum of 0.1, in the state of the package's `neck`."""
    bn = nn.BatchNorm1d(neck.num_features).to(neck.weight.device)
    bn.load_state_dict(neck.state_dict())
    bn.bias.requires_grad_(False)
    return bn


def awaken(reid: nn.Module, unet: nn.Module) -> None:
    """Give adapters, classifier and neck values as after some training:
    at their initial ones nothing depends on them."""
    for name, p in unet.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.05)
    nn.init.normal_(reid.classifier.weight, std=0.3)
    nn.init.normal_(reid.neck.weight, 1.0, 0.2)


class OfficialTraining:
    """A copy of a `DCAC` (correlation-aware, LoRA), trained by the formulas above and torch's Adam with coupled
    L2 1e-4 on every tensor that learns. `learning` has them by their names in the package."""

    def __init__(self, dcac: nn.Module, tau_c: float, tau: float, lambda_: float):
        from diffusers.models.attention_processor import AttnProcessor

        own = plain(copy.deepcopy(dcac))
        own.unet.set_attn_processor(AttnProcessor())  # cross-attention in full
        self.visual, self.fc, self.bn = own.reid.visual, own.reid.classifier.weight, official_neck(own.reid.neck)
        self.unet, self.prompts, self.memory = own.unet, own.condition.prompts, own.memory.prototypes
        self.options = {"tau_c": tau_c, "tau": tau, "lambda_": lambda_}
        self.learning = {f"reid.visual.{n}": p for n, p in self.visual.named_parameters() if n != "conv1.weight"}
        self.learning |= {
            "reid.classifier.weight": self.fc,
            "reid.neck.weight": self.bn.weight,
            "condition.prompts": self.prompts,
        }
        self.learning |= {f"unet.{n}": p for n, p in self.unet.named_parameters() if "lora_" in n}
        self.adam = torch.optim.Adam(self.learning.values(), weight_decay=1e-4)

    def start_epoch(self, lr: float, images: Tensor, labels: Tensor) -> None:
        self.adam.param_groups[0]["lr"] = lr
        self.memory = official_prototypes(self.visual, self.bn, images, labels)

    def step(self, *inputs: Tensor) -> dict[str, Tensor]:
        losses = official_step(
            self.visual, self.fc, self.bn, self.prompts, self.memory, self.unet, *inputs, **self.options
        )
        self.adam.zero_grad()
        losses["total"].backward()
        self.adam.step()
        return losses
