"""A map of samples: alike ones near each other, colored by cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples

from skscan._threads import limit_threads, suitable_n_jobs
from skscan.images import as_collection, is_feature_matrix, list_images
from skscan.plotting._axes import axes_of, check_matplotlib, colors_of_clusters
from skscan.plotting._fitted import names_of_clusters, number_of_best, rows_in_use
from skscan.prototypes import prototype_indices

__all__ = ["EmbeddingDisplay"]

METHODS = ("tsne", "pca")

_THUMBNAIL_SIDE = 48
_THUMBNAIL_SHOWN = 34
_PERPLEXITY = 30


class EmbeddingDisplay:
    """Map of samples in two dimensions, colored by cluster, with a picture of each cluster.

    Distances between far parts of such a map mean little; neighborhoods mean more.

    Made by :meth:`from_estimator`.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Places.
    clusters : ndarray of shape (n_samples,), int
        Number of the cluster of each.
    names : sequence of shape (n_clusters,)
        Names of the clusters.
    prototypes : ndarray of shape (n_clusters,), int
        Row of the most typical sample of each cluster; -1 for an empty one.
    thumbnails : dict of int to ndarray of shape (side, side, 3), uint8, or None, default=None
        Picture of each cluster, shown where its most typical sample is; None writes names.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    points_ : matplotlib PathCollection
        The samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> from skscan.plotting import EmbeddingDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = SCANClusterer(10, effort="fast", random_state=0).fit(X)
    >>> EmbeddingDisplay.from_estimator(clusterer, X, method="pca").embedding.shape
    (1797, 2)
    """

    def __init__(
        self,
        *,
        embedding: NDArray[np.floating],
        clusters: NDArray[np.integer],
        names: Sequence[Any] | NDArray,
        prototypes: NDArray[np.integer],
        thumbnails: dict[int, NDArray] | None = None,
    ) -> None:
        self.embedding = embedding
        self.clusters = clusters
        self.names = names
        self.prototypes = prototypes
        self.thumbnails = thumbnails

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        images: Any = None,
        method: Any = "tsne",
        max_samples: int = 2000,
        random_state: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw samples in the features that the heads of a fitted estimator work on.

        Parameters
        ----------
        estimator : SCANClusterer or SCANClassifier
            Fitted.
        X : images or array-like of shape (n_samples, n_features)
            Samples, of the kind that it was fitted on. Features of images are extracted, unless
            `memory` of the estimator has them.
        images : images or None, default=None
            Pictures of the samples in X, to show one of each cluster; None is X, if it holds
            images.
        method : {"tsne", "pca"} or transformer, default="tsne"
            How features come down to two dimensions: t-SNE, which takes seconds, principal
            components, or what has a `fit_transform` that gives two columns, such as
            ``umap.UMAP()``.
        max_samples : int, default=2000
            Of more samples so many are drawn at random.
        random_state : int, RandomState instance or None, default=None
            Rules that draw, and t-SNE.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        ValueError
            If `method` is unknown or gives no two columns, or lengths differ.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        names = names_of_clusters(estimator)
        random_state = check_random_state(random_state)
        if isinstance(X, str | os.PathLike):
            X = list_images(os.fspath(X))
        if images is None and not is_feature_matrix(X):
            images = X
        pictures = None if images is None else as_collection(images, "images")
        n_samples = _num_samples(X)
        if pictures is not None and len(pictures) != n_samples:
            raise ValueError(f"images holds {len(pictures)} images for {n_samples} samples in X.")
        rows = np.arange(n_samples)
        if n_samples > max_samples:
            rows = np.sort(random_state.choice(n_samples, max_samples, replace=False))
            X = _some_of(X, rows)
        Z = estimator.transform(X)
        read = rows_in_use(np.where(np.isnan(Z[:, 0]), -1, 0), "X")
        rows, Z = rows[read], Z[read]
        probabilities = estimator.heads_.predict_proba(Z, estimator.best_head_)
        prototypes = prototype_indices(Z, probabilities)
        thumbnails = None
        if pictures is not None:
            thumbnails = {
                cluster: np.asarray(
                    ImageOps.pad(
                        pictures.read(int(rows[row]), min_side=_THUMBNAIL_SIDE),
                        (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE),
                        color="white",
                    )
                )
                for cluster, row in enumerate(prototypes)
                if row >= 0
            }
        with limit_threads(suitable_n_jobs(estimator.n_jobs, Z)):
            embedding = _embed(Z, method, random_state)
        display = cls(
            embedding=embedding,
            clusters=number_of_best(probabilities),
            names=names,
            prototypes=prototypes,
            thumbnails=thumbnails,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None, *, size: float | None = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.
        size : float or None, default=None
            Area of a point, in square points; None follows from the number of samples.

        Returns
        -------
        display : EmbeddingDisplay
            Itself.
        """
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", (6.4, 5.6))
        colors = colors_of_clusters(len(self.names))
        if size is None:
            size = float(np.clip(12_000 / len(self.embedding), 1, 30))
        self.points_ = self.ax_.scatter(
            *self.embedding.T, c=colors[self.clusters], s=size, linewidths=0, alpha=0.75
        )
        for cluster, row in enumerate(self.prototypes):
            if row >= 0:
                self._mark(cluster, self.embedding[row], colors[cluster])
        self.ax_.set(xticks=[], yticks=[])
        for edge in self.ax_.spines.values():
            edge.set_color("#cccccc")
        return self

    def _mark(self, cluster: int, place: NDArray, color: NDArray) -> None:
        if self.thumbnails is None:
            self.ax_.text(
                *place,
                str(self.names[cluster]),
                ha="center",
                va="center",
                fontsize="small",
                bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": color, "alpha": 0.9},
            )
            return
        from matplotlib.offsetbox import AnnotationBbox, OffsetImage

        thumbnail = self.thumbnails[cluster]
        picture = OffsetImage(thumbnail, zoom=_THUMBNAIL_SHOWN / len(thumbnail))
        frame = {"edgecolor": color, "linewidth": 2.5}
        self.ax_.add_artist(AnnotationBbox(picture, tuple(place), pad=0.1, bboxprops=frame))


def _some_of(X: Any, rows: NDArray[np.intp]) -> Any:
    if isinstance(X, list | tuple) or hasattr(X, "shape") or hasattr(X, "iloc"):
        return _safe_indexing(X, rows)
    return [X[int(row)] for row in rows]  # a torch data set


def _embed(Z: NDArray, method: Any, random_state: np.random.RandomState) -> NDArray:
    if not isinstance(method, str):
        embedding = np.asarray(method.fit_transform(Z))
        if embedding.shape != (len(Z), 2):
            raise ValueError(
                f"method must give two columns, {type(method).__name__} gave a matrix of shape "
                f"{embedding.shape} for {len(Z)} samples."
            )
        return embedding
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {list(METHODS)} or have a fit_transform, got {method!r}."
        )
    if method == "pca" or len(Z) < 4:
        columns = PCA(min(2, *Z.shape), random_state=random_state).fit_transform(Z)
        return np.pad(columns, ((0, 0), (0, 2 - columns.shape[1])))
    perplexity = min(_PERPLEXITY, (len(Z) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
    return tsne.fit_transform(Z)
