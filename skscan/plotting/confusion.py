"""Which classes ended in which clusters."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length, column_or_1d

from skscan.evaluation import MATCHES, evaluate_split
from skscan.plotting._axes import axes_of, check_matplotlib

__all__ = ["ConfusionDisplay"]

_MOST_TO_WRITE_IN = 20


class ConfusionDisplay:
    """Shares of each class in the clusters, these matched to classes.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. Labels are needed, for the picture
    alone.

    Parameters
    ----------
    confusion : ndarray of shape (n_classes, n_columns)
        Rows are classes and sum to 1.
    classes : ndarray of shape (n_classes,)
        Names of the rows.
    columns : list of str
        Names of the columns: the clusters of each class, then clusters without a class.
    accuracy : float
        Share of samples in the clusters of their class.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    image_ : matplotlib AxesImage
        The matrix.

    Examples
    --------
    >>> from skscan.plotting import ConfusionDisplay
    >>> display = ConfusionDisplay.from_predictions(["cat", "cat", "dog"], [1, 0, 0])
    >>> display.confusion.tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    def __init__(
        self, *, confusion: NDArray, classes: NDArray, columns: list[str], accuracy: float
    ) -> None:
        self.confusion = confusion
        self.classes = classes
        self.columns = columns
        self.accuracy = accuracy

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, match: str = "one-to-one", ax: Any = None
    ) -> Self:
        """Draw the predictions of a fitted clusterer or classifier.

        Parameters
        ----------
        estimator : SCANClusterer or SCANClassifier
            Fitted.
        X : images or array-like of shape (n_samples, n_features)
            What to predict. Of training samples the labels are at hand: give them to
            :meth:`from_predictions` instead.
        y : array-like of shape (n_samples,)
            True classes.
        match : {"one-to-one", "majority"}, default="one-to-one"
            What clusters stand for: a class each, so that most samples are right (Hungarian
            algorithm), or their most frequent class, as for over-clustering. The classes of a
            classifier are what they are.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ConfusionDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        labels = estimator.predict(X)
        if is_classifier(estimator):
            return cls._of_classes(y, labels).plot(ax=ax)
        return cls.from_predictions(y, labels, match=match, ax=ax)

    @classmethod
    def from_predictions(
        cls, y_true: Any, labels: Any, *, match: str = "one-to-one", ax: Any = None
    ) -> Self:
        """Draw clusters that are known.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True classes.
        labels : array-like of int of shape (n_samples,)
            Clusters; samples with -1, images that could not be read, are left out.
        match, ax
            As in :meth:`from_estimator`.

        Returns
        -------
        display : ConfusionDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if match not in MATCHES:
            raise ValueError(f"match must be one of {list(MATCHES)}, got {match!r}.")
        y_true, labels = column_or_1d(y_true), column_or_1d(labels)
        check_consistent_length(y_true, labels)
        read = labels >= 0
        if not read.any():
            raise ValueError("labels holds no cluster: all of it is -1.")
        y_true, labels = y_true[read], labels[read]
        found = evaluate_split(y_true, np.eye(int(labels.max()) + 1)[labels], match=match)
        clusters = found.class_of_cluster
        columns = [
            ", ".join(map(str, np.flatnonzero(clusters == place))) or "none"
            for place in range(len(found.classes))
        ]
        columns += [str(cluster) for cluster in np.flatnonzero(clusters < 0)]
        accuracy = found.accuracy if match == "one-to-one" else found.many_to_one_accuracy
        display = cls(
            confusion=found.confusion, classes=found.classes, columns=columns, accuracy=accuracy
        )
        return display.plot(ax=ax)

    @classmethod
    def _of_classes(cls, y_true: Any, y_pred: Any) -> Self:
        y_true = column_or_1d(y_true)
        check_consistent_length(y_true, y_pred)
        classes, rows = np.unique(y_true, return_inverse=True)
        names = [*classes, *sorted(set(y_pred.tolist()) - set(classes.tolist()))]
        place = {name: column for column, name in enumerate(names)}
        counts = np.zeros((len(classes), len(names)))
        np.add.at(counts, (rows, np.array([place[name] for name in y_pred.tolist()])), 1)
        return cls(
            confusion=counts / counts.sum(axis=1, keepdims=True),
            classes=classes,
            columns=[str(name) for name in names],
            accuracy=float((y_true == y_pred).mean()),
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw the matrix; shares are written into it, in per cent, up to 20 classes.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ConfusionDisplay
            Itself.
        """
        n_rows, n_columns = self.confusion.shape
        size = (min(3.0 + 0.42 * n_columns, 12.0), min(2.0 + 0.42 * n_rows, 12.0))
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", size)
        self.image_ = self.ax_.imshow(self.confusion, cmap="Blues", vmin=0, vmax=1)
        if max(n_rows, n_columns) <= _MOST_TO_WRITE_IN:
            for row, column in np.ndindex(n_rows, n_columns):
                share = float(self.confusion[row, column])
                if round(100 * share):
                    color = "white" if share > 0.5 else "black"
                    self.ax_.text(
                        column,
                        row,
                        f"{100 * share:.0f}",
                        color=color,
                        ha="center",
                        va="center",
                        fontsize="small",
                    )
        self.ax_.set_yticks(np.arange(n_rows), [str(name) for name in self.classes])
        long = max(len(name) for name in self.columns) > 3
        self.ax_.set_xticks(
            np.arange(n_columns),
            self.columns,
            rotation=45 if long else 0,
            ha="right" if long else "center",
        )
        self.ax_.set_ylabel("class")
        self.ax_.set_xlabel("cluster")
        self.ax_.set_title(f"per cent of each class; {100 * self.accuracy:.1f} % are right")
        self.ax_.tick_params(length=0)
        for edge in self.ax_.spines.values():
            edge.set_visible(False)
        return self
