"""Running statistics of normalisation when a batch goes through the network in parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["RunningStatistics"]


class RunningStatistics:
    """Moves running statistics once for a batch that is forwarded in several parts.

    Each part moves them from where they stood before the batch; where they end is the mean of
    where the parts would have brought them. Statistics that layers do not move stay as they are,
    to the last bit.

    Parameters
    ----------
    network : Module
        Before the first part.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buffers = [
            buffer
            for layer in network.modules()
            if isinstance(layer, nn.modules.batchnorm._NormBase)
            for buffer in (layer.running_mean, layer.running_var, layer.num_batches_tracked)
            if buffer is not None
        ]
        self._before = [buffer.clone() for buffer in self._buffers]
        self._moves = [torch.zeros_like(buffer) for buffer in self._buffers]
        self._n_parts = 0

    @torch.no_grad()
    def take(self) -> None:
        """Note how a part has moved them, and take the move back."""
        self._n_parts += 1
        for buffer, before, moves in self._each():
            moves += buffer - before
            buffer.copy_(before)

    @torch.no_grad()
    def settle(self) -> None:
        """Move them by the mean of what was noted, whatever has moved them since."""
        for buffer, before, moves in self._each():
            mean = moves / self._n_parts
            buffer.copy_(before + (mean if mean.dtype == buffer.dtype else mean.round()))

    def _each(self) -> zip[tuple[Tensor, Tensor, Tensor]]:
        return zip(self._buffers, self._before, self._moves, strict=True)
