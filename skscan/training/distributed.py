"""What several processes share: batch statistics, gathered outputs, the state they start from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skscan.exceptions import SkscanWarning

__all__ = [
    "gather_rows",
    "n_processes",
    "of_main_process",
    "process_index",
    "synchronized_batch_norm",
]


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
    rows = rows.detach().contiguous()
    parts = [torch.empty_like(rows) for _ in range(n_processes())]
    torch.distributed.all_gather(parts, rows)
    return torch.cat(parts)


def of_main_process(make: Any) -> Any:
    """Call a function on the main process; return its result, or raise its error, on all.

    So all start from the same state, even if only the main process sees the disk it is on.

    Parameters
    ----------
    make : callable
        Without arguments; what it returns or raises can be pickled.

    Returns
    -------
    object
    """
    if n_processes() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if process_index() == 0:
        try:
            outcome[0] = make()
        except Exception as error:
            outcome[1] = error
    torch.distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


@contextmanager
def synchronized_batch_norm(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the whole batch, over all processes.

    torch's own `SyncBatchNorm` refuses to work on a CPU; here moments are summed over the processes
    on any device. Names of parameters stay as they are. Layers that normalise in a way of their
    own keep to the batch of their process, with a warning.

    Parameters
    ----------
    network : Module
        Changed in place, and changed back afterwards.
    """
    switched: list[tuple[nn.Module, type[nn.Module]]] = []
    left: set[str] = set()
    if n_processes() > 1:
        for module in network.modules():
            kind = type(module)
            if kind in _PLAIN or _activates_afterwards(kind):
                switched.append((module, kind))
                module.__class__ = _synchronized(kind)  # type: ignore[arg-type]
            elif isinstance(module, _BatchNorm) and kind is not nn.SyncBatchNorm:
                left.add(kind.__name__)
    if left:
        warnings.warn(
            f"{', '.join(sorted(left))} normalise by the batch of their own process: what "
            f"{n_processes()} processes learn differs from what one would.",
            SkscanWarning,
            stacklevel=3,
        )
    try:
        yield
    finally:
        for module, kind in switched:
            module.__class__ = kind


_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _activates_afterwards(kind: type) -> bool:
    """Whether a layer is timm's, of normalisation and activation in one."""
    return kind.__module__.startswith("timm.") and kind.__name__ == "BatchNormAct2d"


@cache
def _synchronized(kind: Any) -> type[nn.Module]:
    """Return the class of layers that are like those of a class but share their statistics."""
    own = {"_activates": _activates_afterwards(kind)}
    return type(f"Synchronized{kind.__name__}", (_Synchronized, kind), own)


class _Synchronized(_BatchNorm):
    """Batch normalisation whose statistics are those of the batches of all processes together."""

    _activates: bool

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise (n, channels, ...); as many rows on each process."""
        if not self.training:
            return super().forward(inputs)
        outputs = self._normalize(inputs)
        return self.act(self.drop(outputs)) if self._activates else outputs  # type: ignore

    def _normalize(self, inputs: Tensor) -> Tensor:
        values = inputs.float()
        others = [dimension for dimension in range(values.dim()) if dimension != 1]
        per_channel = [1, -1] + [1] * (values.dim() - 2)
        n_values = values.numel() // values.shape[1] * n_processes()
        mean = _SumOverProcesses.apply(values.sum(dim=others)) / n_values
        centered = values - mean.view(per_channel)
        variance = _SumOverProcesses.apply(centered.square().sum(dim=others)) / n_values
        self._follow(mean.detach(), variance.detach(), n_values)
        outputs = centered * torch.rsqrt(variance + self.eps).view(per_channel)
        if self.affine:
            outputs = outputs * self.weight.view(per_channel) + self.bias.view(per_channel)
        return outputs.to(inputs.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, n_values: int) -> None:
        """Move the running statistics, the variance without its bias."""
        if self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked += 1  # type: ignore
        # Without a momentum, as in torch, they are the mean of all batches so far.
        rate = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance * (n_values / max(n_values - 1, 1)), rate)


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
