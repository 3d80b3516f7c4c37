"""The stage that learns from a few labels: a probe, its spreading, and a head that sums them up."""

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

from skscan._progress import progress
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.constraints import Constraints
from skscan.graph import neighbor_table
from skscan.label_spreading import spread, weighted_affinity
from skscan.networks.heads import LinearHeads
from skscan.selection import size_evenness

__all__ = ["LabelTrainer", "LabelTrainingResult"]

BATCH_SIZE = 512
SAMPLES_PER_CLUSTER = 20
LEARNING_RATE = 0.01
SPREAD_NEIGHBORS = 10
EVEN_SIZES = 0.98
"""Class sizes count as even when their entropy is at least this share of its largest value."""

SMALLEST_SHARE = 1e-3
"""Of the samples, that the head expects in each class, as a multiple of an equal share."""


@dataclass(frozen=True)
class LabelTrainingResult:
    """What was learned from labels.

    Parameters
    ----------
    heads : LinearHeads
        The one head that predicts.
    history : list of dict
        One entry for each pass of the head: pass, consistency, entropy, loss.
    """

    heads: LinearHeads
    history: list[dict[str, Any]] = field(default_factory=list)


class LabelTrainer(BaseEstimator):
    r"""Learn classes from a few labels, the neighbor graph, and clusters found without labels.

    A logistic regression on the labelled samples sees the features and, beside them, the
    probabilities that each head of the clustering stage gives: directions in which the samples
    fall apart by themselves. Its predictions are spread over the neighbor graph, where given
    labels keep their say. A linear head is then trained on all samples to agree with what was
    spread and, as in SCAN, with their neighbors. Classes whose sizes turn out to be nearly equal
    (entropy at least 0.98 of the largest) are taken to be equal; else nothing is assumed of them.

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
    consistency_weight : float, default=1.0
        Weight of the SCAN loss beside the cross-entropy to the spread predictions. Its prior is
        the mean of these.
    n_steps : int, default=300
        About so many steps of the head, at least one pass over the data.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020.

    Huang et al., "Combining Label Propagation and Simple Models Out-performs Graph Neural
    Networks", ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import LabelTrainer, SCANClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1
    >>> model = SCANClassifier(label_trainer=LabelTrainer(n_steps=200), random_state=0).fit(X, y)
    >>> model.classes_
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "cluster_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "spreading": [Interval(Real, 0, 1, closed="left")],
        "sharpening": [Interval(Real, 0, None, closed="neither")],
        "consistency_weight": [Interval(Real, 0, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        C: float = 10.0,
        cluster_weight: float | str = "auto",
        spreading: float = 0.85,
        sharpening: float = 2.0,
        consistency_weight: float = 1.0,
        n_steps: int = 300,
    ) -> None:
        self.C = C
        self.cluster_weight = cluster_weight
        self.spreading = spreading
        self.sharpening = sharpening
        self.consistency_weight = consistency_weight
        self.n_steps = n_steps

    def train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        heads: LinearHeads,
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
        heads : LinearHeads
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
        scale = np.float32(np.sqrt(np.mean(np.square(features), dtype=np.float64))) or 1
        scaled = (features / scale).astype(np.float32, copy=False)
        table = neighbor_table(neighbors)
        affinity = weighted_affinity(scaled, table, SPREAD_NEIGHBORS)
        with limit_threads(suitable_n_jobs(n_jobs, features)):
            predictions = self._probe(features, scaled, heads, constraints, n_classes)
            targets = spread(affinity, predictions, constraints, share=self.spreading)
            if size_evenness(targets.argmax(axis=1), n_classes) >= EVEN_SIZES:
                targets = _with_equal_sizes(targets)
            targets = _sharpen(targets, self.sharpening)
            head, history = self._fit_head(scaled, table, targets, random_state, device, verbose)
        return LabelTrainingResult(LinearHeads(head.weights / scale, head.biases), history)

    def _probe(
        self,
        features: NDArray[np.float32],
        scaled: NDArray[np.float32],
        heads: LinearHeads,
        constraints: Constraints,
        n_classes: int,
    ) -> NDArray[np.floating]:
        """Predictions of a logistic regression on the labelled samples."""
        rows = constraints.labelled
        weight = self.cluster_weight
        if isinstance(weight, str):
            weight = (n_classes / len(rows)) ** (1 / 3)
        clusters = [heads.predict_proba(features, head) for head in range(len(heads))]
        beside = np.concatenate(clusters, axis=1)
        beside *= np.float32(weight) / np.linalg.norm(beside, axis=1, keepdims=True)
        inputs = np.hstack([scaled / np.float32(np.sqrt(scaled.shape[1])), beside])
        probe = LogisticRegression(C=self.C, max_iter=300)
        return probe.fit(inputs[rows], constraints.labels[rows]).predict_proba(inputs)

    def _fit_head(
        self,
        features: NDArray[np.float32],
        table: NDArray[np.integer],
        targets: NDArray[np.floating],
        random_state: np.random.RandomState,
        device: str,
        verbose: int,
    ) -> tuple[LinearHeads, list[dict[str, float]]]:
        """Fit a head to soft targets and to its own predictions for neighbors."""
        import torch

        from skscan.training.batched_heads import Adam, BatchedHeads, scan_gradient

        generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
        n_samples, n_classes = targets.shape
        inputs = torch.as_tensor(features, device=device)
        wanted = torch.as_tensor(targets.astype(np.float32), device=device)[:, :, None]
        neighbors = torch.as_tensor(np.asarray(table, dtype=np.int64), device=device)
        sizes = np.maximum(targets.mean(axis=0), SMALLEST_SHARE / n_classes)
        log_prior = torch.as_tensor(np.log(sizes / sizes.sum()), dtype=torch.float32)
        log_prior = log_prior[:, None].to(device)
        entropy_weight = torch.ones(1, device=device)
        zeros = np.zeros((1, n_classes, features.shape[1] + 1), dtype=np.float32)
        batched = BatchedHeads(LinearHeads(zeros[:, :, 1:], zeros[:, :, 0]), device)
        batch_size = min(max(BATCH_SIZE, SAMPLES_PER_CLUSTER * n_classes), n_samples)
        n_batches = n_samples // batch_size
        n_passes = max(1, round(self.n_steps / n_batches))
        adam = Adam(batched.parameters, LEARNING_RATE, n_passes * n_batches)
        history = []
        for pass_ in progress(range(n_passes), desc="labels", unit="pass", verbose=verbose):
            order = torch.randperm(n_samples, generator=generator)
            columns = torch.randint(table.shape[1], (n_samples, 1), generator=generator)
            partners = neighbors.gather(1, columns.to(device)).squeeze(1)
            for anchors in torch.tensor_split(order.to(device), n_batches):
                pairs = inputs[torch.cat([anchors, partners[anchors]])]
                probabilities = torch.softmax(batched.logits(pairs), dim=1)
                gradient, losses, _ = scan_gradient(probabilities, entropy_weight, log_prior)
                gradient *= self.consistency_weight
                difference = probabilities[: len(anchors)] - wanted[anchors]
                gradient[: len(anchors)] += difference / len(anchors)
                flat = gradient.reshape(len(pairs), -1)
                adam.step(torch.cat([pairs.T @ flat, flat.sum(dim=0, keepdim=True)]))
            history.append(
                {
                    "pass": pass_,
                    "consistency": float(losses.consistency),
                    "entropy": float(losses.entropy),
                    "loss": float(losses.total),
                }
            )
        return batched.to_numpy(), history


def _with_equal_sizes(
    probabilities: NDArray[np.floating], n_iter: int = 20
) -> NDArray[np.floating]:
    """Scale columns until all sum to nearly the same; rows keep summing to 1."""
    n_classes = probabilities.shape[1]
    balanced = probabilities
    for _ in range(n_iter):
        balanced = balanced / np.maximum(balanced.mean(axis=0) * n_classes, SMALLEST_SHARE)
        balanced /= balanced.sum(axis=1, keepdims=True)
    return balanced


def _sharpen(probabilities: NDArray[np.floating], power: float) -> NDArray[np.floating]:
    sharpened = probabilities**power
    return sharpened / sharpened.sum(axis=1, keepdims=True)
