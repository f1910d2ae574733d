"""Batch norm over the whole batch of several processes, on any device; torch's own SyncBatchNorm is for GPUs alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def over_processes(network: nn.Module) -> None:
    """Replace every batch norm by one that sees the rows of all processes; weights, statistics and names stay.

    What it learns is then what one process learns from the whole batch, and all processes keep the same statistics.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm | _OverProcesses):
                setattr(module, name, _OverProcesses(child))


class _OverProcesses(_BatchNorm):
    """(batch, channels, …) → the same; each process has its share of the batch, of any size."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        self.train(norm.training)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"batch norm takes (batch, channels, …), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        axes = [0, *range(2, x.dim())]
        along = (1, -1, *[1] * (x.dim() - 2))
        wide = x.float()  # sums of half precision would overflow
        rows = wide.new_full((1,), x.numel() / x.shape[1])
        sums = _Sum.apply(torch.cat([wide.sum(axes), rows]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = wide - mean.reshape(along)
        variance = _Sum.apply((centred**2).sum(axes)) / count
        if self.track_running_stats:
            self._keep(mean.detach(), variance.detach() * count / (count - 1))
        normed = centred * torch.rsqrt(variance + self.eps).reshape(along)
        if self.affine:
            normed = normed * self.weight.reshape(along) + self.bias.reshape(along)
        return normed.to(x.dtype)

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Take in a batch's statistics as torch does: the variance is that of the sample."""
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total
