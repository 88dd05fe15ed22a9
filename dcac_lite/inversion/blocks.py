"""What all picture networks of this system are made of: residual blocks, starting weights, swish."""

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """[B, channels, H, W] -> [B, out, H, W]: batch normalisation without scale and shift, two 3 x 3 convolutions with
    a swish between them, and the input added, through a 1 x 1 convolution where the channels differ.

    Running statistics as Keras keeps them: epsilon 1e-3, a hundredth of each batch."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01, affine=False)
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        self.beside = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.beside(x) + self.second(F.silu(self.first(self.norm(x))))


def level(channels: int, out: int, blocks: int) -> nn.ModuleList:
    """The residual blocks of one resolution; the first of them changes the number of channels."""
    return nn.ModuleList(ResidualBlock(channels if k == 0 else out, out) for k in range(blocks))


def start_weights(net: nn.Module) -> None:
    """Start convolutions and linear layers as Keras does, in place: Glorot's uniform weights, biases at 0."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
