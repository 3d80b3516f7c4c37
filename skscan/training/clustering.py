"""The clustering stage: heads on frozen features, trained to agree with neighbors."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.graph import neighbor_table, symmetric_affinity
from skscan.networks.heads import LinearHeads
from skscan.selection import modularity, rank_sum, scan_selection_loss, silhouette_to_centers
from skscan.training.starts import Start, make_starts

__all__ = ["ClusterTrainer", "ClusterTrainingResult"]


@dataclass(frozen=True)
class ClusterTrainingResult:
    """What the clustering stage found.

    Parameters
    ----------
    heads : LinearHeads
        All trained heads.
    best_head : int
        The head that the selection keeps.
    history : list of dict
        One entry for each head and pass: head, start, pass, consistency, entropy, loss.
    n_iter : int
        Passes over the data.
    """

    heads: LinearHeads
    best_head: int
    history: list[dict[str, Any]] = field(default_factory=list)
    n_iter: int = 0


class ClusterTrainer(BaseEstimator):
    """Train several cluster heads with the SCAN loss and keep the best, all without labels.

    Parameters
    ----------
    scope : {"heads"}, default="heads"
        What is trained: linear heads on frozen features.
    n_heads : int, default=10
        Number of heads. The starts are used in turn.
    starts : sequence of {"k-means", "ncut", "random"}, default=("k-means", "ncut", "random")
        Where heads start from.
    entropy_weight : float, default=5.0
        Weight of the entropy term of the SCAN loss.
    n_epochs : int or "auto", default="auto"
        Passes over the data; ``"auto"`` makes about 300 steps.
    batch_size : int or "auto", default="auto"
        Samples in a batch; ``"auto"`` takes at least 20 for each cluster.
    learning_rate : float, default=0.01
        Largest step of Adam; it falls to zero along a cosine.
    selection : {"agreement", "scan_loss"}, default="agreement"
        How the best head is found. ``"scan_loss"`` is the paper's rule, the lowest SCAN loss over
        all samples and neighbors. ``"agreement"`` adds the ranks by modularity on the neighbor
        graph and by silhouette.
    """

    _parameter_constraints: dict = {
        "scope": [StrOptions({"heads"})],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "starts": [list, tuple],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "selection": [StrOptions({"agreement", "scan_loss"})],
    }

    def __init__(
        self,
        *,
        scope: str = "heads",
        n_heads: int = 10,
        starts: tuple[str, ...] = ("k-means", "ncut", "random"),
        entropy_weight: float = 5.0,
        n_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 0.01,
        selection: str = "agreement",
    ) -> None:
        self.scope = scope
        self.n_heads = n_heads
        self.starts = starts
        self.entropy_weight = entropy_weight
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.selection = selection

    @classmethod
    def for_effort(cls, effort: str) -> ClusterTrainer:
        """Return a trainer with the settings of an effort: "fast", "default" or "best"."""
        return cls(**EFFORTS[effort])

    def train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        n_clusters: int,
        *,
        random_state: np.random.RandomState,
        device: str = "cpu",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> ClusterTrainingResult:
        """Train heads on features and their neighbor graph.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        neighbors : csr_matrix of shape (n_samples, n_samples)
            Mined neighbors; self may be among them.
        n_clusters : int
        random_state : RandomState
            Source of every draw.
        device : str, default="cpu"
        n_jobs : int or None, default=None
            Threads; None leaves the numerical libraries at their own setting.
        verbose : int, default=0

        Returns
        -------
        result : ClusterTrainingResult
        """
        import torch

        from skscan.training.batched_heads import BatchedHeads

        self._validate_params()
        generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
        affinity = symmetric_affinity(neighbors)
        table = neighbor_table(neighbors)
        kinds = [self.starts[head % len(self.starts)] for head in range(self.n_heads)]
        starts = make_starts(features, affinity, n_clusters, kinds, random_state)

        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = max(512, 20 * n_clusters)
        n_batches = max(len(features) // batch_size, 1)
        n_epochs = self.n_epochs
        if n_epochs == "auto":
            n_epochs = max(1, round(300 / n_batches))

        inputs = torch.as_tensor(features, device=device)
        batched = BatchedHeads(_initial_heads(features, starts, n_clusters), device)
        prior = np.full((self.n_heads, n_clusters), 1 / n_clusters)
        weights = np.full(self.n_heads, float(self.entropy_weight))
        history = []
        passes = batched.fit_scan(
            inputs,
            torch.as_tensor(table, device=device),
            weights,
            prior,
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=self.learning_rate,
            generator=generator,
        )
        for epoch, (consistency, entropy) in enumerate(passes):
            for head, kind in enumerate(kinds):
                history.append(
                    {
                        "head": head,
                        "start": kind,
                        "pass": epoch,
                        "consistency": float(consistency[head]),
                        "entropy": float(entropy[head]),
                        "loss": float(consistency[head] - weights[head] * entropy[head]),
                    }
                )
        heads = batched.to_numpy()
        best = self._select(heads, features, affinity, table)
        return ClusterTrainingResult(heads, best, history, n_epochs)

    def _select(self, heads, features, affinity, table) -> int:
        if self.selection == "scan_loss":
            losses = [
                scan_selection_loss(heads.predict_proba(features, head), table).total
                for head in range(len(heads))
            ]
            return int(np.argmin(losses))
        partitions = [heads.predict(features, head) for head in range(len(heads))]
        ranks = rank_sum(
            [modularity(labels, affinity) for labels in partitions],
            [silhouette_to_centers(labels, features) for labels in partitions],
        )
        return int(np.argmax(ranks))


EFFORTS = {
    "fast": {"n_heads": 4},
    "default": {"n_heads": 10},
    "best": {"n_heads": 30},
}
"""Parameters of `ClusterTrainer` for each effort."""


def _initial_heads(
    features: NDArray[np.float32], starts: list[Start], n_clusters: int
) -> LinearHeads:
    weights, biases = [], []
    for start in starts:
        members = sparse.csr_matrix(
            (np.ones(len(features), np.float32), (start.labels, np.arange(len(features)))),
            shape=(n_clusters, len(features)),
        )
        sizes = np.maximum(np.bincount(start.labels, minlength=n_clusters), 1)
        centers = np.asarray(members @ features) / sizes[:, None]
        weights.append(0.05 * centers)
        biases.append(-0.025 * (centers**2).sum(axis=1))
    return LinearHeads(np.float32(weights), np.float32(biases))
