"""Which forms of images are taken, and how each becomes an `ImageCollection`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images.arrays import array_to_rgb, check_image_array
from skscan.images.collection import (
    ArrayImages,
    DatasetImages,
    FileImages,
    ImageCollection,
    ItemImages,
)
from skscan.images.listing import list_images
from skscan.images.names import printable

__all__ = ["as_collection", "is_feature_matrix"]

_ACCEPTED = (
    "images are taken as a uint8 or float (0..1) array (n, h, w) or (n, h, w, 1 or 3), a list, "
    "array or Series of paths, a list of PIL images or arrays, a folder or zip (str or Path), a "
    "torch Dataset or a list of (image, label)"
)


def is_feature_matrix(X: Any) -> bool:
    """Tell whether X is a matrix of features: numbers in two dimensions.

    Parameters
    ----------
    X : object
        Arrays, nested lists, data frames and sparse matrices can be features.

    Returns
    -------
    bool
        True leaves all further checks (dtype, NaN, width) to scikit-learn.
    """
    if isinstance(X, str | bytes | os.PathLike | Image.Image | ImageCollection):
        return False
    if isinstance(X, list | tuple):
        return len(X) > 0 and _is_row_of_numbers(X[0])
    if _is_table_of_text(X):
        return False
    shape = getattr(X, "shape", None)
    if shape is None and hasattr(X, "__array__"):
        X = np.asarray(X)
        shape = X.shape
    if shape is None or len(shape) != 2:
        return False
    # Two-dimensional arrays of text are paths in the wrong shape; any other dtype is a matter of
    # scikit-learn's own messages.
    return getattr(getattr(X, "dtype", None), "kind", "f") not in "USTM"


def as_collection(X: Any, argument: str = "X") -> ImageCollection:
    """Turn images in any of the accepted forms into a collection.

    Parameters
    ----------
    X : images
        A uint8 or float (0..1) array (n, h, w) or (n, h, w, 1 or 3); a list, array or Series of
        paths; a list of PIL images or arrays of any sizes; a folder or a zip (str or Path); a torch
        `Dataset` or a list of (image, label), of which the label is ignored.

    argument : str, default="X"
        The name of the argument, for messages.

    Returns
    -------
    ImageCollection
        `X` itself, if it is one.

    Raises
    ------
    TypeError
        If X or one of its items is of a type that is no image.

    ValueError
        If there is no image in X, or an array has the wrong shape, dtype or range.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.images import as_collection
    >>> images = as_collection(np.zeros((3, 8, 8), dtype=np.uint8))
    >>> len(images), images.names[0], images.read(0).size
    (3, 'image 0', (8, 8))
    """
    if isinstance(X, ImageCollection):
        return X
    if isinstance(X, str | os.PathLike):
        return FileImages(_list_images(X, argument))
    if isinstance(X, Image.Image):
        raise TypeError(f"{argument} is a single image; give a list, [image]")
    if is_feature_matrix(X):
        raise ValueError(f"{argument} is a two-dimensional matrix of features; {_ACCEPTED}")
    if _is_table_of_text(X):
        raise TypeError(
            f"{argument} is a data frame of text; give the column that holds the paths, "
            f"{argument}[{X.columns[0]!r}]"
        )
    if isinstance(X, list | tuple):
        return _from_items(list(X), argument)
    if _is_torch_dataset(X):
        return _from_dataset(X, argument)
    if hasattr(X, "detach"):
        raise TypeError(
            f"{argument} is a tensor; {_ACCEPTED}. Convert one of shape (n, c, h, w) with "
            f"{argument}.permute(0, 2, 3, 1).cpu().numpy()"
        )
    if hasattr(X, "__array__") and getattr(X, "ndim", 1) != 1:
        return _from_array(np.asarray(X), argument)
    # Series, indexes and one-dimensional arrays: each item is a path or an image.
    if hasattr(X, "__array__") or hasattr(X, "to_list"):
        if _is_row_of_numbers(X):
            raise ValueError(
                f"{argument} is a one-dimensional array of numbers. Reshape your data to "
                f"(n_samples, n_features) if these are features; {_ACCEPTED}"
            )
        return _from_items(list(X), argument)
    raise TypeError(f"{argument} is of type {type(X).__name__}; {_ACCEPTED}")


def _list_images(place: str | os.PathLike, argument: str) -> list[str]:
    try:
        return list_images(os.fspath(place))
    except ValueError as error:
        if not os.path.isfile(place):
            error.args = (f"{argument}: {error}",)
            raise
        raise ValueError(
            f"{argument}: {error}. A single image is given as a list, [{printable(str(place))!r}]"
        ) from error


def _from_array(array: np.ndarray, argument: str) -> ImageCollection:
    if array.dtype == object:
        raise TypeError(
            f"{argument} is an object array of shape {array.shape}; make it one-dimensional, with "
            "an image or path in each place"
        )
    check_image_array(array, argument)
    return ArrayImages(array)


def _from_items(items: list[Any], argument: str) -> ImageCollection:
    if not items:
        raise ValueError(f"{argument} holds no image; {_ACCEPTED}")
    images = [_image_of(item, f"{argument}[{i}]") for i, item in enumerate(items)]
    if all(isinstance(image, str) for image in images):
        return FileImages(images)
    # An array of the wrong layout is one bad image among others, but if the very first ones are all
    # wrong, then so is what the caller takes for an image.
    _check_some_array(images, argument)
    return ItemImages(images)


def _image_of(item: Any, place: str) -> Any:
    """Take the image out of an item of a list; paths become str."""
    if _is_labelled(item):
        item = item[0]
    if isinstance(item, str | bytes | os.PathLike):
        return str(os.fsdecode(item))  # numpy's strings are a class of their own
    if isinstance(item, Image.Image):
        return item
    if hasattr(item, "detach") and getattr(item, "ndim", 0) in (2, 3):
        return item
    if isinstance(item, Sequence) or (hasattr(item, "__array__") and not np.isscalar(item)):
        return np.asarray(item)
    raise TypeError(f"{place} is of type {type(item).__name__}, which is no image; {_ACCEPTED}")


def _is_table_of_text(X: Any) -> bool:
    """Tell a data frame of paths; numbers that are written as text could be features."""
    if not hasattr(X, "columns") or not hasattr(X, "iloc") or not all(X.shape):
        return False
    first = X.iloc[0].to_list()
    return all(isinstance(value, str | os.PathLike) and not _is_number(value) for value in first)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_labelled(item: Any) -> bool:
    """Tell (image, label) from an image given as nested lists."""
    if isinstance(item, list):
        return len(item) == 2 and not isinstance(item[0], list)
    return isinstance(item, tuple) and len(item) >= 2


def _check_some_array(images: list[Any], argument: str) -> None:
    reasons = []
    for image in images:
        if not isinstance(image, np.ndarray):
            return
        try:
            array_to_rgb(image)
            return
        except ImageReadError as error:
            reasons.append(error.reason)
    raise ValueError(f"none of the {len(images)} arrays in {argument} is an image: {reasons[0]}")


def _is_torch_dataset(X: Any) -> bool:
    # Who has a Dataset has imported torch; nobody else should pay for it.
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(X, torch_data.Dataset)


def _from_dataset(dataset: Any, argument: str) -> ImageCollection:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TypeError(f"{argument} is a data set that can only be iterated over; {_ACCEPTED}")
    if len(dataset) == 0:
        raise ValueError(f"{argument} is a data set without images")
    return DatasetImages(dataset)


def _is_row_of_numbers(row: Any) -> bool:
    """Tell whether this is one sample of a feature matrix given as a list of rows."""
    if isinstance(row, str | bytes | Image.Image) or np.isscalar(row):
        return False
    if isinstance(row, list | tuple):
        return len(row) > 0 and all(np.isscalar(x) and not isinstance(x, str | bytes) for x in row)
    return getattr(row, "ndim", None) == 1 and getattr(row.dtype, "kind", "O") in "biufc"
