"""Mining of nearest neighbours: the graph that says which images belong together."""

from skscan.neighbors.choice import EXACT_LIMIT
from skscan.neighbors.miner import NeighborMiner, SearchBackend

__all__ = ["EXACT_LIMIT", "NeighborMiner", "SearchBackend"]
