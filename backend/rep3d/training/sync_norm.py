"""Batch norm over the crops of all ranks, as one process would compute it.

Without it, every rank would normalise by its own few crops: another network for every number of ranks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rep3d.training.ranks import sum_over_ranks


class SharedBatchNorm(nn.BatchNorm3d):
    """`nn.BatchNorm3d` whose training statistics are those of all ranks; every rank has equally many voxels.

    torch's own SyncBatchNorm does not run on CPUs. The mean is shared first and then the mean square of what differs
    from it, so that nothing cancels.
    """

    alone = False  # for a look at single crops, which other ranks have no part in

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        if not self.training or self.alone:
            return super().forward(x_BCDHW)
        world = torch.distributed.get_world_size()
        x = x_BCDHW.to(torch.promote_types(x_BCDHW.dtype, torch.float32))
        mean_C = sum_over_ranks(x.mean((0, 2, 3, 4))) / world
        centred = x - mean_C.view(1, -1, 1, 1, 1)
        variance_C = sum_over_ranks(centred.square().mean((0, 2, 3, 4))) / world
        if self.track_running_stats:
            self._follow(mean_C, variance_C, world * x.numel() // x.shape[1])
        scale_C = torch.rsqrt(variance_C + self.eps)
        shift_C = None
        if self.affine:
            scale_C, shift_C = scale_C * self.weight, self.bias
        y = centred * scale_C.view(1, -1, 1, 1, 1)
        return (y if shift_C is None else y + shift_C.view(1, -1, 1, 1, 1)).to(x_BCDHW.dtype)

    @torch.no_grad()
    def _follow(self, mean_C: torch.Tensor, variance_C: torch.Tensor, voxels: int) -> None:
        self.num_batches_tracked.add_(1)
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C, rate)
        self.running_var.lerp_(variance_C * (voxels / max(1, voxels - 1)), rate)


def share_batch_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace the batch norms of ``network`` by ones that share their statistics; names and parameters stay.

    On GPUs torch's SyncBatchNorm, on CPUs `SharedBatchNorm`.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                setattr(parent, name, _shared(norm))
    return network


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    if not isinstance(norm, nn.BatchNorm3d):
        raise TypeError(f"{type(norm).__name__} cannot be shared by ranks: only 3D batch norms can")
    new = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new._parameters, new._buffers, new.training = norm._parameters, norm._buffers, norm.training
    return new


@contextlib.contextmanager
def norms_alone(network: nn.Module) -> Iterator[None]:
    """Inside the block batch norms see this rank's crops only, in training mode too, and no rank waits for another."""
    shared = [m for m in network.modules() if isinstance(m, SharedBatchNorm)]
    groups = [(m, m.process_group) for m in network.modules() if isinstance(m, nn.SyncBatchNorm)]
    for m in shared:
        m.alone = True
    alone = None
    if groups:  # a process's own group of one
        alone = [torch.distributed.new_group([r]) for r in range(torch.distributed.get_world_size())]
        for m, _ in groups:
            m.process_group = alone[torch.distributed.get_rank()]
    try:
        yield
    finally:
        for m in shared:
            m.alone = False
        for m, group in groups:
            m.process_group = group
