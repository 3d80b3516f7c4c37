"""Extraction, prediction and mining as a map over shards, on whatever joblib runs on.

A shard is a run of consecutive images or rows. joblib's processes do the work, or the engine that
is chosen by ``joblib.parallel_config``: Dask or Ray, which may span several machines that see the
same files. Each shard writes what it finds on its own, so that what is done stays done.
"""

from skscan.sharding.extraction import extract_shards
from skscan.sharding.mining import mine_shards
from skscan.sharding.prediction import predict_proba_shards

__all__ = ["extract_shards", "mine_shards", "predict_proba_shards"]
