"""A contact sheet: one row of images for each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from scipy.sparse import csr_matrix
from sklearn.utils import check_array, check_random_state

from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection, as_collection
from skscan.plotting._axes import axes_of, check_matplotlib
from skscan.plotting._fitted import names_of_clusters, number_of_best
from skscan.report.contact_sheets import rank_by_typicality

__all__ = ["ClusterDisplay"]

ORDERS = ("typical", "uncertain", "outlying", "random")

_INCHES_PER_TILE = 0.62
_GAP = 2


class ClusterDisplay:
    """Contact sheet of clusters: one row of images for each.

    Made by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    tiles : list of list of ndarray of shape (side, side, 3), uint8
        The images of each row.
    names : list of str
        Written before each row.
    side : int
        Height and width of each image in `tiles`, in pixels.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.
    image_ : matplotlib AxesImage
        The sheet.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> from skscan.plotting import ClusterDisplay
    >>> digits = load_digits()
    >>> clusterer = SCANClusterer(10, effort="fast", random_state=0).fit(digits.data)
    >>> display = ClusterDisplay.from_estimator(clusterer, digits.images / 16)
    >>> len(display.tiles)
    10
    """

    def __init__(self, *, tiles: list[list[NDArray]], names: list[str], side: int) -> None:
        self.tiles = tiles
        self.names = names
        self.side = side

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        images: Any,
        *,
        n_images: int = 12,
        order: str = "typical",
        clusters: Sequence[int] | None = None,
        side: int = 64,
        random_state: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the training images of a fitted clusterer or classifier.

        Parameters
        ----------
        estimator : SCANClusterer or SCANClassifier
            Fitted.
        images : images
            The images that it was fitted on, in the same order; or, after a fit on features, those
            that the features are of.
        n_images : int, default=12
            Images in each row, at most.
        order : {"typical", "uncertain", "outlying", "random"}, default="typical"
            Which images of a cluster: those that are surest and surrounded by their like, the least
            certain ones, those that are least like any other, or some at random.
        clusters : sequence of int or None, default=None
            Which clusters, as columns of `probabilities_`; None is all of them.
        side : int, default=64
            Height and width that images are shown in, in pixels.
        random_state : int, RandomState instance or None, default=None
            Rules the draw of ``order="random"``.
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ClusterDisplay

        Raises
        ------
        ValueError
            If there are not as many images as the estimator was fitted on, or `order` is unknown.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        names = names_of_clusters(estimator)
        return cls._from_rankings(
            images,
            estimator.probabilities_,
            estimator.neighbors_,
            estimator.outlier_scores_,
            names=names,
            n_images=n_images,
            order=order,
            clusters=clusters,
            side=side,
            random_state=random_state,
        ).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        images: Any,
        probabilities: Any,
        *,
        names: Sequence[Any] | None = None,
        n_images: int = 12,
        order: str = "typical",
        clusters: Sequence[int] | None = None,
        side: int = 64,
        random_state: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw any images whose probabilities are known, such as new ones.

        Parameters
        ----------
        images : images
            In any form that ``fit`` takes.
        probabilities : array-like of shape (n_images, n_clusters)
            As `predict_proba` gives them; rows of NaN are left out.
        names : sequence of shape (n_clusters,) or None, default=None
            Names of the clusters; None is their numbers.
        n_images, order, clusters, side, random_state, ax
            As in :meth:`from_estimator`; typical are the surest images, and outlying ones are not
            known.

        Returns
        -------
        display : ClusterDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        probabilities = check_array(
            probabilities, input_name="probabilities", ensure_all_finite="allow-nan"
        )
        return cls._from_rankings(
            images,
            probabilities,
            None,
            None,
            names=np.arange(probabilities.shape[1]) if names is None else np.asarray(names),
            n_images=n_images,
            order=order,
            clusters=clusters,
            side=side,
            random_state=random_state,
        ).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the sheet.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            What to draw on; None makes a figure.

        Returns
        -------
        display : ClusterDisplay
            Itself.
        """
        n_columns = max((len(row) for row in self.tiles), default=1) or 1
        size = (n_columns * _INCHES_PER_TILE + 1.1, len(self.tiles) * _INCHES_PER_TILE + 0.1)
        self.figure_, self.ax_ = axes_of(ax, f"{type(self).__name__}.plot", size)
        step = self.side + _GAP
        # clear where there is no image, so that it suits any background
        sheet = np.zeros((len(self.tiles) * step, n_columns * step, 4), dtype=np.uint8)
        for row, tiles in enumerate(self.tiles):
            for column, tile in enumerate(tiles):
                top, left = row * step, column * step
                sheet[top : top + self.side, left : left + self.side, :3] = tile
                sheet[top : top + self.side, left : left + self.side, 3] = 255
        self.image_ = self.ax_.imshow(sheet)
        self.ax_.set_yticks(np.arange(len(self.tiles)) * step + self.side / 2, self.names)
        self.ax_.set_xticks([])
        self.ax_.tick_params(axis="y", length=0)
        for edge in self.ax_.spines.values():
            edge.set_visible(False)
        return self

    @classmethod
    def _from_rankings(
        cls,
        images: Any,
        probabilities: NDArray,
        neighbors: csr_matrix | None,
        outlier_scores: NDArray | None,
        *,
        names: NDArray,
        n_images: int,
        order: str,
        clusters: Sequence[int] | None,
        side: int,
        random_state: Any,
    ) -> Self:
        collection = as_collection(images, "images")
        n_samples, n_clusters = probabilities.shape
        if len(collection) != n_samples:
            raise ValueError(
                f"images holds {len(collection)} images for {n_samples} samples; give those that "
                "the probabilities are of, in the same order."
            )
        if order not in ORDERS:
            raise ValueError(f"order must be one of {list(ORDERS)}, got {order!r}.")
        if order == "outlying" and outlier_scores is None:
            raise ValueError("order='outlying' needs a fitted estimator: use from_estimator.")
        chosen = np.arange(n_clusters) if clusters is None else np.asarray(clusters)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < n_clusters):
            raise ValueError(
                f"clusters takes numbers from 0 to {n_clusters - 1}, got {chosen.tolist()}."
            )
        if len(names) != n_clusters:
            raise ValueError(f"names has {len(names)} entries for {n_clusters} clusters.")
        numbers = number_of_best(probabilities)
        confidence = np.nan_to_num(probabilities.max(axis=1))
        draw = check_random_state(random_state)
        tiles, captions = [], []
        for cluster in chosen:
            members = np.flatnonzero(numbers == cluster)
            if order == "outlying" and outlier_scores is not None:
                ranked = members[np.argsort(-outlier_scores[members], kind="stable")]
            else:
                ranked = _ranked(members, confidence, neighbors, numbers, order, draw)
            tiles.append(_tiles(collection, ranked[:n_images], side))
            captions.append(f"{names[cluster]}\n({len(members):,})")
        return cls(tiles=tiles, names=captions, side=side)


def _ranked(
    members: NDArray[np.intp],
    confidence: NDArray,
    neighbors: csr_matrix | None,
    numbers: NDArray[np.int64],
    order: str,
    random_state: np.random.RandomState,
) -> NDArray[np.intp]:
    if order == "random":
        return random_state.permutation(members)
    if order == "uncertain":
        return members[np.argsort(confidence[members], kind="stable")]
    if neighbors is None:
        return members[np.argsort(-confidence[members], kind="stable")]
    return rank_by_typicality(members, confidence, neighbors, numbers)


def _tiles(images: ImageCollection, rows: NDArray[np.intp], side: int) -> list[NDArray]:
    tiles = []
    for row in rows:
        try:
            image = images.read(int(row), min_side=side)
        except ImageReadError:  # it was readable when it was clustered, and is gone since
            continue
        tiles.append(np.asarray(ImageOps.pad(image, (side, side), color="white")))
    return tiles
