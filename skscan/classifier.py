"""A classifier for a few labels: the clusters of SCANClusterer, steered and named."""

from __future__ import annotations

import os
import time
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Memory
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import _num_samples, check_is_fitted

from skscan._device import resolve_device
from skscan._gaps import graph_between, rows_of, with_gaps
from skscan._progress import announce
from skscan._trust import TrustMixin
from skscan.calibration import ambiguous_rows
from skscan.class_names import encode_labels, extend_names, is_unknown, unknown_label
from skscan.clusterer import SCANClusterer
from skscan.constraints import Constraints, check_pairs
from skscan.exceptions import SkscanWarning
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.images import as_collection, is_feature_matrix
from skscan.parts import default_part, fill_parts
from skscan.prototypes import prototype_indices
from skscan.suggestion import suggest_samples
from skscan.training.new_classes import seed_new_classes

_OWN = {"n_clusters", "label_trainer"}
_COPIED = (
    "feature_extractor_",
    "feature_scaler_",
    "neighbors_",
    "skipped_",
    "n_features_in_",
    "n_iter_",
    "outlier_scores_",
    "outlier_indices_",
    "near_duplicates_",
    "_outlier_scorer",
)


class SCANClassifier(ClassifierMixin, TrustMixin):
    """Sort images, or feature vectors, into classes of which a few samples have labels.

    Clusters are found as by :class:`SCANClusterer`, without labels; a :class:`LabelTrainer` then
    learns the classes from the labels, the clusters and the neighbour graph. Labels, and pairs of
    samples that are of one class or not, are constraints: `labels_` obeys them.

    Parameters
    ----------
    n_clusters : int or None, default=None
        Number of classes; None is as many as y names, and fewer are raised to that with a warning.
        With more, the clusters that the labels say least of become classes with names of their
        own, see `classes_`.
    feature_extractor, feature_scaler, neighbor_miner, cluster_trainer
        As in :class:`SCANClusterer`.
    label_trainer : LabelTrainer, default=None
        Learns from the labels; None is :class:`LabelTrainer`.
    effort, memory, device, n_jobs, random_state, verbose
        As in :class:`SCANClusterer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in y, sorted, then names of further clusters: the next integers after numbers
        (y of 0, 1 and 4 with ``n_clusters=5`` gives 0, 1, 4, 5, 6), ``"new 1"``, ``"new 2"``, ...
        after strings.
    labels_ : ndarray of shape (n_samples,)
        Class of each training sample. Labelled samples keep their label, samples of `must_link`
        are of one class and those of `cannot_link` of different ones; for the others it is what
        `predict` gives. An image that could not be read has the label for unknown: -1, or
        ``"-1"`` when the classes are strings.
    probabilities_ : ndarray of shape (n_samples, n_classes), dtype float32
        Probability of each class, one-hot for labelled samples; `labels_` are the largest. NaN
        for an image that could not be read.
    ambiguous_indices_, outlier_scores_, outlier_indices_, near_duplicates_ : ndarray
        As in :class:`SCANClusterer`.
    is_labeled_ : ndarray of shape (n_samples,), dtype bool
        Whether the class of a sample is given in y or follows from it by `must_link`.
    neighbors_ : csr_matrix of shape (n_samples, n_samples)
        Mined neighbours: distances, each sample itself first as an explicit zero.
    prototype_indices_ : ndarray of shape (n_classes,)
        The most typical training sample of each class; -1 for an empty one.
    heads_ : MLPHeads
        The one head that predicts the classes.
    best_head_ : int
        Its index, 0.
    history_ : list of dict
        Losses of each pass, told apart by ``"stage"``: ``"clustering"`` and ``"labels"``.
    n_iter_ : int
        Passes that the heads were trained for without labels.
    feature_extractor_, feature_scaler_ : transformer
        The fitted parts; `feature_extractor_` is None after a fit on features.
    skipped_ : list of SkippedImage
        Images that could not be read, with reasons.
    timings_ : dict of str to float
        Seconds of each stage.
    n_features_in_ : int
        Number of features; after a fit on images, of those extracted.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X is a matrix with string column names.

    See Also
    --------
    SCANClusterer : Without labels.

    Notes
    -----
    Probabilities are those of the head, without a temperature: labels have taught it how sure to
    be, and what calibrates clusters made them worse.

    Unknown is -1 in y, as in :mod:`sklearn.semi_supervised`. Unlike there, labels may be an array
    of strings, in which ``"-1"`` is unknown; in an array of objects -1 and ``"-1"`` are.

    Cross-validation gives parts of X and y to `fit`, but pairs as they are, with indices that then
    mean other samples: leave pairs out there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.full(len(y), -1)
    >>> few[:50] = y[:50]
    >>> model = SCANClassifier(random_state=0).fit(X, few)
    >>> bool(model.score(X[50:], y[50:]) > 0.9)
    True
    >>> model.suggest(3).shape
    (3,)
    """

    _parameter_constraints: dict = {
        **{
            name: allowed
            for name, allowed in SCANClusterer._parameter_constraints.items()
            if name != "self_label_trainer"
        },
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "label_trainer": [None, HasMethods("train")],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        feature_extractor: Any = "default",
        feature_scaler: Any = None,
        neighbor_miner: Any = None,
        cluster_trainer: Any = None,
        label_trainer: Any = None,
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
        self.label_trainer = label_trainer
        self.effort = effort
        self.memory = memory
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> SCANClassifier:
        """Set parameters, also of parts: ``label_trainer__spreading=0.8``.

        A nested parameter of a part that is None or a name puts the default part, or the part of
        that name, there first.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator or, as ``part__parameter``, of its parts.

        Returns
        -------
        self : SCANClassifier
            The estimator.
        """
        return super().set_params(**fill_parts(self, params))

    def fit(self, X: Any, y: Any, must_link: Any = None, cannot_link: Any = None) -> SCANClassifier:
        """Learn classes from samples with and without labels.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Images in any of the accepted forms (array, paths, PIL images, folder, zip, torch data
            set), or a matrix of features.
        y : array-like of shape (n_samples,)
            Labels, in the order of X; -1 for unknown, or ``"-1"`` among strings.
        must_link : array-like of shape (n_pairs, 2) or None, default=None
            Pairs of indices of samples that are of one class, whichever it is.
        cannot_link : array-like of shape (n_pairs, 2) or None, default=None
            Pairs of indices of samples that are of different classes.

        Returns
        -------
        self : SCANClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If y has another length than X, has no label at all or one class only (without more
            `n_clusters`), or if labels and pairs contradict each other.

        Warns
        -----
        SkscanWarning
            If the pairs of `cannot_link` cannot all be obeyed with so many classes, or if
            `n_clusters` is less than the number of classes in y.
        """
        self._fit(X, y, must_link, cannot_link)
        return self

    def fit_transform(
        self, X: Any, y: Any, must_link: Any = None, cannot_link: Any = None
    ) -> np.ndarray:
        """Fit, and give the scaled features of X without extracting them again.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            As for :meth:`fit`.
        y : array-like of shape (n_samples,)
            As for :meth:`fit`.
        must_link, cannot_link : array-like of shape (n_pairs, 2) or None, default=None
            As for :meth:`fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), dtype float32
            As :meth:`transform`.
        """
        return self._fit(X, y, must_link, cannot_link)

    def predict(self, X: Any) -> np.ndarray:
        """Give the class of each sample.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the classifier was fitted on.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Classes, of `classes_`; -1, or ``"-1"`` when the classes are strings, for an image that
            could not be read.
        """
        return super().predict(X)

    def score(  # type: ignore[override]  # unlike that of a clusterer it needs y
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> float:
        """Give the accuracy on the samples whose class is known.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the classifier was fitted on.
        y : array-like of shape (n_samples,)
            True classes. Samples with -1, or ``"-1"`` among strings, are left out, so that a
            search over parameters can score with the labels that there are.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples.

        Returns
        -------
        score : float
            From 0 to 1. An image that could not be read counts as wrong.
        """
        labels = self.predict(X)
        y = column_or_1d(y)
        if y.shape != labels.shape:
            raise ValueError(f"y has shape {y.shape}, but X has {len(labels)} samples.")
        known = ~is_unknown(y)
        if not known.any():
            raise ValueError("score needs at least one sample whose class is known; y has none.")
        weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(np.average(labels[known] == y[known], weights=weight))

    def suggest(self, n_samples: int = 1) -> np.ndarray:
        """Name the training samples without labels whose labels would help most.

        They are uncertain, have many like them, and differ from each other and from the samples
        that have labels.

        Parameters
        ----------
        n_samples : int, default=1
            How many.

        Returns
        -------
        indices : ndarray of shape (n_samples,), dtype int64
            The most useful first.

        Raises
        ------
        ValueError
            If there are not so many samples without a label.
        """
        check_is_fitted(self, "labels_")
        read = ~np.isnan(self.probabilities_[:, 0])
        closed = self.is_labeled_[read]
        n_open = int((~closed).sum())
        if not n_open:
            raise ValueError("suggest has no sample to name: all that could be read have labels.")
        if not isinstance(n_samples, Integral) or not 1 <= n_samples <= n_open:
            raise ValueError(
                f"suggest got n_samples={n_samples!r}; give an integer from 1 to the number of "
                f"samples without a label, {n_open}."
            )
        rows = np.flatnonzero(read)
        affinity = symmetric_affinity(neighbor_table(graph_between(self.neighbors_, rows)))
        return rows[suggest_samples(affinity, self.probabilities_[read], closed, int(n_samples))]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags

    def _fit(self, X: Any, y: Any, must_link: Any, cannot_link: Any) -> np.ndarray:
        """Cluster, learn from the labels, keep the results; return the scaled features."""
        self._validate_params()
        if y is None:
            raise ValueError(
                "SCANClassifier requires y to be passed, but the target y is None. Give -1 for "
                "samples of unknown class; SCANClusterer needs no labels at all."
            )
        codes, names = encode_labels(y)
        n_samples = _num_samples(X) if is_feature_matrix(X) else len(as_collection(X))
        if n_samples != len(codes):
            raise ValueError(
                f"y has {len(codes)} labels for {n_samples} samples; give one for each, "
                "-1 for unknown. Found input variables with inconsistent numbers of samples."
            )
        n_clusters = self._number_of_clusters(names)
        classes = extend_names(names, n_clusters - len(names))
        constraints = Constraints.from_pairs(
            codes,
            check_pairs(must_link, "must_link", len(codes)),
            check_pairs(cannot_link, "cannot_link", len(codes)),
            names,
        )
        random_state = check_random_state(self.random_state)

        clusterer, Z = self._cluster(X, n_clusters, random_state)
        read = ~np.isnan(clusterer.probabilities_[:, 0])
        rows = np.flatnonzero(read)
        Z, graph = rows_of(Z, read), graph_between(clusterer.neighbors_, rows)
        known = constraints.subset(rows)
        self._check_readable(known, names)

        start = time.perf_counter()
        seeds = known
        if n_clusters > len(names):
            found = rows_of(clusterer.probabilities_, read)
            seeds = Constraints(seed_new_classes(found, known.labels), known.groups, known.apart)
        trainer = default_part("label_trainer", None, self.effort)
        if self.label_trainer is not None:
            trainer = clone(self.label_trainer)
        result = trainer.train(
            Z,
            graph,
            clusterer.heads_,
            seeds,
            n_clusters,
            random_state=random_state,
            device=resolve_device(self.device),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        self.timings_ = {**clusterer.timings_, "labels": time.perf_counter() - start}
        announce(f"labels: {self.timings_['labels']:.1f} s", self.verbose)

        self.classes_ = classes
        self.heads_ = result.heads
        self.best_head_ = 0
        self.history_ = clusterer.history_ + [
            {"stage": "labels", **entry} for entry in result.history
        ]
        probabilities = known.decide(self.heads_.predict_proba(Z, self.best_head_))
        prototypes = prototype_indices(Z, probabilities)
        self.prototype_indices_ = np.where(prototypes < 0, -1, rows[prototypes])
        self.probabilities_ = with_gaps(probabilities, read)
        self.labels_ = self._labels_from(self.probabilities_)
        self.ambiguous_indices_ = ambiguous_rows(self.probabilities_)
        self.is_labeled_ = constraints.labels >= 0
        return with_gaps(Z, read)

    def _cluster(
        self, X: Any, n_clusters: int, random_state: np.random.RandomState
    ) -> tuple[SCANClusterer, np.ndarray]:
        """Fit a clusterer without labels, and take over what it found out about X."""
        own = {n: v for n, v in self.get_params(deep=False).items() if n not in _OWN}
        own["random_state"] = random_state.randint(np.iinfo(np.int32).max)
        clusterer = SCANClusterer(n_clusters, **own, self_label_trainer="skip")
        with warnings.catch_warnings():
            # of no concern here: the classes are those that the labels name
            warnings.filterwarnings("ignore", ".*clusters are empty", SkscanWarning)
            Z = clusterer.fit_transform(X)
        for name in _COPIED:
            setattr(self, name, getattr(clusterer, name))
        if hasattr(clusterer, "feature_names_in_"):
            self.feature_names_in_ = clusterer.feature_names_in_
        elif hasattr(self, "feature_names_in_"):  # of an earlier fit on a table
            del self.feature_names_in_
        return clusterer, Z

    def _number_of_clusters(self, names: np.ndarray) -> int:
        if len(names) == 0:
            raise ValueError(
                "y has no label at all, only -1 for unknown; label at least one sample of each "
                "class, or sort without labels with SCANClusterer."
            )
        n_clusters = self.n_clusters or len(names)
        if max(n_clusters, len(names)) == 1:
            raise ValueError(
                f"y names one class only, {names.tolist()[0]!r}; label samples of a second class, "
                "or give n_clusters to let unlabelled clusters be classes of their own."
            )
        if n_clusters < len(names):
            warnings.warn(
                f"n_clusters={n_clusters} is less than the {len(names)} classes in y; "
                f"{len(names)} are used. Give at least so many, or None.",
                SkscanWarning,
                stacklevel=4,
            )
        return max(int(n_clusters), len(names))

    def _check_readable(self, known: Constraints, names: np.ndarray) -> None:
        missing = np.setdiff1d(np.arange(len(names)), known.labels)
        if missing.size:
            raise ValueError(
                f"no image with the label {names.tolist()[missing[0]]!r} could be read; see the "
                "warning on skipped images, and label another one."
            )

    def _names_of(self, clusters: np.ndarray) -> np.ndarray:
        unread = clusters < 0
        labels = self.classes_[np.where(unread, 0, clusters)]
        if unread.any():
            if labels.dtype.kind in "bu":
                labels = labels.astype(np.int64)
            labels[unread] = unknown_label(self.classes_)
        return labels
