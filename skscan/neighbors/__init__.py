"""Mining of nearest neighbours: the graph that says which images belong together."""

from skscan.neighbors.miner import EXACT_LIMIT, NeighborMiner, SearchBackend

__all__ = ["EXACT_LIMIT", "NeighborMiner", "SearchBackend"]
