"""Cluster heads over several feature spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skscan.networks.heads import Heads, LinearHeads

__all__ = ["AveragedHeads"]


@dataclass(frozen=True)
class AveragedHeads(Heads):
    r"""Linear heads in several feature spaces, whose probabilities are averaged; numpy only.

    With K spaces, that stand side by side in the columns of the features, the probabilities are
    :math:`\tfrac{1}{K} \sum_k \operatorname{softmax}(W_k z_k + b_k)`. The logits are their
    logarithms.

    Parameters
    ----------
    spaces : list of LinearHeads
        One for each space, in the order of the columns, with as many heads and clusters each.

    References
    ----------
    Gadetsky et al., "Let Go of Your Labels with Unsupervised Transfer", ICML 2024.
    """

    spaces: list[LinearHeads]

    def __len__(self) -> int:
        return len(self.spaces[0])

    @property
    def n_clusters(self) -> int:
        """Number of clusters of each head."""
        return self.spaces[0].n_clusters

    @property
    def n_features(self) -> int:
        """Number of features that the heads work on, of all spaces together."""
        return sum(space.n_features for space in self.spaces)

    def logits(self, features: NDArray, head: int = 0) -> NDArray[np.float32]:
        """Return the logarithms of the probabilities, shape (n_samples, n_clusters)."""
        ends = np.cumsum([space.n_features for space in self.spaces])
        parts = np.split(features, ends[:-1], axis=1)
        total = sum(
            space.predict_proba(part, head) for space, part in zip(self.spaces, parts, strict=True)
        )
        smallest = np.finfo(np.float32).tiny
        return np.log(np.maximum(total / np.float32(len(self.spaces)), smallest))

    def select(self, head: int) -> AveragedHeads:
        """Return one head alone, as `AveragedHeads` of length 1."""
        return AveragedHeads([space.select(head) for space in self.spaces])

    def join(self, other: AveragedHeads) -> AveragedHeads:
        """Return these heads followed by those of `other`, over the same spaces."""
        pairs = zip(self.spaces, other.spaces, strict=True)
        return AveragedHeads([own.join(theirs) for own, theirs in pairs])

    def for_scale(self, scale: float) -> AveragedHeads:
        """Return heads that give for features what these give for ``features / scale``."""
        return AveragedHeads([space.for_scale(scale) for space in self.spaces])
