"""Conditioning schemes (Sec. 4.3, Eq. 12; Tables 7 and 10): from the Re-ID model to the U-Net.

A scheme turns logits [B, N], the feature z [B, d] (after the neck) and labels [B] into the
condition c [B, D], the single context token of the U-Net."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .global_batch import GlobalBatchNorm1d


class CorrelationAware(nn.Module):
    """The paper's scheme (Eq. 12): c = sum_j p_j e_j with p = softmax(z W^T / tau_c). The prompts
    E_id [N, D] are learnable and start from N(0, 1)."""

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__()
        self.tau_c = tau_c
        self.prompts = nn.Parameter(torch.randn(identities, dim))

    def probabilities(self, logits: Tensor) -> Tensor:
        """p [B, N] of Eq. 12."""
        return F.softmax(logits / self.tau_c, dim=1)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.probabilities(logits) @ self.prompts


class ClassWise(CorrelationAware):
    """Table 7, as the text says: keep the probability of the true identity, zero the others, so
    c = p_y e_y."""

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        p_y = self.probabilities(logits).gather(1, labels[:, None])  # [B, 1]
        return p_y * self.prompts[labels]


class ClassWiseRescaled(ClassWise):
    """Table 7, as the official code computes it: p_y e_y divided by p_y, so c = e_y and no gradient
    reaches the Re-ID model."""

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.prompts[labels]


class InstanceWise(nn.Module):
    """Table 7: the feature itself is the condition. As in the official code the L2-normalised feature
    passes a learnable projection P [d, D] from N(0, 1) to reach the U-Net's width."""

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__()
        self.projection = nn.Parameter(torch.randn(width, dim))

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return F.normalize(z) @ self.projection


class Intricate(CorrelationAware):
    """Table 10: the correlation-aware condition through one more module."""

    make: Callable[[int], nn.Module]

    def __init__(self, identities: int, width: int, dim: int, tau_c: float):
        super().__init__(identities, width, dim, tau_c)
        self.after = self.make(dim)

    def forward(self, logits: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        return self.after(super().forward(logits, z, labels))


class NonLinearity(Intricate):
    """Table 10, "+ Non-linearity": SiLU(c)."""

    make = staticmethod(lambda dim: nn.SiLU())


class BatchNorm(Intricate):
    """Table 10, "+ BatchNorm": BN(c)."""

    make = staticmethod(GlobalBatchNorm1d)


class ConditionNet(Intricate):
    """Table 10, "+ ConditionNet": BN, SiLU, Linear D -> D/8, BN, SiLU, Linear D/8 -> D. The linear
    layers have no bias and start from N(0, 1)."""

    @staticmethod
    def make(dim: int) -> nn.Module:
        narrow, wide = nn.Linear(dim, dim // 8, bias=False), nn.Linear(dim // 8, dim, bias=False)
        for layer in (narrow, wide):
            nn.init.normal_(layer.weight)
        return nn.Sequential(GlobalBatchNorm1d(dim), nn.SiLU(), narrow, GlobalBatchNorm1d(dim // 8), nn.SiLU(), wide)


#: Name in an experiment -> class. One of your own, `SCHEMES["mine"] = Mine`, can be trained as the others are, by the
#: process that it was added in; a run's key then holds the code of the class, though not of what it calls elsewhere.
SCHEMES: dict[str, type[nn.Module]] = {
    "correlation-aware": CorrelationAware,
    "class-wise": ClassWise,
    "class-wise-rescaled": ClassWiseRescaled,
    "instance-wise": InstanceWise,
    "non-linearity": NonLinearity,
    "batch-norm": BatchNorm,
    "condition-net": ConditionNet,
}


def make_condition(scheme: str, identities: int, width: int, dim: int, tau_c: float) -> nn.Module:
    """The module of a scheme. identities N, width d of z, dim D of the U-Net's context."""
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme!r} is no conditioning scheme: choose one of {', '.join(SCHEMES)}.")
    if not tau_c > 0:
        raise ValueError(f"tau_c is {tau_c}; a temperature must be above 0.")
    return SCHEMES[scheme](identities, width, dim, tau_c)
