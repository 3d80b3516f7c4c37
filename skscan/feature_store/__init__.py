"""Features of images on disk, known by the images: written as they come, found again later.

A store is a folder that belongs to one way of computing features. In it, each process that computes
writes a shard of its own (`skscan.feature_store.shards`), so that several may work at once and what
a killed one has written is used by the next.
"""

from skscan.feature_store.identities import image_identities
from skscan.feature_store.pruning import prune, stored_bytes
from skscan.feature_store.store import FeatureStore

__all__ = ["FeatureStore", "image_identities", "prune", "stored_bytes"]
