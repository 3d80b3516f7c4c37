"""What each head of a pool says, to see what the choice among them loses."""

from __future__ import annotations

import numpy as np

from skscan import SCANClusterer

__all__ = ["labels_of_heads"]


def labels_of_heads(clusterer: SCANClusterer, Z: np.ndarray) -> list[np.ndarray]:
    """Sort scaled features by each head that was trained."""
    return [clusterer.heads_.predict(Z, head) for head in range(len(clusterer.heads_))]
