"""The main estimator: images or features in, classes out."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Memory
from scipy.sparse import csr_matrix
from sklearn.base import (
    BaseEstimator,
    ClusterMixin,
    clone,
)
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skscan._caching import checked_memory
from skscan._cutting import CuttingMixin
from skscan._device import resolve_device
from skscan._files import release_pages
from skscan._gaps import graph_with_gaps, readable_rows, rows_of, with_gaps
from skscan._matrices import cached_fit_transform, cached_graph, check_features
from skscan._progress import announce
from skscan._trust import TrustMixin
from skscan.duplicates import near_duplicates
from skscan.exceptions import SkippedImagesWarning, TooFewSamplesError
from skscan.parts import (
    default_part,
    fill_parts,
    inherit_settings,
    trains_a_network,
    with_spaces,
)

if TYPE_CHECKING:
    from skscan.images import ImageCollection, SkippedImage


class SCANClusterer(CuttingMixin, TrustMixin, ClusterMixin, BaseEstimator):
    """Sort images, or feature vectors, into semantic classes without labels.

    Features are extracted by a frozen network, brought to one scale, and joined to their nearest
    neighbours; linear heads are trained so that neighbours fall into the same cluster (the SCAN
    loss), the best head is picked without labels, and learns what neighbours are taken for.

    Parameters
    ----------
    n_clusters : int, "auto" or ClusterCountSearch, default=8
        Number of classes to sort into. ``"auto"`` is :class:`ClusterCountSearch`, which looks for
        the number, at least 2, and takes its first proposal; the others are a :meth:`cut` away.
    feature_extractor : "default", str, transformer or list, default="default"
        How images become features; not used for a feature matrix. ``"default"`` is
        :class:`DefaultFeatureExtractor`: the embedded backbone, and for grey images that, pixels
        or both, whichever label-free evidence favours. ``"pixels"`` is
        :class:`PixelFeatureExtractor`, another string the name of a timm model. Any transformer
        from images to a 2-D matrix serves too. A list of names and transformers puts their
        features side by side, each scaled on its own. Where an extractor averages several views
        (`n_views`), clusters are found on the images as they are, and averages are sorted into
        them.
    feature_scaler : transformer, default=None
        Prepares the features; None is :class:`FeatureScaler`.
    neighbor_miner : transformer, default=None
        Gives the neighbour graph of the scaled features; None is :class:`NeighborMiner`.
    cluster_trainer : ClusterTrainer, default=None
        Trains the heads; None is the :class:`ClusterTrainer` of the chosen effort.
    self_label_trainer : NeighborLabelTrainer, SelfLabelTrainer or "skip", default=None
        Refines the best head; None is :class:`NeighborLabelTrainer`, ``"skip"`` leaves it out. The
        paper's third stage is :class:`SelfLabelTrainer`.
    effort : {"fast", "default", "best"}, default="default"
        How much is tried. With ``"best"``, the default extractor sees each image and its mirror
        image at 128 and at 176 pixels, whose features stand side by side (at 128 alone where the
        network is trained too); an extractor that is given by another name averages four views.
        With ``"fast"``, fewer heads are trained when `cluster_trainer` is None.
    memory : str, path-like or object with the joblib.Memory interface, default=None
        Where to cache features and neighbours, keyed by the data and the parameters that matter;
        with at least 2^22 samples times clusters also starts and groups of heads, so that a fit
        that was ended goes on.
    device : str, default="auto"
        Torch device; ``"auto"`` is the accelerator when there is one. Handed to parts that
        have a `device` of ``"auto"``.
    n_jobs : int, default=None
        Parallel workers, handed to parts whose own `n_jobs` is None.
    random_state : int, RandomState instance or None, default=None
        Rules every draw: the same seed on the same machine gives the same labels.
    verbose : int, default=0
        With 1, stages are announced and progress is shown on stderr.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), dtype int64
        Cluster of each training sample; -1 for an image that could not be read.
    probabilities_ : ndarray of shape (n_samples, n_clusters), dtype float32
        Probability of each cluster; NaN for an image that could not be read.
    neighbors_ : csr_matrix of shape (n_samples, n_samples)
        Mined neighbours: distances, each sample itself first as an explicit zero.
    prototype_indices_ : ndarray of shape (n_clusters,)
        The most typical training sample of each cluster; -1 for an empty one.
    temperature_ : float
        What logits are divided by for `predict_proba`, so that the mean confidence is the share of
        neighbours on whose cluster the better heads agree. It changes no label.
    ambiguous_indices_ : ndarray of shape (n_ambiguous,), dtype int64
        Samples whose second cluster is at least half as probable as the first, least certain first.
    outlier_scores_ : ndarray of shape (n_samples,), dtype float32
        How far each sample is from the others, see :meth:`outlier_scores`; NaN for unread images.
    outlier_indices_ : ndarray of shape (n_outliers,), dtype int64
        Samples whose score stands out, the most outlying first; not groups of more than ten that
        are alike.
    near_duplicates_ : ndarray of shape (n_pairs, 2), dtype int64
        Pairs of samples that are nearer than neighbours are by chance: copies, other crops, shots
        in a row. They inflate the purity of neighbours. See `skscan.duplicates`.
    n_clusters_ : int
        Number of classes, given or found.
    cluster_count_ : ClusterCountCurve
        Evidence for each number of classes, when that was searched for; ``print`` shows it.
    merge_tree_ : MergeTree
        Small groups of samples and how they merge, when the number of classes was searched for.
    heads_ : LinearHeads, MLPHeads or AveragedHeads
        All trained heads; the last one is that of the third stage, if it was accepted.
    best_head_ : int
        Which of them predicts.
    history_ : list of dict
        Loss of each head and pass, then of the third stage, told apart by ``"stage"``; last,
        whether its head was accepted, and the reason.
    selection_report_ : list of dict
        For each head of the clustering stage, in the order of `heads_`: start, prior, what it was
        compared by (information, modularity, sparseness, agreement) with the sum of their standard
        scores as ``"score"`` (``-inf`` for heads that leave clusters empty which others use),
        other label-free criteria to look at, and whether it was chosen to go on with.
    n_iter_ : int
        Passes that the heads were trained for.
    feature_extractor_, feature_scaler_ : transformer
        The fitted parts; `feature_extractor_` is None after a fit on features. After a training
        with ``scope="network"`` they give the features of the trained network, unscaled.
    skipped_ : list of SkippedImage
        Images that could not be read, with reasons.
    timings_ : dict of str to float
        Seconds of each stage.
    n_features_in_ : int
        Number of features; after a fit on images, of those extracted.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X is a matrix with string column names.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(X)
    >>> clusterer.predict_proba(X).shape
    (1797, 10)
    """

    _parameter_constraints: dict = {
        "n_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            HasMethods("search"),
        ],
        "feature_extractor": [str, list, tuple, HasMethods(["fit", "transform"])],
        "feature_scaler": [None, HasMethods(["fit_transform", "transform"])],
        "neighbor_miner": [None, HasMethods("fit_transform")],
        "cluster_trainer": [None, HasMethods("train")],
        "self_label_trainer": [None, StrOptions({"skip"}), HasMethods("train")],
        "effort": [StrOptions({"fast", "default", "best"})],
        "memory": [None, str, os.PathLike, HasMethods("cache")],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters: Any = 8,
        *,
        feature_extractor: Any = "default",
        feature_scaler: Any = None,
        neighbor_miner: Any = None,
        cluster_trainer: Any = None,
        self_label_trainer: Any = None,
        effort: str = "default",
        memory: str | os.PathLike | Memory | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.feature_extractor = feature_extractor
        self.feature_scaler = feature_scaler
        self.neighbor_miner = neighbor_miner
        self.cluster_trainer = cluster_trainer
        self.self_label_trainer = self_label_trainer
        self.effort = effort
        self.memory = memory
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> SCANClusterer:
        """Set parameters, also of parts: ``cluster_trainer__n_heads=10``.

        A nested parameter of a part that is None or a name puts the default part, or the part of
        that name, there first.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator or, as ``part__parameter``, of its parts.

        Returns
        -------
        self : SCANClusterer
            The estimator.
        """
        return super().set_params(**fill_parts(self, params))

    def fit(self, X: Any, y: Any = None) -> SCANClusterer:
        """Sort X into classes.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Images in any of the accepted forms (array, paths, PIL images, folder, zip, torch data
            set), or a matrix of features.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : SCANClusterer
            The fitted clusterer.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and give the scaled features of X without extracting them again.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            As for :meth:`fit`.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), dtype float32
            As :meth:`transform`.
        """
        return self._fit(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags

    def _fit(self, X: Any) -> np.ndarray:
        """Run the stages in order and keep their results; return the scaled features."""
        self._validate_params()
        random_state = check_random_state(self.random_state)
        memory = checked_memory(self.memory)
        self.timings_: dict[str, float] = {}

        with self._stage("extraction"):
            features, averages, read, images = self._fit_features(X, memory, random_state)
            frozen_extractor = self.feature_extractor_
        n_samples = int(read.sum())
        if n_samples < 2:
            raise TooFewSamplesError(
                f"SCANClusterer needs at least 2 samples, got X with {n_samples} sample."
            )
        searched = not isinstance(self.n_clusters, Integral)
        if not searched and n_samples < self.n_clusters:
            raise TooFewSamplesError(
                f"n_clusters={self.n_clusters} must not be more than the number of samples, "
                f"got X with n_samples={n_samples}."
            )
        with self._stage("scaling"):
            scaler = self._part("feature_scaler", random_state)
            scaler = with_spaces(scaler, self.feature_extractor_)
            self.feature_scaler_, Z = cached_fit_transform(memory, scaler, rows_of(features, read))
            Z = np.ascontiguousarray(Z, dtype=np.float32)
            release_pages(features)
        with self._stage("mining"):
            miner = self._part("neighbor_miner", random_state)
            graph = cached_graph(memory, miner, Z)
            del miner  # its index is as large as the features
        n_clusters, scaled = self.n_clusters, Z
        self._forget_search()
        if searched:
            with self._stage("cluster_count"):
                n_clusters = self._search_n_clusters(Z, graph, read, random_state)
        with self._stage("clustering"):
            trainer = self._part("cluster_trainer", random_state)
            surroundings = self._surroundings(trainer, random_state, images)
            if "memory" in inspect.signature(trainer.train).parameters:
                surroundings["memory"] = memory
            if hasattr(self.feature_scaler_, "spaces_"):
                surroundings["spaces"] = self.feature_scaler_.spaces_
            result = trainer.train(Z, graph, n_clusters, **surroundings)
            Z = self._features_of_heads(result, images, Z)
        self.heads_, self.best_head_ = result.heads, int(result.best_head)
        self.selection_report_ = list(getattr(result, "report", []))
        self.history_ = [{"stage": "clustering", **entry} for entry in result.history]
        self.n_iter_ = int(result.n_iter)
        if self.self_label_trainer != "skip":
            with self._stage("self_labeling"):
                Z = self._self_label(Z, graph, random_state, images)
        if averages is not None and self.feature_extractor_ is frozen_extractor:
            features = averages  # as in predict
            Z = self.feature_scaler_.transform(rows_of(features, read))

        with self._stage("evidence"):
            self.neighbors_ = graph_with_gaps(graph, read)
            self.near_duplicates_ = near_duplicates(self.neighbors_)
            self._keep_predictions(Z, read)
            self._keep_outliers(Z, rows_of(features, read), graph if Z is scaled else None, read)
        if searched:
            self._training_features = Z  # what `cut` fits heads on
        return with_gaps(Z, read)

    def _surroundings(
        self, trainer: Any, random_state: np.random.RandomState, images: ImageCollection | None
    ) -> dict[str, Any]:
        """Arguments that all trainers take; those of whole networks also get the images."""
        surroundings: dict[str, Any] = {
            "random_state": random_state,
            "device": resolve_device(self.device),
            "n_jobs": self.n_jobs,
            "verbose": self.verbose,
        }
        if getattr(trainer, "scope", "heads") == "network":
            surroundings |= {"images": images, "extractor": self.feature_extractor_}
        return surroundings

    def _features_of_heads(
        self, result: Any, images: ImageCollection | None, Z: np.ndarray
    ) -> np.ndarray:
        """Features that trained heads work on: of the network, when it was trained too."""
        extractor = getattr(result, "extractor", None)
        if extractor is None or images is None:
            return Z
        n_views = getattr(self.feature_extractor_, "n_views", 1)
        extractor.set_params(
            device=self.device, n_jobs=self.n_jobs, n_views=n_views, verbose=self.verbose
        )
        self.feature_extractor_ = extractor.fit(images)  # which chooses its engine
        self.feature_scaler_ = FunctionTransformer()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedImagesWarning)  # said at the first extraction
            features, skipped = extractor.extract(images)
        self.n_features_in_ = features.shape[1]
        return rows_of(features, readable_rows(len(features), skipped))

    def _self_label(
        self,
        Z: np.ndarray,
        graph: csr_matrix,
        random_state: np.random.RandomState,
        images: ImageCollection | None,
    ) -> np.ndarray:
        trainer = self._part("self_label_trainer", random_state)
        result = trainer.train(
            Z,
            graph,
            self.heads_,
            self.best_head_,
            **self._surroundings(trainer, random_state, images),
        )
        self.history_ += [{"stage": "self_labeling", **entry} for entry in result.history]
        self.history_.append(
            {"stage": "self_labeling", "accepted": result.accepted, "reason": result.reason}
        )
        announce(f"self-labeling: {result.reason}", self.verbose)
        if not result.accepted:
            return Z
        features = self._features_of_heads(result, images, Z)
        if features is Z:
            self.best_head_ = len(self.heads_)
            self.heads_ = self.heads_.join(result.heads)
        else:  # the earlier heads know other features
            self.best_head_, self.heads_ = 0, result.heads
        return features

    def _fit_features(
        self, X: Any, memory: Memory, random_state: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, ImageCollection | None]:
        """Fit the extractor; give features, averages of views, which rows were read, images."""
        from skscan.images import as_collection, is_feature_matrix

        if is_feature_matrix(X):
            self.feature_extractor_ = None
            self.skipped_: list[SkippedImage] = []
            features = check_features(self, X)
            return features, None, np.ones(len(features), dtype=bool), None
        from skscan._features import fit_extractor

        images = as_collection(X)
        extractor = self._part("feature_extractor", random_state)
        self.feature_extractor_, features, averages, self.skipped_ = fit_extractor(
            extractor, images, X, memory
        )
        self.n_features_in_ = features.shape[1]
        if hasattr(self, "feature_names_in_"):  # of an earlier fit on a table
            del self.feature_names_in_
        return features, averages, readable_rows(len(features), self.skipped_), images

    def _part(self, name: str, random_state: np.random.RandomState) -> Any:
        current = getattr(self, name)
        if current is None or isinstance(current, (str, list, tuple)):
            # a network that is trained must be one, seeing images at one size
            several = not trains_a_network(self)
            part = default_part(name, current, self.effort, several_sizes=several)
        else:
            part = clone(current)
        return inherit_settings(part, self, random_state)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        announce(f"{name.replace('_', '-')} …", self.verbose)
        start = time.perf_counter()
        yield
        self.timings_[name] = time.perf_counter() - start
        announce(f"{name.replace('_', '-')}: {self.timings_[name]:.1f} s", self.verbose)
