"""A linear head that repeats a given partition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skscan._blocks import root_mean_square
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.networks.heads import LinearHeads

__all__ = ["distilled_head"]

STEPS = 300
BATCH_SIZE = 512
LEARNING_RATE = 0.01


def distilled_head(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    n_clusters: int,
    seed: int,
    *,
    device: str = "cpu",
    n_jobs: int | None = None,
) -> LinearHeads:
    """Fit a linear head to labels by cross-entropy.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
    labels : int ndarray of shape (n_samples,)
        From 0 to n_clusters - 1.
    n_clusters : int
    seed : int
        Rules the order of the samples.
    device : str, default="cpu"
        Torch device.
    n_jobs : int or None, default=None
        Threads, as for :meth:`ClusterTrainer.train`.

    Returns
    -------
    heads : LinearHeads
        One head. It predicts most of the labels again, not all: what no hyperplane separates is
        smoothed.
    """
    import torch

    from skscan.training.batched_heads import BatchedHeads, center_heads

    scale = np.float32(root_mean_square(features))
    scaled = features / scale
    column = np.asarray(labels, dtype=np.int64)[:, None]
    n_batches = max(len(features) // BATCH_SIZE, 1)
    with limit_threads(suitable_n_jobs(n_jobs, features)):
        batched = BatchedHeads(center_heads(scaled, column, n_clusters), device)
        batched.fit_labels(
            torch.as_tensor(scaled, device=device),
            torch.as_tensor(column, device=device),
            n_epochs=max(round(STEPS / n_batches), 1),
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            generator=torch.Generator().manual_seed(seed),
        )
        heads = batched.to_numpy()
    return LinearHeads(heads.weights / scale, heads.biases)
