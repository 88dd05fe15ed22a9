"""The table of identities: one vector for each training person, learned together with the denoiser."""

import torch
from torch import Tensor, nn

SPREAD = 0.05  # half the width of the uniform distribution that a row starts from, as in Keras
ATTRACTION = 0.5


class IdentityTable(nn.Module):
    """Vectors [rows, dim], from uniform(-0.05, 0.05). PyTorch's own embedding starts 35 times wider, N(0, 1), which the
    attractive loss could not undo; so it is drawn here."""

    def __init__(self, rows: int, dim: int):
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(rows, dim).uniform_(-SPREAD, SPREAD))

    def forward(self, labels: Tensor) -> Tensor:
        """The vectors [B, dim] of the labels, int64 [B]."""
        return self.vectors[labels]


def attraction(vectors: Tensor) -> Tensor:
    """The attractive loss of vectors [B, dim], float [B]: half the mean of their squared coordinates."""
    return ATTRACTION * vectors.square().mean(1)
