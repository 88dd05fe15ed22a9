"""Batch normalisation over the whole batch, also when several processes share it."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose training statistics are those of the whole batch of all processes, so that
    a run does not depend on how many there are. (torch's SyncBatchNorm works on GPUs only.)

    Inputs [B, d] with the same B in every process."""

    def forward(self, x: Tensor) -> Tensor:
        processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if processes == 1 or not self.training:
            return super().forward(x)
        from torch.distributed.nn.functional import all_gather  # passes gradients back to each process

        whole = super().forward(torch.cat(all_gather(x.contiguous())))
        own = dist.get_rank() * len(x)
        return whole[own : own + len(x)]
