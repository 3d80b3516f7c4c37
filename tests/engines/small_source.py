"""A network of a few weights, and what counts how often it is built."""

import torch
from torch import nn

from skscan.engines.base import FrozenNetwork, NetworkSource

SIDE, N_FEATURES = 12, 5


class SmallSource(NetworkSource):
    """A convolution and a linear layer on the middle of 8 x 8 of 12 x 12 pixels."""

    description = "a small network"

    def __init__(self, seed: int = 0, last: nn.Module | None = None) -> None:
        self.seed = seed
        self.last = last
        self.n_loads = 0

    def identity(self) -> str:
        return f"small-{self.seed}-{type(self.last).__name__}"

    def load(self, device: str) -> FrozenNetwork:
        self.n_loads += 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = nn.Sequential(
                nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, N_FEATURES)
            )
        if self.last is not None:
            module.append(self.last)
        return FrozenNetwork(module.eval().to(device), 8, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), SIDE)


class Eigenvalues(nn.Module):
    """What ONNX has no word for."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(torch.diag_embed(features)).real
