"""What an arm is: the parts of DCAC that it replaces."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..conditioning import CorrelationAware
from ..dcac import DCAC
from ..encoder import ReIDModel

#: (resolved experiment, Re-ID model, dim D of the U-Net's context, state of a finished run or None) -> the condition.
#: What an arm makes from the training pictures is in that state, so that a finished run needs neither them nor CLIP.
Maker = Callable[..., nn.Module]


def of_scheme(kind: type[nn.Module]) -> Maker:
    """The maker of a class such as those of `conditioning.SCHEMES`."""

    def make(experiment, reid: ReIDModel, dim: int, kept) -> nn.Module:
        return kind(reid.classifier.out_features, reid.classifier.in_features, dim, experiment.tau_c)

    return make


@dataclass(frozen=True)
class Arm:
    """condition: makes the module whose `forward(logits, z, labels)` is the condition, [B, D] or [B, L, D], or, where
    `dcac` says so, a loss. dcac: the class of the training step. unet: (U-Net, experiment) -> the U-Net that is adapted
    instead of the pre-trained one. diffusion: whether there is a diffusion model at all. lambda_: the weight that an
    experiment takes if it names none; None is the tier's. material: experiment -> text of what the arm reads besides
    pictures and weights, part of a run's key."""

    condition: Maker = of_scheme(CorrelationAware)
    dcac: type[DCAC] = DCAC
    unet: Callable | None = None
    diffusion: bool = True
    lambda_: float | None = None
    material: Callable[..., str] | None = None
