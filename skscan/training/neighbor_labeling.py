"""The third stage on frozen features: a head learns what the neighbors of each sample say."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from skscan._blocks import MAX_ENTRIES, root_mean_square, row_blocks
from skscan._progress import progress
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.graph import neighbor_table, shared_neighbor_affinity
from skscan.networks.heads import Heads
from skscan.selection import EVEN_SIZES, size_evenness
from skscan.training.results import SelfLabelResult
from skscan.training.soft_labels import sharpened

__all__ = ["NeighborLabelTrainer", "neighbor_label_batch_size"]

BATCH_SIZE = 512
SAMPLES_PER_CLUSTER = 4

WALK_LENGTH = 5
UNEVEN_WALK_LENGTH = 10
"""Where clusters differ in size; more steps gain nothing where they do not."""

KEPT_CLUSTERS = 16
"""Of each sample, the most probable ones, where all would take more than `MAX_ENTRIES` values."""


class NeighborLabelTrainer(BaseEstimator):
    r"""Train the best head further on what the neighbors of each sample are taken for.

    In each round a sample's label is the mean prediction at the end of a short random walk over
    the neighbor graph, in which neighbors that share many of their own neighbors weigh more,

    .. math:: t_i \propto (W^l P)_i^s, \quad
              W_{ij} \propto \left(\frac{|N_i \cap N_j|}{|N_i \cup N_j|}\right)^2

    with predictions P, walks of l steps and sharpening s, and some steps on the cross-entropy to
    these labels follow. A head that is wrong about single samples, or cuts through a group of
    them, is corrected by those around. Unlike the labels of :class:`SelfLabelTrainer`, these can
    differ from what the head says itself, and no sample is left out.

    Where a round leaves a cluster empty that was in use, what was reached before that round is
    kept. With more than 2^24 values of P, each sample keeps its 16 most probable clusters. Walks
    and predictions are computed by the CPU, steps on the device.

    After the training of a whole network the graph is still that of the features before.

    Parameters
    ----------
    n_rounds : int, default=3
        How often labels are renewed.
    walk_length : int or "auto", default="auto"
        Steps of the walks that labels are averaged over. ``"auto"`` is 10 where the head's clusters
        differ in size, which gains more there, and 5 where they do not, or P has more than 2^24
        values.
    sharpening : float, default=4.0
        Labels are raised to this power and normalised; 1 leaves them as they are.
    n_steps : int, default=50
        Steps of Adam in each round, of 512 random samples, or 4 for each cluster if that is more.
    learning_rate : float, default=0.003
        Of Adam, on features whose mean square is 1; it falls to zero along a cosine.

    References
    ----------
    Jarvis and Patrick, "Clustering using a similarity measure based on shared near neighbors",
    1973, weigh neighbors by those that they share.

    Huang et al., "Combining Label Propagation and Simple Models Out-performs Graph Neural
    Networks", ICLR 2021, smooth predictions over a graph.

    Examples
    --------
    >>> from skscan import NeighborLabelTrainer, SCANClusterer
    >>> longer = NeighborLabelTrainer(n_rounds=6)
    >>> clusterer = SCANClusterer(10, self_label_trainer=longer)
    """

    _parameter_constraints: dict = {
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "walk_length": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "sharpening": [Interval(Real, 0, None, closed="neither")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        n_rounds: int = 3,
        walk_length: int | str = "auto",
        sharpening: float = 4.0,
        n_steps: int = 50,
        learning_rate: float = 0.003,
    ) -> None:
        self.n_rounds = n_rounds
        self.walk_length = walk_length
        self.sharpening = sharpening
        self.n_steps = n_steps
        self.learning_rate = learning_rate

    def train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        heads: Any,
        best_head: int,
        *,
        random_state: np.random.RandomState,
        device: str = "cpu",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> SelfLabelResult:
        """Train one head on the labels of neighbors, as long as no cluster becomes empty.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        neighbors : csr_matrix of shape (n_samples, n_samples)
            Mined neighbors; self may be among them.
        heads : LinearHeads, MLPHeads or AveragedHeads
        best_head : int
            The head among `heads` to train.
        random_state : RandomState
            Source of every draw.
        device : str, default="cpu"
            Torch device that the steps are made on.
        n_jobs : int or None, default=None
            Threads; None leaves the numerical libraries at their own setting for large data.
        verbose : int, default=0
            With 1, a progress bar is shown on stderr.

        Returns
        -------
        result : SelfLabelResult
            `history` has one entry for each round: round, loss, and the share of samples that
            changed their cluster.
        """
        self._validate_params()
        earlier = heads.select(best_head)
        with limit_threads(suitable_n_jobs(n_jobs, features)):
            return self._train(features, neighbors, earlier, random_state, device, verbose)

    def _train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        earlier: Heads,
        random_state: np.random.RandomState,
        device: str,
        verbose: int,
    ) -> SelfLabelResult:
        import torch

        from skscan.training.batched_heads import Adam
        from skscan.training.trainable_heads import trainable

        generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
        walk = _random_walk(neighbors)
        scale = root_mean_square(features)
        batched = trainable(earlier.for_scale(1 / scale), device)
        adam = Adam(batched.parameters, self.learning_rate, self.n_rounds * self.n_steps)
        kept, clusters, history = earlier, earlier.predict(features), []
        used = np.unique(clusters)
        length = self._length_of_walks(clusters, earlier.n_clusters)
        for round_ in progress(
            range(self.n_rounds), desc="self-labeling", unit="round", verbose=verbose
        ):
            labels = predictions_after_walks(kept, features, walk, length)
            loss = self._learn(batched, adam, features, scale, labels, generator)
            later = batched.to_numpy().for_scale(scale)
            found = later.predict(features)
            moved = float(np.mean(found != clusters))
            history.append({"round": round_, "loss": loss, "moved": moved})
            n_empty = len(np.setdiff1d(used, found))
            if n_empty:
                left = f"{n_empty} of {len(used)} clusters empty"
                reason = f"round {round_ + 1} left {left}, so it does not count"
                return SelfLabelResult(kept, history, round_ > 0, reason)
            kept, clusters = later, found
        return SelfLabelResult(kept, history, True, "the labels of neighbors were learned")

    def _length_of_walks(self, clusters: NDArray[np.integer], n_clusters: int) -> int:
        if not isinstance(self.walk_length, str):
            return self.walk_length
        uneven = size_evenness(clusters, n_clusters) < EVEN_SIZES
        if uneven and len(clusters) * n_clusters <= MAX_ENTRIES:
            return UNEVEN_WALK_LENGTH
        return WALK_LENGTH

    def _learn(
        self,
        heads: Any,
        adam: Any,
        features: NDArray[np.float32],
        scale: float,
        labels: NDArray[np.float32] | sparse.csr_matrix,
        generator: Any,
    ) -> float:
        """Make the steps of a round; return their mean loss."""
        import torch

        from skscan.training.trainable_heads import gradient_of

        n_samples, n_clusters = labels.shape
        size = min(neighbor_label_batch_size(n_clusters), n_samples)
        device, losses = heads.parameters.device, []
        for _ in range(self.n_steps):
            rows = torch.randint(n_samples, (size,), generator=generator).numpy()
            wanted = labels[rows]
            if sparse.issparse(wanted):
                wanted = wanted.toarray()
            inputs = torch.as_tensor(features[rows] / np.float32(scale), device=device)
            targets = torch.as_tensor(sharpened(wanted, self.sharpening), device=device)

            def loss(inputs: Any = inputs, targets: Any = targets) -> Any:
                logits = heads.logits(inputs)[:, :, 0]
                value = torch.nn.functional.cross_entropy(logits, targets)
                losses.append(float(value.detach()))
                return value

            adam.step(gradient_of(loss, heads.parameters))
        return float(np.mean(losses))


def neighbor_label_batch_size(n_clusters: int) -> int:
    """Return the number of samples in a step of a head that learns the labels of neighbors."""
    return max(BATCH_SIZE, SAMPLES_PER_CLUSTER * n_clusters)


def predictions_after_walks(
    head: Heads,
    features: NDArray[np.float32],
    walk: sparse.csr_matrix,
    length: int,
) -> NDArray[np.float32] | sparse.csr_matrix:
    """Average predictions over random walks from each sample.

    Parameters
    ----------
    head : Heads
        One head.
    features : ndarray of shape (n_samples, n_features)
    walk : csr_matrix of shape (n_samples, n_samples)
        Probabilities of the next step; rows sum to 1.
    length : int
        Steps of the walk.

    Returns
    -------
    predictions : ndarray or csr_matrix of shape (n_samples, n_clusters), float32
        Sparse where all would be more than 2^24 values: of the most probable 16 clusters of each
        sample, after each step of the walk.
    """
    n_samples, n_clusters = len(features), head.n_clusters
    if n_samples * n_clusters <= MAX_ENTRIES:
        predictions = head.predict_proba(features)
        for _ in range(length):
            predictions = walk @ predictions
        return predictions
    blocks = list(row_blocks(n_samples, n_clusters, MAX_ENTRIES // 4))
    kept = sparse.vstack(
        [_largest(sparse.csr_matrix(head.predict_proba(features[rows]))) for rows in blocks], "csr"
    )
    for _ in range(length):
        kept = sparse.vstack([_largest(walk[rows] @ kept) for rows in blocks], "csr")
    return kept


def _largest(probabilities: sparse.csr_matrix) -> sparse.csr_matrix:
    """Keep the largest values of each row."""
    counts = np.diff(probabilities.indptr)
    width = int(counts.max())
    if width <= KEPT_CLUSTERS:
        return probabilities
    # rows side by side, each filled up with zeros
    filled = np.arange(width) < counts[:, None]
    values = np.zeros(filled.shape, dtype=np.float32)
    columns = np.zeros(filled.shape, dtype=np.int32)
    values[filled], columns[filled] = probabilities.data, probabilities.indices
    largest = np.argpartition(values, width - KEPT_CLUSTERS, axis=1)[:, -KEPT_CLUSTERS:]
    values = np.take_along_axis(values, largest, axis=1)
    columns = np.take_along_axis(columns, largest, axis=1)
    ends = np.arange(0, values.size + 1, KEPT_CLUSTERS)
    kept = sparse.csr_matrix((values.ravel(), columns.ravel(), ends), probabilities.shape)
    kept.eliminate_zeros()
    return kept


def _random_walk(neighbors: sparse.csr_matrix) -> sparse.csr_matrix:
    """Probabilities of the steps of a walk; a sample without neighbors stays where it is."""
    affinity = shared_neighbor_affinity(neighbor_table(neighbors))
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    alone = degrees == 0
    if alone.any():
        affinity = (affinity + sparse.diags(alone.astype(np.float32))).tocsr()
        degrees[alone] = 1
    affinity.data /= np.repeat(degrees, np.diff(affinity.indptr))
    return affinity
