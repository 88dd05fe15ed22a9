"""Softness without a teacher: is DCAC a confidence penalty, and what would true dark knowledge be worth?"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..dcac import DCAC
from ..encoder import ReIDModel, id_loss
from ..experiment import Resolved
from .arm import Arm, of_scheme
from .placebo import Redirected


def sum_of_squares(z: Tensor, classifier: Tensor, tau_c: float) -> Tensor:
    """Gradient at z [B, d] of each picture's sum_j p_j^2 with p = softmax(z W^T / tau_c), [B, d]: against it p gets
    vaguer. classifier: W [N, d]."""
    p = F.softmax(z.detach() @ classifier.detach().t() / tau_c, dim=1)
    weight = p.square()
    return 2 / tau_c * (weight - p * weight.sum(1, keepdim=True)) @ classifier.detach()


class Vaguer(Redirected):
    """The gradient of sum_j p_j^2, as long for every picture as DCAC's would be."""

    def direction(self, z: Tensor, noise: Tensor) -> Tensor:
        return sum_of_squares(z, self.reid.classifier.weight, self.condition.tau_c)


class WithoutUNet(DCAC):
    """A teaching loss of logits and labels; the condition computes it, and there is no diffusion model."""

    def teaching_loss(self, z, logits, labels, latents, noise, timesteps) -> Tensor:
        return self.condition(logits, z, labels)


class LabelSmoothing(nn.Module):
    """What smoothing by 0.3 adds to the ID loss, which smooths by 0.1: at lambda 1 the sum is smoothed by 0.3, at
    lambda a by 0.1 + 0.2 a."""

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__()

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return id_loss(logits, labels, smoothing=0.3) - id_loss(logits, labels)


class ConfidencePenalty(LabelSmoothing):
    """Minus the mean entropy of softmax(logits), in nats (Pereyra et al. 2017)."""

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        return (log_p.exp() * log_p).sum(1).mean()


class SoftLooks(nn.Module):
    """What labels softened by 0.3 along true looks add to the ID loss: the share 0.3 of every label goes to other
    identities by `softened` [N, N], whose rows sum to 1 and are 0 on the diagonal. An oracle: a ceiling, no method."""

    softened: Tensor

    def __init__(self, softened: Tensor):
        super().__init__()
        self.register_buffer("softened", softened)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        along_looks = -(self.softened[labels] * F.log_softmax(logits, dim=1)).sum(1).mean()
        return 0.7 * F.cross_entropy(logits, labels) + 0.3 * along_looks - id_loss(logits, labels)


def soft_looks(experiment: Resolved, reid: ReIDModel, dim: int, kept: Mapping[str, Tensor] | None) -> SoftLooks:
    """`SoftLooks` of an experiment's sources, which must be embedded domains."""
    if kept is not None:
        return SoftLooks(kept["condition.softened"])
    from ..world.truth import look_similarity
    from .words import people_of

    looks = torch.from_numpy(look_similarity(people_of(experiment))).float()
    alike = (looks - looks.mean()) / looks.std()
    # a temperature of half a standard deviation: the few that look most alike share most of it
    return SoftLooks(F.softmax((2 * alike).fill_diagonal_(-torch.inf), dim=1))


ARMS = {
    "sum-p-squared": Arm(dcac=Vaguer),
    "label-smoothing": Arm(of_scheme(LabelSmoothing), WithoutUNet, diffusion=False, lambda_=1.0),
    "confidence-penalty": Arm(of_scheme(ConfidencePenalty), WithoutUNet, diffusion=False, lambda_=0.1),
    "soft-looks": Arm(soft_looks, WithoutUNet, diffusion=False, lambda_=1.0),
}
