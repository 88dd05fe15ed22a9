"""The right condition against others under the same noise: what only the picture's own words explain, without the
variance that all conditions share (after DCR, which contrasts noisy latents under all conditions of a batch)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dcac import DCAC, as_tokens
from ..device import full_precision
from ..diffusion import add_noise, predict_noise
from .arm import Arm
from .captions import readable
from .words import predicted_captions


class Contrast(DCAC):
    """Cross-entropy of a picture's own condition among `others` + 1: those of other pictures at equal steps through
    the batch, all under the picture's own noise and timestep. A condition's score is minus its relative error over
    `sharpness`: scores of one picture are -error / (sharpness * mean error). Takes as many passes of the U-Net."""

    others = 4
    sharpness = 0.02

    def teaching_loss(self, z, logits, labels, latents, noise, timesteps) -> Tensor:
        with full_precision(z):
            c = as_tokens(self.condition(logits, z, labels))
        noisy = add_noise(self.scheduler, latents, noise, timesteps)
        shifts = [len(c) * k // (self.others + 1) for k in range(self.others + 1)]
        guesses = [predict_noise(self.unet, noisy, timesteps, c.roll(shift, 0)) for shift in shifts]
        with full_precision(z):
            errors = torch.stack([(g.float() - noise.float()).square().flatten(1).mean(1) for g in guesses], dim=1)
            scores = -errors / (self.sharpness * errors.detach().mean(1, keepdim=True))
            return F.cross_entropy(scores, torch.zeros_like(labels))  # its own is the first


ARMS = {
    "contrast": Arm(dcac=Contrast, lambda_=0.1),
    "captions-contrast": Arm(readable(predicted_captions), Contrast, lambda_=0.1),
}
