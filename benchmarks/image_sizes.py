"""What images at two sizes side by side gain over one size.

    python benchmarks/image_sizes.py                        every set, 2,500 images each, 3 seeds
    python benchmarks/image_sizes.py --sets "STL-10" --sizes 128 224

Each size alone, then the features of all sizes side by side, each scaled on its own, as
`JoinedFeatureExtractor` puts them. Self-labelling is left out. Features are those of the embedded
backbone, which was trained on ImageNet with labels (STL-10's images come from ImageNet); they are
extracted once and cached. Labels are used for scores only: beside the accuracy of the head that is
chosen, that of the best head of the pool, which nobody knows without labels.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from datasets import CACHE, MissingDataError, long_tail
from pool import labels_of_heads
from views import draw, images_of

from skscan import FeatureScaler, FeatureSpacesScaler, SCANClusterer, TimmFeatureExtractor
from skscan.metrics import clustering_accuracy

#: Where the images of a set come from, and the shares of its classes; see `views.py`.
SETS: dict[str, tuple[str, dict[int, int] | None]] = {
    "STL-10": ("stl10", None),
    "CIFAR-10 test": ("cifar10", None),
    "Fashion-MNIST test": ("fashion", None),
    "digits": ("digits", None),
    "STL-10, 5 classes": ("stl10", dict.fromkeys((0, 2, 4, 6, 7), 1000)),
    "STL-10, long tail, class 0 largest": ("stl10", long_tail(0, size=1000)),
    "STL-10, long tail, class 9 largest": ("stl10", long_tail(9, size=1000)),
    "CIFAR-10, 3 classes": ("cifar10", dict.fromkeys((0, 4, 9), 1000)),
    "CIFAR-10, 5 classes": ("cifar10", dict.fromkeys((1, 2, 3, 6, 8), 1000)),
    "CIFAR-10, long tail, class 9 largest": ("cifar10", long_tail(9, size=1000)),
    "CIFAR-10, long tail, class 0 largest": ("cifar10", long_tail(0, size=1000)),
    "Fashion-MNIST, 6 uneven classes": (
        "fashion",
        {1: 1000, 3: 150, 5: 600, 7: 300, 8: 800, 9: 200},
    ),
    "Fashion-MNIST, long tail, class 0 largest": ("fashion", long_tail(0, size=1000)),
    "Fashion-MNIST, 4 classes": ("fashion", dict.fromkeys((0, 2, 5, 8), 1000)),
}


@CACHE.cache
def features_at(source: str, n_images: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of a random part of the images of a source."""
    images, y = images_of(source, n_images)
    return TimmFeatureExtractor(image_size=image_size, verbose=1).transform(images), y


def scores(X: np.ndarray, y: np.ndarray, widths: list[int], seed: int) -> tuple[float, float]:
    """Accuracy of the head that is chosen, and of the best one."""
    clusterer = SCANClusterer(
        len(np.unique(y)),
        feature_scaler=FeatureSpacesScaler(widths) if len(widths) > 1 else FeatureScaler(),
        self_label_trainer="skip",
        random_state=seed,
    )
    Z = clusterer.fit_transform(X)
    best = max(clustering_accuracy(y, labels) for labels in labels_of_heads(clusterer, Z))
    return clustering_accuracy(y, clusterer.labels_), best


def measure(
    source: str, shares: dict[int, int] | None, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Mean scores at each size, and side by side."""
    parts = [features_at(source, options.images, size) for size in options.sizes]
    drawn = [draw(X, y, shares) for X, y in parts]
    y = np.unique(drawn[0][1], return_inverse=True)[1]
    spaces = [X for X, _ in drawn]
    variants = [[X] for X in spaces] + [spaces]
    return [
        tuple(
            np.mean(
                [
                    scores(np.hstack(variant), y, [X.shape[1] for X in variant], seed)
                    for seed in range(options.seeds)
                ],
                axis=0,
            )
        )
        for variant in variants
    ]


def main() -> None:
    """Print a table: accuracy of the chosen head, and in brackets of the best one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 176])
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = [f"{size} px" for size in options.sizes] + ["side by side"]
    print(f"| set | {' | '.join(columns)} |")
    print("|---|" + "---|" * len(columns))
    for name in options.sets:
        source, shares = SETS[name]
        try:
            found = measure(source, shares, options)
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        cells = [f"{chosen:.3f} ({best:.3f})" for chosen, best in found]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
