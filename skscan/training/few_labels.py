"""The stage that learns from a few labels: a probe, its spreading, and a head that learns both."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import Interval, StrOptions

from skscan._blocks import root_mean_square, row_blocks
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.class_names import few_labels_of_many_classes
from skscan.constraints import Constraints
from skscan.graph import neighbor_table
from skscan.label_spreading import spread, weighted_affinity
from skscan.networks.heads import Heads
from skscan.networks.mlp_heads import MLPHeads
from skscan.selection import size_evenness
from skscan.training.soft_labels import fit_soft_labels, sharpened

__all__ = ["LabelTrainer", "LabelTrainingResult"]

SPREAD_NEIGHBORS = 10
EVEN_SIZES = 0.98
"""Class sizes count as even when their entropy is at least this share of its largest value."""

SMALLEST_SHARE = 1e-3
"""Of the samples, that a class is taken to have, as a multiple of an equal share."""


@dataclass(frozen=True)
class LabelTrainingResult:
    """What was learned from labels.

    Parameters
    ----------
    heads : MLPHeads
        The one head that predicts.
    history : list of dict
        One entry for each pass of each round: round, pass, loss.
    """

    heads: MLPHeads
    history: list[dict[str, Any]] = field(default_factory=list)


class LabelTrainer(BaseEstimator):
    r"""Learn classes from a few labels, the neighbor graph, and clusters found without labels.

    A logistic regression on the labelled samples sees the features and, beside them, the
    probabilities that each head of the clustering stage gives: directions in which the samples
    fall apart by themselves. Its predictions are spread over the neighbor graph, where given
    labels keep their say, and a head with a hidden layer learns from all samples what was spread.
    What that head predicts is spread again, and teaches a new head. Classes whose sizes turn out
    to be nearly equal (entropy at least 0.98 of the largest) are taken to be equal. Other sizes
    stay what the first spreading gives, so that no round lets large classes grow.

    Parameters
    ----------
    C : float, default=10.0
        Inverse strength of regularisation of the logistic regression, on features whose mean
        squared length is 1.
    cluster_weight : float or "auto", default="auto"
        Length of the vector of cluster probabilities beside features of length 1. ``"auto"`` is
        :math:`m^{-1/3}` for m labels a class: clusters say much when labels say little.
    spreading : float, default=0.85
        What neighbors have to say in spreading, from 0 to below 1.
    sharpening : float, default=2.0
        Spread predictions are raised to this power and normalised before the head learns them.
    n_rounds : int, default=2
        How many heads learn, one after the other; the last one predicts.
    n_hidden : int, default=256
        Width of the hidden layer.
    n_steps : int, default=200
        About so many steps of each head, at least one pass over the data.

    References
    ----------
    Huang et al., "Combining Label Propagation and Simple Models Out-performs Graph Neural
    Networks", ICLR 2021.

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
    Networks", ICML 2013 workshop.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import LabelTrainer, SCANClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1
    >>> model = SCANClassifier(label_trainer=LabelTrainer(n_steps=100), random_state=0).fit(X, y)
    >>> model.classes_
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "cluster_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "spreading": [Interval(Real, 0, 1, closed="left")],
        "sharpening": [Interval(Real, 0, None, closed="neither")],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        C: float = 10.0,
        cluster_weight: float | str = "auto",
        spreading: float = 0.85,
        sharpening: float = 2.0,
        n_rounds: int = 2,
        n_hidden: int = 256,
        n_steps: int = 200,
    ) -> None:
        self.C = C
        self.cluster_weight = cluster_weight
        self.spreading = spreading
        self.sharpening = sharpening
        self.n_rounds = n_rounds
        self.n_hidden = n_hidden
        self.n_steps = n_steps

    def train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        heads: Heads,
        constraints: Constraints,
        n_classes: int,
        *,
        random_state: np.random.RandomState,
        device: str = "cpu",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> LabelTrainingResult:
        """Train on all samples, of which some have labels.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        neighbors : csr_matrix of shape (n_samples, n_samples)
            Distances to the mined neighbors; self may be among them.
        heads : Heads
            Trained on the features without labels.
        constraints : Constraints
            Labels, at least one for each class, and pairs.
        n_classes : int
            At least 2.
        random_state : RandomState
            Source of every draw.
        device : str, default="cpu"
        n_jobs : int or None, default=None
            Threads; None is one for small data, and else leaves the numerical libraries at their
            own setting.
        verbose : int, default=0
            With 1, a progress bar is shown on stderr.

        Returns
        -------
        result : LabelTrainingResult
        """
        self._validate_params()
        scale = np.float32(root_mean_square(features))
        scaled = (features / scale).astype(np.float32, copy=False)
        affinity = weighted_affinity(scaled, neighbor_table(neighbors), SPREAD_NEIGHBORS)
        history: list[dict[str, Any]] = []
        with limit_threads(suitable_n_jobs(n_jobs, features)):
            predictions = self._probe(features, scaled, heads, constraints, n_classes)
            for round_ in range(self.n_rounds):
                spread_out = spread(affinity, predictions, constraints, share=self.spreading)
                targets = sharpened(spread_out, self.sharpening)
                if round_ == 0:
                    sizes = _sizes(targets)
                head, passes = fit_soft_labels(
                    scaled,
                    _with_sizes(targets, sizes),
                    n_hidden=self.n_hidden,
                    n_steps=self.n_steps,
                    seed=int(random_state.randint(2**31 - 1)),
                    device=device,
                    verbose=verbose,
                )
                history += [{"round": round_, **entry} for entry in passes]
                predictions = head.predict_proba(scaled)
        return LabelTrainingResult(head.for_scale(float(scale)), history)

    def _probe(
        self,
        features: NDArray[np.float32],
        scaled: NDArray[np.float32],
        heads: Heads,
        constraints: Constraints,
        n_classes: int,
    ) -> NDArray[np.floating]:
        """Predictions of a logistic regression on the labelled samples."""
        rows = constraints.labelled
        weight = self.cluster_weight
        if isinstance(weight, str):
            weight = (n_classes / len(rows)) ** (1 / 3)

        def inputs(rows: NDArray[np.integer] | slice) -> NDArray[np.float32]:
            clusters = [heads.predict_proba(features[rows], head) for head in range(len(heads))]
            beside = np.concatenate(clusters, axis=1)
            beside *= np.float32(weight) / np.linalg.norm(beside, axis=1, keepdims=True)
            return np.hstack([scaled[rows] / np.float32(np.sqrt(scaled.shape[1])), beside])

        probe = LogisticRegression(C=self.C, max_iter=300)
        with few_labels_of_many_classes():
            probe.fit(inputs(rows), constraints.labels[rows])
        width = scaled.shape[1] + len(heads) * heads.n_clusters
        blocks = row_blocks(len(features), width)
        return np.concatenate([probe.predict_proba(inputs(block)) for block in blocks])


def _sizes(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Shares of the samples that the classes are taken to have."""
    n_classes = probabilities.shape[1]
    if size_evenness(probabilities.argmax(axis=1), n_classes) >= EVEN_SIZES:
        return np.full(n_classes, 1 / n_classes)
    return probabilities.mean(axis=0)


def _with_sizes(
    probabilities: NDArray[np.floating], sizes: NDArray[np.floating], n_iter: int = 20
) -> NDArray[np.floating]:
    """Scale columns until their means are nearly the sizes; rows keep summing to 1."""
    smallest = SMALLEST_SHARE / len(sizes)
    fitted = probabilities
    for _ in range(n_iter):
        fitted = fitted * (sizes / np.maximum(fitted.mean(axis=0), smallest))
        fitted /= fitted.sum(axis=1, keepdims=True)
    return fitted
