"""Which search is used for how many samples: one rule for searching and for planning."""

from __future__ import annotations

from collections.abc import Callable

from skscan.neighbors.approximate import walk_that_finds

__all__ = ["EXACT_LIMIT", "GPU_FROM", "PAIRS_OF_A_STEP", "backend_on_processor"]

#: Up to this many samples ``backend="auto"`` searches exactly.
EXACT_LIMIT = 500_000

#: With fewer samples a GPU has nothing to gain.
GPU_FROM = 50_000

#: A step of an approximate walk takes as long as so many pairs of rows in the exact search
#: (benchmarks/neighbors.py): where walks must be long, all pairs are compared sooner. Counts and
#: not seconds, so that the same samples are searched in the same way wherever and whenever.
PAIRS_OF_A_STEP = 2000


def backend_on_processor(n_samples: int, foretold_walk: Callable[[int], float] | None) -> str:
    """Return "exact" or "faiss", whichever is the quicker without a GPU.

    Parameters
    ----------
    n_samples : int
    foretold_walk : callable or None
        Gives the length that walks of so many samples must have, and is asked only where it
        matters; None where the approximate search is not installed.
    """
    if n_samples <= EXACT_LIMIT or foretold_walk is None:
        return "exact"
    steps = walk_that_finds(foretold_walk(n_samples))
    return "faiss" if PAIRS_OF_A_STEP * steps < n_samples else "exact"
