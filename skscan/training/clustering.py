"""The clustering stage: heads, or a whole network, trained to agree with neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skscan._threads import limit_threads, suitable_n_jobs
from skscan.networks.heads import LinearHeads
from skscan.training.head_clustering import CLASS_PRIORS, train_heads
from skscan.training.network_settings import NetworkTraining, check_scope
from skscan.training.results import ClusterTrainingResult
from skscan.training.starts import START_KINDS

__all__ = ["ClusterTrainer", "ClusterTrainingResult"]

EFFORTS: dict[str, dict[str, Any]] = {
    "fast": {"n_heads": 9},
    "default": {"n_heads": 24},
    "best": {"n_heads": 24},
}
"""Parameters of `ClusterTrainer` for each effort."""


_ONLY_NETWORK = {"network": None}
_ONLY_HEADS = {"objective": "scan"}


class ClusterTrainer(BaseEstimator):
    """Train cluster heads and keep the best, all without labels.

    With ``scope="heads"`` heads are trained on frozen features, by default linear ones with the
    SCAN loss. Heads differ in where they start and in what they expect of the sizes of clusters.
    All are trained at once; the one that predicts is chosen by evidence that needs no labels.

    With ``scope="network"`` the network of the feature extractor is trained too, on strongly
    augmented images, as in the paper. Unless ``starts=("random",)``, heads are first trained on
    its frozen features as above, and the one that is chosen goes on with the network.

    Parameters
    ----------
    scope : {"heads", "network"}, default="heads"
        What is trained: linear heads on frozen features, or these and the network.
    objective : {"scan", "temi", "turtle"} or objective, default="scan"
        What heads on frozen features are trained for: a name for its defaults, or a
        `ScanObjective`, `TemiObjective` or `TurtleObjective`. Heads of all objectives are chosen
        among in the same way.
    n_heads : int, default=24
        Number of heads. The first start is combined with each way of expecting sizes, then the
        second, and so on.
        In the network all train together with ``starts=("random",)``: the paper has 1 for small
        images, 10 for ImageNet.
    starts : "auto" or sequence of str, default="auto"
        Partitions from which heads start, used in turn: ``"k-means"``, ``"best-k-means"`` (of ten
        runs), a normalised cut of the neighbor graph (``"cut"``), such cuts between small groups
        of samples (``"coarse-cut"``, ``"fine-cut"``), k-means on the diffusion map
        (``"diffusion-cut"``), small groups of samples merged by the information that they have of
        neighbors (``"merge"``, and ``"rare-merge"``, which spares rare classes), k-means on
        features averaged over neighbors once (``"smooth-k-means"``) or twice
        (``"smoother-k-means"``) and ``"random"``. ``"auto"`` is all of these up to 200 clusters but
        the last three, and with more clusters, for which cuts and merges would take too long,
        ``("smooth-k-means", "k-means", "smoother-k-means")``; k-means is then run once, for 30
        steps, on at most 256 samples for each cluster.
        In the network ``("random",)`` is the paper's start: heads with random weights. Other
        objectives than SCAN's start from partitions only if their `start` says so.
    class_prior : {"auto", "uniform", "estimate"} or array-like of shape (n_clusters,), \
            default="auto"
        SCAN only. How large clusters are expected to be. ``"uniform"`` is the paper's entropy term,
        which wants clusters of equal size. ``"estimate"`` takes the sizes of the start and then
        follows the predictions, with a fifth of the weight. An array gives the shares of the
        classes, or any multiples of them, in any order: the largest belongs to the cluster that is
        largest at the start.
        ``"auto"`` trains every third head in the first way, every third with a fifth of that
        weight, every third in the second way, and leaves it to the selection. A network that
        begins with a head on frozen features is drawn to equal or given sizes if that head was,
        else to the sizes that it has found.
    entropy_weight : float, default=5.0
        SCAN only. Weight of the entropy term of the loss.
    n_epochs : int or "auto", default="auto"
        Passes over the data. ``"auto"`` makes at least one and about 300 steps of the heads, or
        down to 60 when there are many clusters; 50 passes of the network. Other objectives, and
        heads with hidden layers, say in their notes what they make of ``"auto"`` here and below.
    batch_size : int or "auto", default="auto"
        Samples in a batch. ``"auto"`` takes 512 for heads (with over 1,295 clusters, as many as
        make 2^25 probabilities) and 128 for the network, or 20 for each cluster if that is more.
    learning_rate : float or "auto", default="auto"
        For heads, of Adam and features whose mean square is 1, 0.01: it falls to zero along a
        cosine. For the network it is constant, and 0.0001 with Adam.
    selection : {"evidence", "scan_loss"}, default="evidence"
        How the head on frozen features is chosen. ``"scan_loss"`` is the paper's rule: the lowest
        SCAN loss with entropy weight 1 over all samples and their nearest neighbors.
        ``"evidence"`` compares heads by information and modularity of the neighbor graph, by how
        many of the nearest neighbors share a cluster, and by how sparse samples are at the
        boundaries of clusters, as standard scores added up. Those with estimated sizes are left
        out where lenient ones stay even and others are clearly more modular. The balanced head
        with the lowest loss, weighed as in training, is kept unless the best of all has more
        information, by at least 1.5 % of the most that clusters can have.
        See `SCANClusterer.selection_report_` for these figures. Epochs of a
        network, and heads that start at random in it, are compared by the SCAN loss; with
        ``"evidence"`` only among those that use the most clusters.
    network : NetworkTraining or None, default=None
        Network only. What of it is trained, augmentation, optimiser, precision, checkpoints; None
        is the paper's.

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
        "scope": [StrOptions({"heads", "network"})],
        "objective": [StrOptions({"scan", "temi", "turtle"}), HasMethods("fit")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "starts": [list, tuple, StrOptions({"auto"})],
        "class_prior": [StrOptions(set(CLASS_PRIORS)), "array-like"],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "selection": [StrOptions({"evidence", "scan_loss"})],
        "network": [NetworkTraining, None],
    }

    def __init__(
        self,
        *,
        scope: str = "heads",
        objective: Any = "scan",
        n_heads: int = 24,
        starts: str | Sequence[str] = "auto",
        class_prior: str | ArrayLike = "auto",
        entropy_weight: float = 5.0,
        n_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        selection: str = "evidence",
        network: NetworkTraining | None = None,
    ) -> None:
        self.scope = scope
        self.objective = objective
        self.n_heads = n_heads
        self.starts = starts
        self.class_prior = class_prior
        self.entropy_weight = entropy_weight
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.selection = selection
        self.network = network

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
        images: Any = None,
        extractor: Any = None,
        validation_images: Any = None,
        spaces: Sequence[int] | None = None,
        memory: Any = None,
    ) -> ClusterTrainingResult:
        """Train on features and their neighbor graph, and for a network on the images.

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
            Torch device to train on.
        n_jobs : int or None, default=None
            Threads; None is one for heads on small data, where more cost time, and else leaves
            the numerical libraries at their own setting.
        verbose : int, default=0
            With 1, a progress bar is shown on stderr.
        images : images or None, default=None
            Those that the features come from; a network needs them.
        extractor : transformer or None, default=None
            The fitted extractor of the features, whose `network_` is trained.
        validation_images : images or None, default=None
            By which the epochs of a network are compared; None is the training images. The paper
            takes the test images, without their labels.
        spaces : sequence of int or None, default=None
            Widths of the feature spaces that stand side by side in the columns of `features`; None
            is one space.
        memory : object with the joblib.Memory interface, or None, default=None
            Where the steps of a long training are kept: with at least 2^22 samples times clusters,
            the starts, every group of heads on frozen features, and what they are chosen by. A
            training that was ended goes on from there when it is called with the same arguments.

        Returns
        -------
        result : ClusterTrainingResult
            After the training of a network its heads work on the features of its extractor.
        """
        self._validate_params()
        if not isinstance(self.starts, str):
            _check_names("starts", self.starts, START_KINDS)
        self._check_class_prior(n_clusters)
        check_scope(self, _ONLY_NETWORK, _ONLY_HEADS)
        if n_clusters == 1:
            return ClusterTrainingResult(_single_cluster(features.shape[1]), best_head=0)
        arguments = (features, neighbors, n_clusters)
        if self.scope == "heads":
            with limit_threads(suitable_n_jobs(n_jobs, features)):
                return train_heads(self, *arguments, random_state, device, verbose, spaces, memory)
        from skscan.training.network_clustering import train_network

        given = (images, extractor, validation_images)
        with limit_threads(n_jobs):
            return train_network(self, *arguments, *given, random_state, device, n_jobs, verbose)

    def _check_class_prior(self, n_clusters: int) -> None:
        if isinstance(self.class_prior, str):
            return
        shares = np.asarray(self.class_prior)
        numbers = shares.shape == (n_clusters,) and shares.dtype.kind in "iuf"
        if not numbers or shares.min() <= 0 or not np.isfinite(shares).all():
            raise ValueError(
                f"class_prior={self.class_prior!r} must be one of {', '.join(CLASS_PRIORS)}, or a "
                f"positive share for each of the n_clusters={n_clusters} clusters, a number that "
                "has to be given then."
            )


def _check_names(argument: str, names: Sequence[str], allowed: dict[str, Any]) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        got = f"unknown name {unknown[0]!r}" if unknown else "an empty sequence"
        raise ValueError(f"{argument} got {got}; choose from {', '.join(allowed)}.")


def _single_cluster(n_features: int) -> LinearHeads:
    return LinearHeads(np.zeros((1, 1, n_features), np.float32), np.zeros((1, 1), np.float32))
