"""The prototypical memory bank and its contrastive loss (Sec. 4.1, Eq. 6 and 7)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PrototypeMemory(nn.Module):
    """M [N, d]: one L2-normalised prototype per identity.

    Eq. 6 and 7 write z; as in the official code it is the L2-normalised feature after the neck, and
    every updated row is normalised again."""

    prototypes: Tensor

    def __init__(self, identities: int, width: int, tau: float, gamma: float = 0.2):
        super().__init__()
        self.tau, self.gamma = tau, gamma
        self.register_buffer("prototypes", torch.zeros(identities, width))

    @torch.no_grad()
    def reset(self, features: Tensor, labels: Tensor) -> None:
        """Start of an epoch: M[y] becomes the normalised centroid of identity y's features [M, d]."""
        sums = torch.zeros_like(self.prototypes).index_add_(0, labels, features)
        if (torch.bincount(labels, minlength=len(sums)) == 0).any():
            raise ValueError("Every identity needs at least one image to have a prototype.")
        self.prototypes.copy_(F.normalize(sums))

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """L_pcl (Eq. 6): cross-entropy of z M^T / tau. z [B, d] L2-normalised, labels int64 [B]."""
        # a copy, because `update` changes the prototypes before autograd is done with them
        return F.cross_entropy(z @ self.prototypes.clone().t() / self.tau, labels)

    @torch.no_grad()
    def update(self, z: Tensor, labels: Tensor) -> None:
        """Eq. 7, once per identity of the batch: M[y] <- gamma M[y] + (1 - gamma) z_hard, where z_hard
        is the feature least similar to its own prototype (the first of equals). No host synchronisation."""
        similarity = (z * self.prototypes[labels]).sum(1)  # [B]
        lowest = torch.full_like(self.prototypes[:, 0], torch.inf).scatter_reduce(0, labels, similarity, "amin")
        rows = torch.arange(len(z), device=z.device)
        absent = len(z)
        candidate = torch.where(similarity == lowest[labels], rows, absent)
        hardest = torch.full_like(lowest, absent, dtype=torch.int64).scatter_reduce(0, labels, candidate, "amin")  # [N]
        z_hard = z[hardest.clamp(max=absent - 1)]  # [N, d]; rows of absent identities are not used
        moved = F.normalize(self.gamma * self.prototypes + (1 - self.gamma) * z_hard)
        self.prototypes.copy_(torch.where((hardest < absent)[:, None], moved, self.prototypes))
