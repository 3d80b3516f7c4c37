"""The evidence for each number of clusters."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skscan.cluster_count import ClusterCountCurve
from skscan.plotting._axes import INK, MUTED, axes_of, check_matplotlib

__all__ = ["ClusterCountDisplay"]

_PLACES = ("1st", "2nd", "3rd")


class ClusterCountDisplay:
    """Score of each number of clusters, with the first proposals named.

    Made by :meth:`from_estimator`.

    Parameters
    ----------
    curve : ClusterCountCurve
        What the search has found, such as ``clusterer.cluster_count_``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The score.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> from skscan.plotting import ClusterCountDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = SCANClusterer("auto", effort="fast", random_state=0).fit(X[:600])
    >>> ClusterCountDisplay.from_estimator(clusterer).curve.proposals[0]
    10
    """

    def __init__(self, curve: ClusterCountCurve) -> None:
        self.curve = curve

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw what a clusterer has found with ``n_clusters="auto"``.

        Parameters
        ----------
        estimator : SCANClusterer
            Fitted with ``n_clusters="auto"`` or a :class:`skscan.ClusterCountSearch`.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ClusterCountDisplay

        Raises
        ------
        ValueError
            If the number of clusters was given, so that no evidence was gathered.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator, "labels_")
        curve = getattr(estimator, "cluster_count_", None)
        if curve is None:
            raise ValueError(
                "the number of clusters was not searched for: this "
                f"{type(estimator).__name__} was fitted with n_clusters={estimator.n_clusters}; "
                "fit it with n_clusters='auto'."
            )
        return cls(curve).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the score, and beside it stability and prediction strength.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ClusterCountDisplay
            Itself.
        """
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", (6.4, 3.8))
        curve, ax = self.curve, self.ax_
        ax.plot(curve.n_clusters, curve.stability, "--", color=MUTED, label="stability")
        ax.plot(
            curve.n_clusters,
            curve.prediction_strength,
            ":",
            color=MUTED,
            label="prediction strength",
        )
        (self.line_,) = ax.plot(curve.n_clusters, curve.score, color=INK, lw=2, label="score")
        found = curve.n_clusters.tolist()
        for place, number in zip(_PLACES, curve.proposals, strict=False):
            height = curve.score[found.index(number)]
            ax.plot(number, height, "o", color=INK)
            ax.annotate(
                f"{place}: {number}",
                (number, height),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                color=INK,
                fontweight="bold",
            )
        ax.margins(y=0.12)
        # the score falls far below where more clusters than there are would mix
        proposed = curve.score[np.isin(curve.n_clusters, curve.proposals[: len(_PLACES)])]
        ax.set_ylim(bottom=min(0, 1.2 * proposed.min()))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="number of clusters", ylabel="score, stability, strength")
        ax.legend(frameon=False, fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
        return self
