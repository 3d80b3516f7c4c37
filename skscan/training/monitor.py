"""Looking at features while they are learned, by labels that the training never sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import normalize

from skscan.extractors.skipping import tell_of_skipped
from skscan.images import as_collection
from skscan.training.pixels import PixelStore, load_pixels

if TYPE_CHECKING:
    from skscan.images import ImageCollection

__all__ = ["KNNMonitor", "PixelFeatures", "weighted_knn"]

_IMAGES_AT_ONCE = 128
_SIMILARITIES_AT_ONCE = 2**25


@dataclass(frozen=True)
class PixelFeatures:
    """The features of a network as it is now.

    Attributes
    ----------
    compute : callable
        From uint8 (b, side, side, 3) to float32 (b, n_features).
    side : int
        Height and width in pixels.
    """

    compute: Callable[[NDArray], NDArray]
    side: int

    def __call__(self, pixels: NDArray) -> NDArray:
        """Compute the features of pixels."""
        return self.compute(pixels)


class KNNMonitor:
    """Accuracy of the nearest labelled images, while a network is trained without labels.

    Labels of the test images are predicted from the most similar train images: each votes for its
    label with the weight exp(cos / temperature). Nothing of it gets into the training.

    Parameters
    ----------
    train_images : images
        Those that vote; in any form that feature extractors take.

    train_labels : array-like of shape (n_train,)
        Numbers or names of their classes.

    test_images : images
        Those whose labels are predicted.

    test_labels : array-like of shape (n_test,)

    n_neighbors : int, default=100
        Images that vote, at most all.

    temperature : float, default=0.1
        The smaller, the less do distant neighbors count.

    every : int, default=1
        After how many epochs, from the start, the accuracy is measured.

    Raises
    ------
    ValueError
        If there are not as many labels as images, or a number is out of range.

    Notes
    -----
    Images are decoded once, when the monitor is first used; unreadable ones are left out, with a
    warning.

    References
    ----------
    Wu et al., "Unsupervised Feature Learning via Non-parametric Instance Discrimination", CVPR
    2018, section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import SimCLRFeatureExtractor
    >>> from skscan.training.monitor import KNNMonitor
    >>> images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    >>> labels = np.arange(16) % 2
    >>> extractor = SimCLRFeatureExtractor(
    ...     {"stem": "cifar", "depth": 10, "width": 4},
    ...     image_size=16,
    ...     n_epochs=2,
    ...     batch_size=8,
    ...     monitor=KNNMonitor(images, labels, images, labels, n_neighbors=1),
    ... )
    >>> [epoch["knn_accuracy"] for epoch in extractor.fit(images).history_]
    [1.0, 1.0]
    """

    n_neighbors: int
    temperature: float
    every: int
    _train: _LabelledImages
    _test: _LabelledImages

    def __init__(
        self,
        train_images: Any,
        train_labels: ArrayLike,
        test_images: Any,
        test_labels: ArrayLike,
        *,
        n_neighbors: int = 100,
        temperature: float = 0.1,
        every: int = 1,
    ) -> None:
        for name, value in (("n_neighbors", n_neighbors), ("every", every)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1.")
        if not isinstance(temperature, Real) or not temperature > 0:
            raise ValueError(f"temperature={temperature!r} must be a number above 0.")
        self.n_neighbors = int(n_neighbors)
        self.temperature = float(temperature)
        self.every = int(every)
        self._train = _LabelledImages("train", train_images, train_labels)
        self._test = _LabelledImages("test", test_images, test_labels)

    def __call__(self, features: PixelFeatures) -> dict[str, float]:
        """Measure the accuracy.

        Parameters
        ----------
        features : PixelFeatures

        Returns
        -------
        entry : dict
            ``knn_accuracy``, from 0 to 1.
        """
        train, train_labels = self._train.features(features)
        test, test_labels = self._test.features(features)
        predicted = weighted_knn(train, train_labels, test, self.n_neighbors, self.temperature)
        return {"knn_accuracy": float(np.mean(predicted == test_labels))}

    def __sklearn_clone__(self) -> KNNMonitor:
        # It has no state that a fit changes, and its images may be many.
        return self


def weighted_knn(
    train: NDArray,
    train_labels: NDArray,
    test: NDArray,
    n_neighbors: int = 100,
    temperature: float = 0.1,
) -> NDArray:
    """Predict labels by the votes of the nearest rows, weighted by exp(cos / temperature).

    Parameters
    ----------
    train : ndarray of shape (n_train, n_features)
    train_labels : ndarray of shape (n_train,)
    test : ndarray of shape (n_test, n_features)
    n_neighbors : int, default=100
        At most all train rows.
    temperature : float, default=0.1

    Returns
    -------
    labels : ndarray of shape (n_test,)
        Of equal votes, the label that comes first in sorted order.
    """
    classes, codes = np.unique(train_labels, return_inverse=True)
    voters, asking = (normalize(torch.from_numpy(x).float(), dim=1) for x in (train, test))
    targets = torch.from_numpy(codes.reshape(-1).astype(np.int64))
    step = max(1, _SIMILARITIES_AT_ONCE // len(voters))
    predicted = []
    for rows in asking.split(step):
        similarities, nearest = (rows @ voters.T).topk(min(n_neighbors, len(voters)), dim=1)
        # Relative to the nearest: the same winner, and no overflow at low temperatures.
        weights = ((similarities - similarities[:, :1]) / temperature).double().exp()
        votes = torch.zeros(len(rows), len(classes), dtype=torch.float64)
        predicted.append(votes.scatter_add_(1, targets[nearest], weights).argmax(dim=1))
    return classes[torch.cat(predicted).numpy()]


class _LabelledImages:
    """Images and their labels, decoded when they are first needed."""

    def __init__(self, name: str, images: Any, labels: ArrayLike) -> None:
        self._images: ImageCollection = as_collection(images)
        self._labels = np.asarray(labels)
        if self._labels.shape != (len(self._images),):
            got = (
                f"{len(self._labels)} labels"
                if self._labels.ndim == 1
                else f"labels of shape {self._labels.shape}"
            )
            raise ValueError(
                f"{name}_labels must hold one label for each image, got {got} for the "
                f"{len(self._images)} images in {name}_images."
            )
        self._pixels: PixelStore | None = None
        self._rows: NDArray = np.empty(0, dtype=np.int64)

    def features(self, features: PixelFeatures) -> tuple[NDArray, NDArray]:
        """Compute the features of the readable images; return them with their labels."""
        pixels = self._decoded(features.side)
        return pixels.features(features, _IMAGES_AT_ONCE), self._labels[self._rows]

    def _decoded(self, side: int) -> PixelStore:
        if self._pixels is None or self._pixels.side != side:
            self._pixels, self._rows, skipped = load_pixels(self._images, side)
            if skipped:
                consequence = "the monitor leaves them out"
                tell_of_skipped(skipped, len(self._images), "skip", consequence)
        return self._pixels

    def __getstate__(self) -> dict[str, Any]:
        # Decoded again after unpickling: the store may be mapped from a file.
        return {**vars(self), "_pixels": None}
