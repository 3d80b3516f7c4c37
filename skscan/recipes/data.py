"""What a data set is for a recipe: two splits of images, with labels that only evaluation sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Images", "RecipeData", "Split", "take_images"]

Images = NDArray[np.uint8] | list[str]
"""An array (n, h, w, 3), or paths; what `skscan.images.as_collection` takes."""


@dataclass(frozen=True)
class Split:
    """Images and their classes.

    Attributes
    ----------
    images : ndarray of shape (n, h, w, 3), uint8, or list of str
        Pixels, or the paths of files.

    labels : ndarray of shape (n,), int64
        Number of the class of each image. For evaluation: nothing here hands it to a fit.
    """

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.integer]) -> Split:
        """Return the images and labels of some rows."""
        return Split(take_images(self.images, rows), self.labels[rows])


@dataclass(frozen=True)
class RecipeData:
    """A data set as it was found in a folder.

    Attributes
    ----------
    layout : str
        What was found, for people: ``"CIFAR-10 as Python pickles"``.

    train, test : Split
        What is fitted on, and what is evaluated on.

    class_names : tuple of str
        Name of each class.

    further : ndarray, list of str or None
        Images without labels, of the same kind as those of `train`, that the pretext task may
        learn from as well: the unlabelled images of STL-10, the other classes of ImageNet.

    notes : tuple of str
        What differs from the published data set, for people.
    """

    layout: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    further: Images | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def n_pretext(self) -> int:
        """Number of images that the pretext task may learn from."""
        return len(self.train) + (0 if self.further is None else len(self.further))

    @property
    def pretext_images(self) -> Images:
        """Images of the training split, then those without labels."""
        if self.further is None:
            return self.train.images
        if isinstance(self.further, list):
            return [*self.train.images, *self.further]
        return np.concatenate([self.train.images, self.further])

    def subsample(
        self,
        size: Callable[[int], int],
        published: tuple[int, int, int],
        random_state: np.random.RandomState,
    ) -> RecipeData:
        """Draw images of every split at random, without a look at labels.

        Parameters
        ----------
        size : callable
            Gives the number of images to keep for the published number; all are kept if there are
            fewer.

        published : (int, int, int)
            Published numbers of train, further and test images.

        random_state : RandomState
            Source of the draw.

        Returns
        -------
        data : RecipeData
        """
        n_train, n_further, n_test = map(size, published)

        def rows(n: int, wanted: int) -> NDArray[np.integer]:
            return np.sort(random_state.choice(n, min(n, wanted), replace=False))

        train = self.train.take(rows(len(self.train), n_train))
        test = self.test.take(rows(len(self.test), n_test))
        further = self.further
        if further is not None:
            further = take_images(further, rows(len(further), n_further))
        return replace(self, train=train, test=test, further=further)


def take_images(images: Images, rows: Sequence[int] | NDArray[np.integer]) -> Images:
    """Return some images, in the order of `rows`."""
    if isinstance(images, list):
        return [images[row] for row in rows]
    return np.ascontiguousarray(images[np.asarray(rows)])
