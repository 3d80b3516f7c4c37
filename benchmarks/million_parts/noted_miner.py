"""A miner that writes down how it searched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skscan import NeighborMiner


class NotedMiner(NeighborMiner):
    """`NeighborMiner` that notes backend, recall and, where it walks, how far.

    Parameters
    ----------
    n_neighbors : int, default=20
    note : str
        Path of the JSON file.
    """

    def __init__(self, n_neighbors: int = 20, *, note: str) -> None:
        super().__init__(n_neighbors)
        self.note = note

    def fit(self, X: Any, y: Any = None) -> NotedMiner:
        """Index the features."""
        super().fit(X, y)
        noted = {
            "backend": self.backend_,
            "recall": self.recall_,
            "walk": getattr(self._index, "walk", None),
        }
        Path(self.note).write_text(json.dumps(noted) + "\n")
        return self
