"""A teacher that knows nothing: the same U-Net before any training, at the same places."""

from typing import TYPE_CHECKING, cast

import torch

from ..experiment import Resolved
from .arm import Arm
from .captions import readable
from .words import predicted_captions

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def untrained(unet: "UNet2DConditionModel", experiment: Resolved) -> "UNet2DConditionModel":
    """A U-Net of the same sizes with new weights, always the same ones for a seed. Other draws are not disturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        return cast("UNet2DConditionModel", type(unet).from_config(unet.config)).eval()


ARMS = {"random-unet": Arm(unet=untrained), "captions-random-unet": Arm(readable(predicted_captions), unet=untrained)}
