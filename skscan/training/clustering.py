"""The clustering stage: heads on frozen features, trained to agree with neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from skscan._progress import progress
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.networks.heads import LinearHeads
from skscan.selection import head_with_best_evidence, scan_losses_of_heads
from skscan.training.spectral import unit_rows
from skscan.training.starts import START_KINDS, Start, StartMaker

__all__ = ["ClusterTrainer", "ClusterTrainingResult"]

AUTO_STEPS = 300
MIN_AUTO_STEPS = 60
LABEL_FITTING_STEPS = 60
AUTO_STEP_ENTRIES = 2**20
"""With more probabilities than this in a step (many clusters), fewer steps are made."""

AUTO_BATCH_SIZE = 512
MAX_AUTO_BATCH_ENTRIES = 2**25
SAMPLES_PER_CLUSTER = 20
"""The entropy of the mean prediction is estimated in each batch: it needs so many samples."""

MAX_BATCH_ENTRIES = 2**23
"""Heads are trained together as long as their probabilities for a batch stay below this."""

DEFAULT_STARTS = (
    "best-k-means",
    "cut",
    "fine-cut",
    "k-means",
    "coarse-cut",
    "pivoted-cut",
    "pivoted-fine-cut",
    "k-means",
)


class Prior(NamedTuple):
    """What a head expects of the sizes of clusters."""

    weight: float
    """Weight of the entropy term, as a share of `entropy_weight`."""
    rate: float
    """How far the expected sizes move to the mean prediction in each step."""
    from_start: bool
    """Whether the expected sizes begin as those of the start instead of equal."""


PRIORS = {
    "balanced": Prior(weight=1.0, rate=0.0, from_start=False),
    "lenient": Prior(weight=0.2, rate=0.0, from_start=False),
    "estimated": Prior(weight=0.2, rate=0.05, from_start=True),
}

EFFORTS: dict[str, dict[str, Any]] = {
    "fast": {"n_heads": 9},
    "default": {"n_heads": 24},
    "best": {"n_heads": 72},
}
"""Parameters of `ClusterTrainer` for each effort."""


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
        One entry for each head and pass: head, start, prior, pass, consistency, entropy, loss.
    n_iter : int
        Passes over the data.
    """

    heads: LinearHeads
    best_head: int
    history: list[dict[str, Any]] = field(default_factory=list)
    n_iter: int = 0


class ClusterTrainer(BaseEstimator):
    """Train several cluster heads with the SCAN loss and keep the best, all without labels.

    Heads differ in where they start and in what they expect of the sizes of clusters. All are
    trained at once; the one that predicts is chosen by evidence that needs no labels.

    Parameters
    ----------
    scope : {"heads"}, default="heads"
        What is trained: linear heads on frozen features.
    n_heads : int, default=24
        Number of heads. The first start is combined with each prior, then the second, and so on.
    starts : sequence of str, default=("best-k-means", "cut", "fine-cut", "k-means", ...)
        Partitions from which heads start, used in turn: ``"k-means"``, ``"best-k-means"`` (of ten
        runs), normalised cuts of the neighbor graph (``"cut"``, ``"pivoted-cut"``), such cuts
        between small groups of samples (``"coarse-cut"``, ``"fine-cut"``,
        ``"pivoted-fine-cut"``) and ``"random"``.
    priors : sequence of {"balanced", "lenient", "estimated"}, \
            default=("balanced", "lenient", "estimated")
        What heads expect of the sizes of clusters. ``"balanced"`` is the paper's entropy term,
        which wants clusters of equal size; ``"lenient"`` gives it a fifth of the weight;
        ``"estimated"`` replaces equal sizes by those of the start and then follows the
        predictions.
    entropy_weight : float, default=5.0
        Weight of the entropy term of the SCAN loss.
    n_epochs : int or "auto", default="auto"
        Passes over the data; ``"auto"`` makes at least one and about 300 steps, or down to 60
        when there are many clusters.
    batch_size : int or "auto", default="auto"
        Samples in a batch; ``"auto"`` takes 512, or 20 for each cluster if that is more
        (with over 1,295 clusters, as many as make 2^25 probabilities).
    learning_rate : float, default=0.01
        Step of Adam, for features whose mean square is 1; it falls to zero along a cosine.
    selection : {"evidence", "scan_loss"}, default="evidence"
        How the head that predicts is found. ``"scan_loss"`` is the paper's rule: the lowest SCAN
        loss with entropy weight 1 over all samples and their nearest neighbors. ``"evidence"``
        asks first whether clusters are even: if a credible head with estimated prior ends with
        sizes whose entropy is at least 0.98 of the largest, the balanced head with the lowest SCAN
        loss is kept. If not, the other heads are compared by several criteria of the neighbor
        graph and of the distances.

    Notes
    -----
    Heads that leave clusters empty are set aside as long as others use more clusters.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skscan import ClusterTrainer, FeatureScaler, NeighborMiner
    >>> X, _ = make_blobs(200, centers=3, random_state=0, cluster_std=0.5)
    >>> features = FeatureScaler().fit_transform(X)
    >>> graph = NeighborMiner(10).fit_transform(features)
    >>> result = ClusterTrainer(n_heads=3).train(
    ...     features, graph, 3, random_state=np.random.RandomState(0)
    ... )
    >>> sorted(np.bincount(result.heads.predict(features, result.best_head)).tolist())
    [66, 67, 67]
    """

    _parameter_constraints: dict = {
        "scope": [StrOptions({"heads"})],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "starts": [list, tuple],
        "priors": [list, tuple],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "selection": [StrOptions({"evidence", "scan_loss"})],
    }

    def __init__(
        self,
        *,
        scope: str = "heads",
        n_heads: int = 24,
        starts: Sequence[str] = DEFAULT_STARTS,
        priors: Sequence[str] = ("balanced", "lenient", "estimated"),
        entropy_weight: float = 5.0,
        n_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 0.01,
        selection: str = "evidence",
    ) -> None:
        self.scope = scope
        self.n_heads = n_heads
        self.starts = starts
        self.priors = priors
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
            Distances to the mined neighbors; self may be among them.
        n_clusters : int
            At most n_samples.
        random_state : RandomState
            Source of every draw.
        device : str, default="cpu"
            Torch device on which heads are trained.
        n_jobs : int or None, default=None
            Threads; None is one for small data, where more cost time, and else leaves the
        numerical libraries at their own setting.
        verbose : int, default=0
            With 1, a progress bar is shown on stderr.

        Returns
        -------
        result : ClusterTrainingResult
        """
        self._validate_params()
        _check_names("starts", self.starts, START_KINDS)
        _check_names("priors", self.priors, PRIORS)
        if n_clusters == 1:
            return ClusterTrainingResult(_single_cluster(features.shape[1]), best_head=0)
        with limit_threads(suitable_n_jobs(n_jobs, features)):
            scale = float(np.sqrt(np.mean(np.square(features), dtype=np.float64))) or 1.0
            scaled = (features / np.float32(scale)).astype(np.float32, copy=False)
            table = neighbor_table(neighbors)
            maker = StartMaker(scaled, symmetric_affinity(table), n_clusters, random_state)
            plan = self._plan()
            starts = maker.make([kind for kind, _ in plan[:: len(self.priors)]])
            starts = [starts[head // len(self.priors)] for head in range(self.n_heads)]

            heads, history, n_epochs = self._fit(
                scaled, table, n_clusters, starts, plan, random_state, device, verbose
            )
            if self.selection == "scan_loss":
                best = int(scan_losses_of_heads(heads, scaled, table).argmin())
            else:
                best = head_with_best_evidence(
                    heads,
                    [prior for _, prior in plan],
                    scaled,
                    table,
                    unit_rows(maker.embedding),
                    self.entropy_weight,
                )
        heads = LinearHeads(heads.weights / np.float32(scale), heads.biases)
        return ClusterTrainingResult(heads, best, history, n_epochs)

    def _plan(self) -> list[tuple[str, str]]:
        """Start and prior of each head."""
        n_starts, n_priors = len(self.starts), len(self.priors)
        return [
            (self.starts[head // n_priors % n_starts], self.priors[head % n_priors])
            for head in range(self.n_heads)
        ]

    def _schedule(self, n_samples: int, n_clusters: int, n_steps: int) -> dict[str, int]:
        """Batch size and passes for about `n_steps` steps."""
        if isinstance(self.batch_size, str):
            affordable = max(MAX_AUTO_BATCH_ENTRIES // n_clusters, SAMPLES_PER_CLUSTER)
            wanted = min(SAMPLES_PER_CLUSTER * n_clusters, affordable)
            batch_size = max(AUTO_BATCH_SIZE, wanted)
        else:
            batch_size = self.batch_size
        n_batches = max(n_samples // batch_size, 1)
        return {"n_epochs": max(1, round(n_steps / n_batches)), "batch_size": batch_size}

    def _fit(
        self,
        features: NDArray[np.float32],
        table: NDArray[np.integer],
        n_clusters: int,
        starts: list[Start],
        plan: list[tuple[str, str]],
        random_state: np.random.RandomState,
        device: str,
        verbose: int,
    ) -> tuple[LinearHeads, list[dict[str, Any]], int]:
        import torch

        from skscan.training.batched_heads import BatchedHeads, center_heads

        generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
        inputs = torch.as_tensor(features, device=device)
        neighbors = torch.as_tensor(np.asarray(table, dtype=np.int64), device=device)
        label_schedule = self._schedule(len(features), n_clusters, LABEL_FITTING_STEPS)
        entries_per_head = 2 * min(label_schedule["batch_size"], len(features)) * n_clusters
        affordable = AUTO_STEPS * AUTO_STEP_ENTRIES // (entries_per_head * self.n_heads)
        n_steps = min(max(affordable, MIN_AUTO_STEPS), AUTO_STEPS)
        schedule = self._schedule(len(features), n_clusters, n_steps)
        if not isinstance(self.n_epochs, str):
            schedule["n_epochs"] = self.n_epochs

        group_size = max(MAX_BATCH_ENTRIES // entries_per_head, 1)
        groups = [
            range(first, min(first + group_size, self.n_heads))
            for first in range(0, self.n_heads, group_size)
        ]
        fitted, history = [], []
        n_passes = len(groups) * schedule["n_epochs"]
        with progress(total=n_passes, desc="clustering", unit="pass", verbose=verbose) as bar:
            for group in groups:
                labels = np.stack([starts[head].labels for head in group], axis=1)
                names = [plan[head][1] for head in group]
                weight, prior, rate = self._objective(labels, names, n_clusters)
                batched = BatchedHeads(center_heads(features, labels, n_clusters), device)
                batched.fit_labels(
                    inputs,
                    torch.as_tensor(labels.astype(np.int64), device=device),
                    learning_rate=self.learning_rate,
                    generator=generator,
                    **label_schedule,
                )
                passes = batched.fit_scan(
                    inputs,
                    neighbors,
                    weight,
                    prior,
                    rate,
                    learning_rate=self.learning_rate,
                    generator=generator,
                    **schedule,
                )
                for epoch, losses in enumerate(passes):
                    history += _history_entries(epoch, group, plan, losses)
                    bar.update()
                fitted.append(batched.to_numpy())
        heads = LinearHeads(
            np.concatenate([part.weights for part in fitted]),
            np.concatenate([part.biases for part in fitted]),
        )
        return heads, history, schedule["n_epochs"]

    def _objective(
        self, labels: NDArray[np.integer], names: list[str], n_clusters: int
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Entropy weight, prior sizes and rate of the prior of heads with these start labels."""
        priors = [PRIORS[name] for name in names]
        weight = np.array([self.entropy_weight * prior.weight for prior in priors])
        rate = np.array([prior.rate for prior in priors])
        sizes = np.full((len(names), n_clusters), 1 / n_clusters)
        for head, prior in enumerate(priors):
            if prior.from_start:
                counts = np.bincount(labels[:, head], minlength=n_clusters)
                sizes[head] = np.maximum(counts / counts.sum(), 0.01 / n_clusters)
        return weight, sizes / sizes.sum(axis=1, keepdims=True), rate


def _check_names(argument: str, names: Sequence[str], allowed: dict[str, Any]) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        got = f"unknown name {unknown[0]!r}" if unknown else "an empty sequence"
        raise ValueError(f"{argument} got {got}; choose from {', '.join(allowed)}.")


def _single_cluster(n_features: int) -> LinearHeads:
    return LinearHeads(np.zeros((1, 1, n_features), np.float32), np.zeros((1, 1), np.float32))


def _history_entries(
    epoch: int, group: range, plan: list[tuple[str, str]], losses: Any
) -> list[dict[str, Any]]:
    return [
        {
            "head": head,
            "start": plan[head][0],
            "prior": plan[head][1],
            "pass": epoch,
            "consistency": float(losses.consistency[column]),
            "entropy": float(losses.entropy[column]),
            "loss": float(losses.total[column]),
        }
        for column, head in enumerate(group)
    ]
