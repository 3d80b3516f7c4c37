"""Networks run by torch, as they are or compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from skscan.engines.base import Engine, FrozenNetwork

if TYPE_CHECKING:
    import torch

__all__ = ["TorchEngine", "preparation"]


class TorchEngine(Engine):
    """Run a network by torch.

    Parameters
    ----------
    network : FrozenNetwork
        Its module is moved to `device`, and its weights are laid out channels last.
    device : str
        A torch device.
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 is by torch's autocast: weights stay float32, sums too.
    compiled : bool, default=False
        Whether the network is compiled by ``torch.compile``, which takes about half a minute, and
        on a CPU a C++ compiler. Batches are then filled up to the size of the largest one, for
        each size would be compiled on its own.
    """

    def __init__(
        self,
        network: FrozenNetwork,
        device: str,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        import torch

        self.name = "compile" if compiled else "torch"
        self.precision = precision
        self._device = device
        module = network.module.eval().to(device).to(memory_format=torch.channels_last)
        self._module = torch.compile(module) if compiled else module
        self._compiled = compiled
        self._largest = 0
        self._prepare = preparation(network.image_size, network.mean, network.std, device)
        if compiled:
            self.n_features = self._run(module, _black(network.side)).shape[1]
        else:
            self.n_features = self(_black(network.side)).shape[1]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Compute features; see `skscan.engines.base.Engine`."""
        n_images = len(pixels)
        if self._compiled:
            self._largest = max(self._largest, n_images)
            missing = self._largest - n_images
            pixels = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))
        return self._run(self._module, pixels)[:n_images]

    def _run(self, module: object, pixels: np.ndarray) -> np.ndarray:
        import torch

        device_type = torch.device(self._device).type
        reduced = (
            torch.autocast(device_type, torch.bfloat16)
            if self.precision == "bfloat16"
            else contextlib.nullcontext()
        )
        with torch.inference_mode(), reduced:
            return module(self._prepare(pixels)).float().cpu().numpy()  # type: ignore[operator]


def preparation(
    image_size: int, mean: Sequence[float], std: Sequence[float], device: str
) -> Callable[[np.ndarray], torch.Tensor]:
    """Return the function from pixels to what a network takes.

    Parameters
    ----------
    image_size : int
        Side of the centre that is cut out.
    mean, std : sequence of 3 floats
        Normalisation for pixels in 0..1.
    device : str

    Returns
    -------
    callable
        From uint8 (b, side, side, 3) to float32 (b, 3, image_size, image_size) on the device,
        channels last.
    """
    import torch

    scaled_mean, scaled_std = (
        255 * torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        for values in (mean, std)
    )

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        first = (pixels.shape[1] - image_size) // 2
        center = slice(first, first + image_size)
        # Moved as bytes, a quarter of the floats; the permutation is already channels-last.
        batch = torch.from_numpy(pixels[:, center, center]).to(device)
        return (batch.permute(0, 3, 1, 2).float() - scaled_mean) / scaled_std

    return prepare


def _black(side: int) -> np.ndarray:
    return np.zeros((1, side, side, 3), np.uint8)
