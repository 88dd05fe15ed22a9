"""An encoder that sees a head: a small CNN with a stride of four.

The patches of the lite CLIP are 8 x 8 pixels, and a head is seen in two of them. In people who change clothes most of
what stays is there."""

import torch
from torch import Tensor, nn

from ..encoder import ReIDModel
from ..pretrained.clip import load_clip_visual
from ..tiers import LITE
from ..world.small_networks import Block

CHANNELS = (32, 64, 64)


class FineCNN(nn.Module):
    """Normalised images [B, 3, H, W] -> f [B, d]: maximum and mean of the last map over each stripe of the height.

    Takes the place of the ViT in `encoder.ReIDModel`, whose patch projection `conv1` stands for."""

    def __init__(self, stripes: int = 4, channels: tuple[int, ...] = CHANNELS):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], 5, 2, 2, bias=False)
        self.blocks = nn.Sequential(
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
            Block(channels[0], channels[1], 2),
            *(Block(a, b, 1) for a, b in zip(channels[1:], channels[2:])),
        )
        self.stripes, self.output_dim = stripes, 2 * stripes * channels[-1]
        self.to(memory_format=torch.channels_last)  # two thirds of the time on a CPU

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.conv1(x.contiguous(memory_format=torch.channels_last)))
        x = x.unflatten(2, (self.stripes, -1)).flatten(3)  # [B, C, stripes, pixels]
        return torch.cat([x.amax(-1), x.mean(-1)], 1).flatten(1)


def encoder(name: str, identities: int) -> ReIDModel:
    """A `ReIDModel` to be trained: "cnn" with a `FineCNN` from random weights, "clip" with the lite CLIP's image
    encoder."""
    if name == "clip":
        return ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), identities)
    model = ReIDModel(FineCNN(), identities)  # type: ignore[arg-type]
    model.visual.conv1.requires_grad_(True)  # a random projection is not worth keeping
    return model
