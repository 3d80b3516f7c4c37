"""Cluster heads on frozen features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skscan._blocks import row_blocks

__all__ = ["Heads", "LinearHeads"]


class Heads(ABC):
    """Several classifiers of one kind that share one feature space; numpy only."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of heads."""

    @property
    @abstractmethod
    def n_clusters(self) -> int:
        """Number of clusters of each head."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of features that the heads work on."""

    @abstractmethod
    def logits(self, features: NDArray, head: int = 0) -> NDArray[np.float32]:
        """Return the logits of one head, shape (n_samples, n_clusters)."""

    @abstractmethod
    def select(self, head: int) -> Self:
        """Return one head alone."""

    @abstractmethod
    def join(self, other: Self) -> Self:
        """Return these heads followed by those of `other`, which are of the same kind."""

    @abstractmethod
    def for_scale(self, scale: float) -> Self:
        """Return heads that give for features what these give for ``features / scale``."""

    def predict_proba(self, features: NDArray, head: int = 0) -> NDArray[np.float32]:
        """Return the softmax of the logits of one head, shape (n_samples, n_clusters)."""
        logits = self.logits(features, head)
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits, out=logits)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, features: NDArray, head: int = 0) -> NDArray[np.intp]:
        """Return the most probable cluster of each sample, shape (n_samples,)."""
        labels = np.empty(len(features), dtype=np.intp)
        for rows in row_blocks(len(features), self.n_clusters):
            labels[rows] = self.logits(features[rows], head).argmax(axis=1)
        return labels

    def predict_with_confidence(
        self, features: NDArray, head: int = 0
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the most probable cluster of each sample, and its probability."""
        labels = np.empty(len(features), dtype=np.intp)
        confidences = np.empty(len(features), dtype=np.float32)
        for rows in row_blocks(len(features), self.n_clusters):
            probabilities = self.predict_proba(features[rows], head)
            labels[rows] = probabilities.argmax(axis=1)
            confidences[rows] = probabilities.max(axis=1)
        return labels, confidences


@dataclass(frozen=True)
class LinearHeads(Heads):
    """Several linear classifiers that share one feature space; numpy only.

    Parameters
    ----------
    weights : ndarray of shape (n_heads, n_clusters, n_features), float32
    biases : ndarray of shape (n_heads, n_clusters), float32

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.networks.heads import LinearHeads
    >>> heads = LinearHeads(np.eye(2, dtype=np.float32)[None], np.zeros((1, 2), np.float32))
    >>> heads.predict(np.array([[3.0, 1.0], [0.0, 2.0]], dtype=np.float32))
    array([0, 1])
    """

    weights: NDArray[np.float32]
    biases: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def n_clusters(self) -> int:
        """Number of clusters of each head."""
        return self.weights.shape[1]

    @property
    def n_features(self) -> int:
        """Number of features that the heads work on."""
        return self.weights.shape[2]

    def logits(self, features: NDArray, head: int = 0) -> NDArray[np.float32]:
        """Return the logits of one head, shape (n_samples, n_clusters)."""
        return features @ self.weights[head].T + self.biases[head]

    def select(self, head: int) -> LinearHeads:
        """Return one head alone, as `LinearHeads` of length 1."""
        return LinearHeads(self.weights[head : head + 1], self.biases[head : head + 1])

    def join(self, other: LinearHeads) -> LinearHeads:
        """Return these heads followed by those of `other`."""
        return LinearHeads(
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.biases, other.biases]),
        )

    def for_scale(self, scale: float) -> LinearHeads:
        """Return heads that give for features what these give for ``features / scale``."""
        return LinearHeads(self.weights / np.float32(scale), self.biases)
