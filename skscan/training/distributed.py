"""What several processes share: batch statistics and gathered outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["gather_rows", "n_processes", "process_index", "synchronize_batch_norm"]


def n_processes() -> int:
    """Return the number of processes that train together."""
    return torch.distributed.get_world_size() if _is_distributed() else 1


def process_index() -> int:
    """Return the number of this process, 0 for the main one."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def gather_rows(rows: Tensor) -> Tensor:
    """Join the rows of all processes, in their order; without gradient.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        As many on each process.

    Returns
    -------
    Tensor of shape (n * n_processes, ...)
    """
    if n_processes() == 1:
        return rows.detach()
    parts = [torch.empty_like(rows) for _ in range(n_processes())]
    torch.distributed.all_gather(parts, rows.detach().contiguous())
    return torch.cat(parts)


def synchronize_batch_norm(network: nn.Module) -> None:
    """Let batch normalisation use the statistics of the whole batch, over all processes.

    torch's own `SyncBatchNorm` refuses to work on a CPU; layers are switched to a class that sums
    moments over the processes on any device. Names of parameters stay as they are. Layers of other
    classes than `torch.nn.BatchNorm2d` keep to the batch of their own process.

    Parameters
    ----------
    network : Module
        Changed in place.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronizedBatchNorm2d


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of the batches of all processes together."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise (n, channels, h, w); as many images on each process."""
        if not self.training or n_processes() == 1:
            return super().forward(inputs)
        values = inputs.float()
        n_values = values.numel() // values.shape[1] * n_processes()
        mean = _SumOverProcesses.apply(values.sum(dim=(0, 2, 3))) / n_values
        centered = values - mean[:, None, None]
        variance = _SumOverProcesses.apply(centered.square().sum(dim=(0, 2, 3))) / n_values
        self._follow(mean.detach(), variance.detach(), n_values)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(inputs.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, n_values: int) -> None:
        """Move the running statistics, the variance without its bias."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (n_values / max(n_values - 1, 1)), self.momentum)


class _SumOverProcesses(torch.autograd.Function):
    """Sum over processes, forwards and backwards."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
