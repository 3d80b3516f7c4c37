"""How much memory the stages of a fit hold, from what they keep of each sample and of a block.

The numbers of copies of a block were counted on fits of 10,000 and 100,000 samples into 1,000
clusters; everything else is what the code keeps.
"""

from __future__ import annotations

from skscan._blocks import MAX_EDGES, MAX_ENTRIES
from skscan._fitted import MAX_PROBABILITY_BYTES
from skscan._matrices import MAX_BYTES_READ
from skscan.neighbors.approximate import LINKS
from skscan.neighbors.exact import SPARE
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.scaling import MAX_BYTES_IN_MEMORY as MAX_SCALED_BYTES
from skscan.training.neighbor_labeling import KEPT_CLUSTERS
from skscan.training.starts import MAX_BYTES_IN_MEMORY as MAX_COPY_BYTES

__all__ = ["NUMBER", "memory_of_stages"]

NUMBER = 4
"""Bytes of a float32 or an int32."""

LONG_NUMBER = 8

LIBRARIES = 3 * 2**27
"""Bytes of Python and its libraries."""

WORKSPACE = 2**27
"""Bytes that blocks of features and of neighbors take in any stage."""

AFFINITY_ENTRIES = 1.6
"""Entries of the symmetric affinity for each mined neighbor, at most 2: some name each other."""

COPIES_WHILE_JUDGING = 7
"""Of a block of values for each cluster, while heads are compared."""

BYTES_OF_AN_EDGE = 32
"""While the edges of a block are counted."""

COPIES_OF_LABELS = 6
"""Of the values for each cluster of a batch, while a head learns the labels of neighbors."""


def memory_of_stages(job: Job, *, approximate: bool) -> dict[str, float]:
    """Return the bytes that the process holds in each stage, without pages of mapped files.

    Parameters
    ----------
    job : Job
        Fitted with a memory: large scaled features and their neighbors are mapped from there.
    approximate : bool
        Whether neighbors are searched approximately.

    Returns
    -------
    n_bytes : dict of str to float
        By the name of the stage, of those from the scaling to the evidence.
    """
    n, k = job.n_samples, job.n_clusters
    scaled = n * job.n_components * NUMBER
    mined = n * (N_NEIGHBORS + 1)
    mapped = scaled > MAX_BYTES_READ
    inputs = 0 if mapped else scaled + 2 * mined * NUMBER
    copy = 0 if scaled > MAX_COPY_BYTES else scaled
    table, table_of_torch = mined * NUMBER, mined * LONG_NUMBER
    entries = AFFINITY_ENTRIES * n * N_NEIGHBORS
    affinity = 2 * entries * NUMBER
    edges = min(entries, MAX_EDGES) * BYTES_OF_AN_EDGE
    block = min(n * k, MAX_ENTRIES) * NUMBER
    sample = job.sample_of_starts * job.n_components * NUMBER
    step = 2 * min(job.batch_size, n) * (k * job.heads_together + job.n_components) * NUMBER
    named = 2 * (mined + n) * NUMBER
    labels = n * min(k * NUMBER, KEPT_CLUSTERS * (NUMBER + NUMBER))
    batch = job.self_label_batch_size * (COPIES_OF_LABELS * k + job.n_components) * NUMBER
    probabilities = n * k * NUMBER
    training = inputs + copy + table
    held = {
        "scaling": min(scaled, MAX_SCALED_BYTES),
        "mining": (0 if mapped else scaled) + _bytes_of_search(job, approximate),
        "starts": training + 3 * affinity + 2 * sample,
        "heads": training + table_of_torch + affinity + step,
        "selection": training
        + table_of_torch
        + 2 * affinity
        + COPIES_WHILE_JUDGING * block
        + edges,
        "self-labelling": inputs
        + table
        + 3 * affinity
        + 2 * named  # of shared neighbors, while it is made
        + 2 * labels
        + max(4 * block, batch),
        "evidence": inputs
        + table
        + 2 * block
        + (0 if probabilities > MAX_PROBABILITY_BYTES else probabilities),
    }
    return {name: LIBRARIES + WORKSPACE + n_bytes for name, n_bytes in held.items()}


def _bytes_of_search(job: Job, approximate: bool) -> float:
    """Return the bytes of an index, of what is done with it, and of what it finds."""
    n, mined = job.n_samples, job.n_samples * (N_NEIGHBORS + 1)
    factors = n * (job.n_components + 2) * NUMBER
    if approximate:
        links = n * (2 * LINKS * NUMBER + 3 * LONG_NUMBER)
        found = mined * (NUMBER + LONG_NUMBER)
        index = max(factors, n * job.n_components * NUMBER + links + found)
    else:
        candidates = 2 * n * LONG_NUMBER * (N_NEIGHBORS + 1 + SPARE)  # and those that wait
        index = factors + candidates + 2 * mined * LONG_NUMBER
    return index + mined * NUMBER
