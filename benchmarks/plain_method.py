"""The method once more, as the published code writes it: what the tests compare the package with, and what the
benchmark times it against.

Of the package it takes parameters and settings, no formula: the layers are open_clip's, diffusers' and peft's own, the
rest is written out here. As there, the neck is applied twice, cross-attention is computed in full, every parameter
is an optimizer group of its own, and several places wait for the device.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcac_lite import Experiment
from dcac_lite.dcac import DCAC
from dcac_lite.lean import plain


def plain_schedule(device: torch.device) -> tuple[Tensor, Tensor]:
    """Betas of the forward process and the products of 1 - beta, [1000] each."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, device=device) ** 2
    return betas, torch.cumprod(1 - betas, 0)


def plain_neck(neck: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """The published neck, applied twice a step with torch's momentum of 0.1, in the state of the package's `neck`."""
    bn = nn.BatchNorm1d(neck.num_features).to(neck.weight.device)
    bn.load_state_dict(neck.state_dict())
    bn.bias = neck.bias  # does not learn
    return bn


def plain_losses(
    tower: Callable, neck: nn.Module, classifier: Tensor, prompts: Tensor, memory: Tensor, unet: nn.Module,
    x: Tensor, labels: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor,
    tau_c: float, tau: float, lambda_: float,
) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """The losses of a correlation-aware step under the names of `DCAC.forward`, and the feature of unit length [B, d].

    tower: images x [B, 3, H, W] -> f [B, d]. classifier [N, d], prompts [N, D], memory [N, d]; latents F_0 and noise
    [B, C, h, w]; labels and timesteps int64 [B]."""
    betas, abar = plain_schedule(x.device)
    f = tower(x)
    logits = neck(f) @ classifier.t()
    z = neck(f)  # a second time, so the running statistics move twice
    feature = z / z.norm(dim=1, keepdim=True)
    one_hot = torch.zeros(logits.shape).scatter_(1, labels.cpu()[:, None], 1).to(x.device)
    smooth = 0.9 * one_hot + 0.1 / logits.shape[1]
    losses = {"id": (-smooth * F.log_softmax(logits, dim=1)).mean(0).sum()}
    losses["pcl"] = F.cross_entropy(feature @ memory.clone().t() / tau, labels)
    condition = torch.softmax(logits / tau_c, 1) @ prompts
    kept = abar[timesteps].view(-1, 1, 1, 1)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    predicted = unet(noisy, timesteps, encoder_hidden_states=condition[:, None]).sample
    losses["dif"] = F.mse_loss(predicted, noise, reduction="none").mean([1, 2, 3]).mean()
    # the variational bound, which is computed and counts nothing
    bound = F.mse_loss(predicted, noise, reduction="none").mean([1, 2, 3])
    unused = (betas.cpu()[timesteps.cpu()].to(x.device) * bound).mean()
    losses["total"] = losses["id"] + losses["pcl"] + lambda_ * losses["dif"] + 0.0 * unused
    return losses, feature


@torch.no_grad()
def update_memory(memory: Tensor, features: Tensor, labels: Tensor, gamma: float) -> None:
    """Eq. 7 in place, sample by sample, each similarity read back to the host."""
    members: dict[int, list[Tensor]] = defaultdict(list)
    for feature, label in zip(features, labels.tolist()):
        members[label].append(feature.float())
    for label, own in members.items():
        similarities = [(feature @ memory[label]).cpu().numpy() for feature in own]
        row = gamma * memory[label] + (1 - gamma) * own[int(np.argmin(np.array(similarities)))]
        memory[label] = row / row.norm()


@torch.no_grad()
def plain_prototypes(tower: Callable, neck: nn.BatchNorm1d, images: Tensor, labels: Tensor) -> Tensor:
    """Memory [N, d] at the start of an epoch. images: uint8, un-augmented, in any order; the features are
    those of the test, with running statistics."""
    f = tower((images.float() / 255 - 0.5) / 0.5)
    z = (f - neck.running_mean) / (neck.running_var + 1e-5).sqrt() * neck.weight
    z = z / z.norm(dim=1, keepdim=True)
    means = torch.stack([z[labels == y].mean(0) for y in range(int(labels.max()) + 1)])
    return means / means.norm(dim=1, keepdim=True)


class PlainTraining:
    """A `DCAC` of a resolved experiment (correlation-aware, LoRA) in the library's own layers, trained by the formulas
    above, torch's Adam and coupled L2; float32 on a CPU, fp16 with a loss scaler on a GPU if `half`.

    dcac: a model of its own, since it is changed and trained here. tower: how f comes of images, if not by its image
    tower. `learning` holds what learns by its name in the package."""

    def __init__(self, dcac: DCAC, experiment: Experiment, tower: Callable | None = None, half: bool = False):
        from diffusers.models.attention_processor import AttnProcessor

        self.dcac, self.experiment, self.half = plain(dcac).train(), experiment, half
        self.dcac.unet.set_attn_processor(AttnProcessor())  # cross-attention in full
        self.neck = self.dcac.reid.neck = plain_neck(self.dcac.reid.neck)
        self.tower, self.memory = tower or self.dcac.reid.visual, self.dcac.memory.prototypes
        own = ("reid.classifier.weight", "reid.neck.weight", "condition.prompts")
        self.learning = {
            name: p
            for name, p in self.dcac.named_parameters()
            if name in own
            or (name.startswith("reid.visual.") and name != "reid.visual.conv1.weight")
            or (name.startswith("unet.") and "lora_" in name)
        }
        options = {"lr": experiment.lr, "weight_decay": experiment.weight_decay}
        self.optimizer = torch.optim.Adam([{"params": [p], **options} for p in self.learning.values()])
        self.scaler = torch.amp.GradScaler(self.memory.device.type, enabled=half)

    def start_epoch(self, lr: float, images: Tensor, labels: Tensor) -> None:
        """The epoch's learning rate, and prototypes of all training images."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.memory.copy_(plain_prototypes(self.tower, self.neck, images, labels))

    def step(self, x: Tensor, labels: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor) -> dict[str, float]:
        """Forward, backward, optimizer and memory; the losses as numbers."""
        e = self.experiment
        weights = self.dcac.reid.classifier.weight, self.dcac.condition.prompts
        self.optimizer.zero_grad()
        with torch.autocast(x.device.type, torch.float16) if self.half else nullcontext():
            losses, feature = plain_losses(
                self.tower, self.neck, *weights, self.memory, self.dcac.unet,
                x, labels, latents, noise, timesteps, e.tau_c, e.tau, e.lambda_,
            )  # fmt: skip
        self.scaler.scale(losses["total"]).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        update_memory(self.memory, feature.detach(), labels, e.gamma)
        return {name: loss.item() for name, loss in losses.items()}
