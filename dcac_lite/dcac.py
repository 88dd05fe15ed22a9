"""The DCAC training step (Fig. 2, Sec. 4.4, Eq. 13)."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .device import full_precision
from .diffusion import denoising_loss
from .encoder import ReIDModel, id_loss
from .memory import PrototypeMemory

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class DCAC(nn.Module):
    """Re-ID model, prototype memory, condition and U-Net, joined in one loss.

    With `condition` None this is the baseline (Eq. 8): no diffusion model is held or run. reduction: that of
    `diffusion.denoising_loss`."""

    def __init__(
        self,
        reid: ReIDModel,
        memory: PrototypeMemory,
        condition: nn.Module | None = None,
        unet: "UNet2DConditionModel | None" = None,
        scheduler=None,
        lambda_: float = 1.0,
        reduction: str = "mean",
    ):
        super().__init__()
        self.reid, self.memory, self.condition, self.unet = reid, memory, condition, unet
        self.scheduler, self.lambda_, self.reduction = scheduler, lambda_, reduction

    def forward(
        self,
        x: Tensor,
        labels: Tensor,
        latents: Tensor | None = None,
        noise: Tensor | None = None,
        timesteps: Tensor | None = None,
        measure: float | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One forward pass. x: augmented images [B, 3, H, W]; labels int64 [B]; latents F_0 of the
        un-augmented images and noise [B, 4, h, w]; timesteps int64 [B]. measure: the `scale` at which to take
        `gradient_norms` as well, which is a backward pass more; None takes none.

        Returns the losses, scalars named `id`, `pcl`, `dif` (not for the baseline) and `total`, with
        `measure` also `gradient_reid` and `gradient_dif` (not for the baseline), and z [B, d] after the neck,
        which the memory wants after the backward pass."""
        z, logits = self.reid(x)
        with full_precision(z):
            losses = {"id": id_loss(logits, labels), "pcl": self.memory.loss(F.normalize(z), labels)}
        total = losses["id"] + losses["pcl"]  # L_ReID, Eq. 8
        if self.condition is not None:
            losses["dif"] = self.teaching_loss(z, logits, labels, latents, noise, timesteps)
            total = total + self.lambda_ * losses["dif"]  # L_total, Eq. 13
        losses["total"] = total
        if measure is not None and self.condition is not None:
            # here, since a wrapper may hand on a copy of z that no gradient reaches
            with full_precision(z):
                norms = gradient_norms(losses, z, measure)
            losses |= {f"gradient_{name}": torch.tensor(norm, device=z.device) for name, norm in norms.items()}
        return losses, z

    def teaching_loss(
        self, z: Tensor, logits: Tensor, labels: Tensor, latents: Tensor | None, noise: Tensor | None,
        timesteps: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """L_dif (Eq. 11) under the condition that the Re-ID model makes (Eq. 12), a scalar; z [B, d] and logits [B, N]
        of the encoder, the rest as for `forward`. What the arms of `teaching` replace."""
        with full_precision(z):
            c = as_tokens(self.condition(logits, z, labels))  # pyright: ignore[reportOptionalCall]
        return self.denoising(c, latents, noise, timesteps)

    def denoising(self, c: Tensor, latents: Tensor | None, noise: Tensor | None, timesteps: Tensor | None) -> Tensor:
        """The error of the U-Net under a condition c [B, L, D], see `diffusion.denoising_loss`."""
        assert self.unet is not None and latents is not None and noise is not None and timesteps is not None
        return denoising_loss(self.unet, self.scheduler, latents, noise, timesteps, c, self.reduction)

    @property
    def tokens(self) -> int:
        """Tokens L of the condition: 1 for all schemes of the paper."""
        return getattr(self.condition, "tokens", 1)


def as_tokens(c: Tensor) -> Tensor:
    """A condition as the U-Net's context [B, L, D]: that of a paper's scheme, [B, D], is one token."""
    return c[:, None] if c.dim() == 2 else c


def gradient_norms(losses: dict[str, Tensor], z: Tensor, scale: float = 1.0) -> dict[str, float]:
    """Frobenius norms of the gradients that reach the encoder's output z: `reid` of L_ReID and `dif`
    of L_dif, without lambda. What a scheme sends back is `dif`; what it means to the encoder is
    lambda * dif / reid, the ratio that a choice of lambda should be quoted with. Call before `backward`.
    scale: a gradient scaler's, without which the U-Net's gradients vanish in float16."""

    def norm(loss: Tensor) -> float:
        (gradient,) = torch.autograd.grad(loss * scale, z, retain_graph=True, allow_unused=True)
        return 0.0 if gradient is None else float(gradient.norm()) / scale

    return {"reid": norm(losses["id"] + losses["pcl"]), "dif": norm(losses["dif"])}
