"""Cluster heads with hidden layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from skscan.networks.heads import Heads

__all__ = ["SMALLEST_LENGTH", "MLPHeads"]

SMALLEST_LENGTH = 1e-12
"""Hidden vectors shorter than this are divided by it instead of by their length."""

_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class MLPHeads(Heads):
    """Several small networks that share one feature space; numpy only.

    Linear, GELU, linear, then the cosine of the result with a direction for each cluster, divided
    by a temperature: the head of DINO and TEMI.

    Parameters
    ----------
    first_weights : ndarray of shape (n_heads, n_hidden, n_features), float32
    first_biases : ndarray of shape (n_heads, n_hidden), float32
    second_weights : ndarray of shape (n_heads, n_bottleneck, n_hidden), float32
    second_biases : ndarray of shape (n_heads, n_bottleneck), float32
    directions : ndarray of shape (n_heads, n_clusters, n_bottleneck), float32
        Rows of length 1.
    temperature : float
        What cosines are divided by to become logits.

    References
    ----------
    Adaloglou et al., "Exploring the Limits of Deep Image Clustering using Pretrained Models",
    BMVC 2023.
    """

    first_weights: NDArray[np.float32]
    first_biases: NDArray[np.float32]
    second_weights: NDArray[np.float32]
    second_biases: NDArray[np.float32]
    directions: NDArray[np.float32]
    temperature: float

    def __len__(self) -> int:
        return len(self.directions)

    @property
    def n_clusters(self) -> int:
        """Number of clusters of each head."""
        return self.directions.shape[1]

    @property
    def n_features(self) -> int:
        """Number of features that the heads work on."""
        return self.first_weights.shape[2]

    def logits(self, features: NDArray, head: int = 0) -> NDArray[np.float32]:
        """Return the logits of one head, shape (n_samples, n_clusters)."""
        logits = np.empty((len(features), self.n_clusters), dtype=np.float32)
        for start in range(0, len(features), _BLOCK_ROWS):  # hidden layers are wide
            rows = slice(start, start + _BLOCK_ROWS)
            # in double precision, so that rounding hardly depends on where in a batch a row stands
            inputs = features[rows].astype(np.float64)
            hidden = _gelu(inputs @ self.first_weights[head].T + self.first_biases[head])
            inner = hidden @ self.second_weights[head].T + self.second_biases[head]
            lengths = np.linalg.norm(inner, axis=1, keepdims=True)
            inner /= np.maximum(lengths, SMALLEST_LENGTH)
            logits[rows] = inner @ self.directions[head].T / self.temperature
        return logits

    def select(self, head: int) -> MLPHeads:
        """Return one head alone, as `MLPHeads` of length 1."""
        arrays = {name: x[head : head + 1] for name, x in self._arrays().items()}
        return MLPHeads(**arrays, temperature=self.temperature)

    def join(self, other: MLPHeads) -> MLPHeads:
        """Return these heads followed by those of `other`, which has the same temperature."""
        if other.temperature != self.temperature:
            raise ValueError(
                f"heads of temperature {other.temperature} cannot join heads of temperature "
                f"{self.temperature}."
            )
        theirs = other._arrays()
        arrays = {name: np.concatenate([x, theirs[name]]) for name, x in self._arrays().items()}
        return MLPHeads(**arrays, temperature=self.temperature)

    def for_scale(self, scale: float) -> MLPHeads:
        """Return heads that give for features what these give for ``features / scale``."""
        return replace(self, first_weights=self.first_weights / np.float32(scale))

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {name: value for name, value in vars(self).items() if name != "temperature"}


def _gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x * (erf(x * np.sqrt(0.5)) + 1) * 0.5
