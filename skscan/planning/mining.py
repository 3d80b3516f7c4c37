"""How long a machine searches for neighbors, exactly and approximately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from skscan._laws import Logarithm, Power
from skscan.neighbors import NeighborMiner
from skscan.neighbors.approximate import (
    FORETELLING_ROWS,
    FaissSearch,
    law_of_walks,
    parts_to_foretell_from,
    walk_that_finds,
)

__all__ = ["ApproximateMining", "ExactMining", "try_approximate_mining", "try_exact_mining"]

EXACT_ROWS = (8192, 24_576)
N_QUERIES = 1000


@dataclass(frozen=True)
class ExactMining:
    """Seconds of a row and of a pair of rows."""

    row: float
    pair: float

    def __call__(self, n_rows: float) -> float:
        """Return the seconds of all pairs."""
        return self.row * n_rows + self.pair * n_rows**2


@dataclass(frozen=True)
class ApproximateMining:
    """Seconds of a row in the building of the index and in a step of a query, and steps of a query.

    All by the number of rows. The first two grow with its logarithm: a graph has so many layers,
    and memory so many levels. (By a power of it 1,281,167 rows were foretold to take 3.5 times as
    long as they did.)
    """

    build: Logarithm
    step: Logarithm
    walk: Power

    def __call__(self, n_rows: float) -> float:
        """Return the seconds of foretelling the walk, of an index, and of a query of each row."""
        foretelling = sum(size * self.build(size) for size in FORETELLING_ROWS)
        query = walk_that_finds(self.walk(n_rows)) * self.step(n_rows)
        return foretelling + n_rows * (self.build(n_rows) + query)


def try_exact_mining(
    X: NDArray[np.float32], n_neighbors: int, seconds: Callable[[Callable[[], object]], float]
) -> ExactMining:
    """Mine parts of some rows exactly.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        24,576 rows at least.
    n_neighbors : int
    seconds : callable
        Runs a function and returns what it took.
    """
    miner = NeighborMiner(n_neighbors, backend="exact")
    few, many = (seconds(partial(miner.fit_transform, X[:size])) / size for size in EXACT_ROWS)
    # of a row: row + pair * n_rows
    pair = max(many - few, 0.1 * many) / (EXACT_ROWS[1] - EXACT_ROWS[0])
    return ExactMining(max(many - pair * EXACT_ROWS[1], 0.0), pair)


def try_approximate_mining(
    X: NDArray[np.float32],
    n_neighbors: int,
    seconds: Callable[[Callable[[], object]], float],
) -> ApproximateMining | None:
    """Index the parts of some rows that a miner foretells walks from, and query them.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        40,000 rows at least.
    n_neighbors : int
    seconds : callable
        Runs a function and returns what it took.

    Returns
    -------
    mining : ApproximateMining or None
        None where faiss is not installed.
    """
    indexes: list[FaissSearch] = []
    builds, steps, walks = [], [], []
    for part in parts_to_foretell_from(X):
        try:
            build = seconds(partial(_index, part, indexes))
        except ImportError:
            return None
        index, asked = indexes.pop(), part[:N_QUERIES]
        query = seconds(partial(index.query, asked, n_neighbors + 1)) / len(asked)
        builds.append((len(part), build / len(part)))
        steps.append((len(part), query / index.walk))
        walks.append(index.least_walk)
    return ApproximateMining(
        Logarithm.through(*builds), Logarithm.through(*steps), law_of_walks(walks)
    )


def _index(X: NDArray[np.float32], indexes: list[FaissSearch]) -> None:
    indexes.append(FaissSearch(X, None))
