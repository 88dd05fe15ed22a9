"""Batch normalisation over the whole batch, also when several processes share it."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Gather(torch.autograd.Function):
    """The rows of all processes, [B, d] -> [processes * B, d]; gradients come back to their owners."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        shares = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(shares, x.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose training statistics are those of the whole batch of all processes, so that
    a run does not depend on how many there are. (torch's SyncBatchNorm works on GPUs only.)

    Inputs [B, d] with the same B in every process."""

    def forward(self, x: Tensor) -> Tensor:
        processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if processes == 1 or not self.training:
            return super().forward(x)
        return super().forward(_Gather.apply(x)).chunk(processes)[dist.get_rank()]
