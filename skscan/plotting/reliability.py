"""Whether a probability of 0.8 is right eight times of ten."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skscan.metrics import match_clusters
from skscan.plotting._axes import INK, MUTED, axes_of, check_matplotlib

__all__ = ["ReliabilityDisplay"]


class ReliabilityDisplay:
    """Confidence beside the share that is right, for samples of like confidence.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. Labels are needed, for the picture
    alone.

    Parameters
    ----------
    confidence : ndarray of shape (n_bins,)
        Mean confidence of the samples in each bin; NaN for an empty one.
    accuracy : ndarray of shape (n_bins,)
        Share of them that is right; NaN for an empty one.
    share : ndarray of shape (n_bins,)
        Share of all samples that is in the bin.

    Attributes
    ----------
    calibration_error : float
        Mean distance of confidence and accuracy over the samples' bins, as
        :func:`skscan.metrics.expected_calibration_error`.
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    bars_ : matplotlib BarContainer
        Accuracy of each bin.

    Examples
    --------
    >>> from skscan.plotting import ReliabilityDisplay
    >>> probabilities = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]
    >>> display = ReliabilityDisplay.from_predictions([0, 0, 1, 1], probabilities)
    >>> round(display.calibration_error, 3)
    0.1
    """

    def __init__(
        self,
        *,
        confidence: NDArray[np.floating],
        accuracy: NDArray[np.floating],
        share: NDArray[np.floating],
    ) -> None:
        self.confidence = confidence
        self.accuracy = accuracy
        self.share = share

    @property
    def calibration_error(self) -> float:
        """Mean over samples of how far their bin's confidence is from its accuracy."""
        return float(np.nansum(self.share * np.abs(self.confidence - self.accuracy)))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, n_bins: int = 15, ax: Any = None
    ) -> Self:
        """Draw the probabilities that a fitted clusterer or classifier predicts.

        Parameters
        ----------
        estimator : SCANClusterer or SCANClassifier
            Fitted. The clusters of a clusterer are matched to classes one-to-one.
        X : images or array-like of shape (n_samples, n_features)
            What to predict. Of training samples the probabilities are at hand: give them to
            :meth:`from_predictions` instead.
        y : array-like of shape (n_samples,)
            True classes.
        n_bins : int, default=15
            Bins of equal width between 0 and 1.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        classes = estimator.classes_ if is_classifier(estimator) else None
        probabilities = estimator.predict_proba(X)
        return cls.from_predictions(y, probabilities, classes=classes, n_bins=n_bins, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        probabilities: Any,
        *,
        classes: Any = None,
        n_bins: int = 15,
        ax: Any = None,
    ) -> Self:
        """Draw probabilities that are known.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True classes.
        probabilities : array-like of shape (n_samples, n_clusters)
            Rows of NaN, images that could not be read, are left out.
        classes : array-like of shape (n_clusters,) or None, default=None
            What the columns stand for; None matches clusters to classes one-to-one, so that most
            samples are right. The samples of a cluster without a class are wrong.
        n_bins, ax
            As in :meth:`from_estimator`.

        Returns
        -------
        display : ReliabilityDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        y_true = column_or_1d(y_true)
        probabilities = check_array(
            probabilities, input_name="probabilities", ensure_all_finite="allow-nan"
        )
        check_consistent_length(y_true, probabilities)
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins!r}.")
        read = ~np.isnan(probabilities[:, 0])
        if not read.any():
            raise ValueError("probabilities holds NaN only.")
        y_true, probabilities = y_true[read], probabilities[read]
        columns = probabilities.argmax(axis=1)
        if classes is None:
            places = match_clusters(y_true, columns, probabilities.shape[1])[columns]
            right = places == np.unique(y_true, return_inverse=True)[1]
        else:
            right = np.asarray(classes)[columns] == y_true
        highest = probabilities.max(axis=1)
        bins = np.clip(np.ceil(highest * n_bins).astype(int) - 1, 0, n_bins - 1)
        counts = np.bincount(bins, minlength=n_bins)
        full = np.where(counts, counts, np.nan)
        display = cls(
            confidence=np.bincount(bins, weights=highest, minlength=n_bins) / full,
            accuracy=np.bincount(bins, weights=right, minlength=n_bins) / full,
            share=counts / len(bins),
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw a bar for each bin; the wider and darker it is, the more samples it has.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ReliabilityDisplay
            Itself.
        """
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", (4.8, 4.4))
        n_bins = len(self.share)
        middles = (np.arange(n_bins) + 0.5) / n_bins
        self.ax_.bar(
            middles, self.share, 1 / n_bins, color=MUTED, alpha=0.35, label="share of samples"
        )
        self.bars_ = self.ax_.bar(
            middles, self.accuracy, 0.55 / n_bins, color=INK, label="right among them"
        )
        self.ax_.plot([0, 1], [0, 1], ":", color="black", lw=1, label="as sure as right")
        self.ax_.plot(
            self.confidence, self.accuracy, "o", color="white", mec=INK, label="mean confidence"
        )
        self.ax_.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share")
        self.ax_.set_title(f"calibration error {self.calibration_error:.3f}")
        self.ax_.legend(frameon=False, fontsize="small", loc="upper left")
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self
