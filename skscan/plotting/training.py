"""What the loss did while heads were trained."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skscan.plotting._axes import INK, MUTED, axes_of, check_matplotlib

__all__ = ["TrainingDisplay"]

_TERMS = ("consistency", "entropy")


class TrainingDisplay:
    """Terms of the loss of each head, pass by pass.

    Of SCAN's loss both terms are shown, which have the same unit: consistency, the mean of -log of
    the agreement with a neighbor, falls to 0 where neighbors are surely in one cluster; entropy,
    that of the mean prediction, is the logarithm of the number of clusters while all are used
    alike. Other objectives show their loss.

    Made by :meth:`from_estimator`.

    Parameters
    ----------
    curves : dict of str to list of ndarray of shape (n_passes,)
        For each term, the curve of each head.
    chosen : int or None
        Which head was kept, counted from 0; None if that is unknown.
    n_clusters : int
        Number of clusters.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    lines_ : list of matplotlib Line2D
        One for each head and term.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> from skscan.plotting import TrainingDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = SCANClusterer(10, effort="fast", random_state=0).fit(X)
    >>> display = TrainingDisplay.from_estimator(clusterer)
    >>> sorted(display.curves)
    ['consistency', 'entropy']
    """

    def __init__(
        self, *, curves: dict[str, list[np.ndarray]], chosen: int | None, n_clusters: int
    ) -> None:
        self.curves = curves
        self.chosen = chosen
        self.n_clusters = n_clusters

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the history of a fitted clusterer or classifier.

        Parameters
        ----------
        estimator : SCANClusterer or SCANClassifier
            Fitted, not cut from a merge tree.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        ValueError
            If the estimator has no history of training.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator, "labels_")
        entries = [e for e in estimator.history_ if e.get("stage") == "clustering"]
        if not entries:
            raise ValueError(
                f"this {type(estimator).__name__} has no history of training: it was cut from a "
                "merge tree, or its trainer kept none."
            )
        # passes of a whole network have no number of a head, and follow those of its start
        of_network = [e for e in entries if "head" not in e]
        entries = of_network or entries
        terms = [t for t in _TERMS if all(t in e for e in entries)]
        if len(terms) < len(_TERMS):  # another objective than SCAN's
            terms = ["loss"]
        heads = sorted({e.get("head", 0) for e in entries})
        curves = {
            term: [np.array([e[term] for e in entries if e.get("head", 0) == h]) for h in heads]
            for term in terms
        }
        chosen = None
        if of_network:
            chosen = 0
        else:
            kept = [e["head"] for e in getattr(estimator, "selection_report_", []) if e["chosen"]]
            chosen = heads.index(kept[0]) if kept and kept[0] in heads else None
        display = cls(curves=curves, chosen=chosen, n_clusters=estimator.probabilities_.shape[1])
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : TrainingDisplay
            Itself.
        """
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", (6.4, 4.0))
        styles = dict(zip(self.curves, ("-", "--"), strict=False))
        self.lines_ = []
        for term, curves in self.curves.items():
            for head, curve in enumerate(curves):
                kept = head == self.chosen
                (line,) = self.ax_.plot(
                    np.arange(1, len(curve) + 1),
                    curve,
                    styles[term],
                    color=INK if kept else MUTED,
                    linewidth=2 if kept else 0.8,
                    alpha=1 if kept else 0.55,
                    zorder=3 if kept else 2,
                )
                self.lines_.append(line)
        self._label(styles)
        return self

    def _label(self, styles: dict[str, str]) -> None:
        keys = [
            self.ax_.plot([], [], styles[term], color=INK if self.chosen is not None else MUTED)[0]
            for term in self.curves
        ]
        names = [
            term + (" of the head that was kept" if self.chosen is not None else "")
            for term in self.curves
        ]
        n_heads = len(next(iter(self.curves.values())))
        if self.chosen is not None and n_heads > 1:
            keys.append(self.ax_.plot([], [], color=MUTED, linewidth=0.8)[0])
            names.append(f"the other {n_heads - 1} heads")
        if "entropy" in self.curves:
            even = self.ax_.axhline(np.log(self.n_clusters), color="black", ls=":", lw=1)
            keys.append(even)
            names.append(f"log {self.n_clusters}: all clusters alike")
        self.ax_.legend(keys, names, frameon=False, fontsize="small")
        self.ax_.set_xlabel("pass")
        self.ax_.set_ylabel("nats" if "entropy" in self.curves else "loss")
        if "entropy" in self.curves:
            self.ax_.set_ylim(bottom=0)
        self.ax_.spines[["top", "right"]].set_visible(False)
