"""What averaging the features of several views of each image gains, and costs.

    python benchmarks/views.py                          every set, 4,000 images each, 5 seeds
    python benchmarks/views.py --sets "STL-10" --images 1000 --seeds 2
    python benchmarks/views.py --image-size 176         what else time can be spent on

Clusters are found on the images as they are; then the averages of 1, 2, 4 (and with --views 8 so
many) views are sorted into them, as `SCANClusterer` does with `n_views`. "Throughout" is what the
averages give when clusters are found on them too. Features are those of the embedded backbone,
which was trained on ImageNet with labels (STL-10's images come from ImageNet). Views are extracted
once and cached; the seconds are those that the extraction of all views took.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import CACHE, MissingDataError, fashion_images, image_paths, long_tail, of_sizes

from skscan import SCANClusterer, TimmFeatureExtractor
from skscan.metrics import clustering_accuracy

#: Where the images of a set come from, and how many of each class are drawn from those extracted,
#: as shares of the largest class; None takes all.
SETS: dict[str, tuple[str, dict[int, int] | None]] = {
    "STL-10": ("stl10", None),
    "CIFAR-10 test": ("cifar10", None),
    "Fashion-MNIST test": ("fashion", None),
    "STL-10, long tail, class 0 largest": ("stl10", long_tail(0, size=1000)),
    "STL-10, long tail, class 9 largest": ("stl10", long_tail(9, size=1000)),
    "STL-10, 5 classes": ("stl10", dict.fromkeys((0, 2, 4, 6, 7), 1000)),
    "CIFAR-10, long tail, class 9 largest": ("cifar10", long_tail(9, size=1000)),
    "CIFAR-10, 3 classes": ("cifar10", dict.fromkeys((0, 4, 9), 1000)),
    "Fashion-MNIST, 6 uneven classes": (
        "fashion",
        {1: 1000, 3: 150, 5: 600, 7: 300, 8: 800, 9: 200},
    ),
}


def images_of(source: str, n_images: int) -> tuple[Any, np.ndarray]:
    """Give a random part of the images of a source, or all of the few digits, and their classes."""
    if source == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return list(np.round(digits.images * (255 / 16)).astype(np.uint8)), digits.target
    if source == "fashion":
        images, y = fashion_images()
    else:
        images, y = image_paths(source, "/test/" if source == "cifar10" else "")
    rows = np.random.RandomState(0).permutation(len(y))[:n_images]
    return [images[row] for row in rows], y[rows]


@CACHE.cache
def features_of_views(
    source: str, n_images: int, n_views: int, image_size: int
) -> tuple[np.ndarray, float]:
    """Features (n_images, n_views, 1280) of the views of images, and the seconds they took."""
    images, _ = images_of(source, n_images)
    start = time.perf_counter()
    extractor = TimmFeatureExtractor(image_size=image_size, n_views=n_views, verbose=1)
    views, _ = extractor.extract_views(images)
    return views, time.perf_counter() - start


def _views(number: int) -> str:
    return "1 view" if number == 1 else f"{number} views"


def draw(views: np.ndarray, y: np.ndarray, sizes: dict[int, int] | None) -> tuple[Any, Any]:
    """Draw a set of these sizes, in thousandths of what there is of the rarest of its classes."""
    if sizes is None:
        return views, y
    most = min(int((y == c).sum()) for c in sizes)
    rows = np.arange(len(y))[:, None]
    rows, y = of_sizes((rows, y), {c: max(size * most // 1000, 1) for c, size in sizes.items()})
    return views[rows[:, 0]], y


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Score every number of views on one set."""
    source, sizes = SETS[name]
    views, seconds = features_of_views(source, options.images, options.views, options.image_size)
    views, y = draw(views, images_of(source, options.images)[1], sizes)
    averages = {n: views[:, :n].mean(axis=1) for n in (1, 2, 4, 8) if n <= options.views}
    n_clusters = len(np.unique(y))
    scores: dict[str, list[float]] = {str(n): [] for n in averages} | {"throughout": []}
    for seed in range(options.seeds):
        clusterer = SCANClusterer(n_clusters, effort=options.effort, random_state=seed)
        clusterer.fit(views[:, 0])
        for n, features in averages.items():
            scores[str(n)].append(clustering_accuracy(y, clusterer.predict(features)))
        labels = clusterer.fit_predict(averages[max(averages)])
        scores["throughout"].append(clustering_accuracy(y, labels))
    return {"set": name, "n_samples": len(y), "n_clusters": n_clusters, **scores, "s": seconds}


def main() -> None:
    """Run the sets that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--images", type=int, default=4000, help="of each source")
    parser.add_argument("--views", type=int, choices=[1, 2, 4, 8], default=4)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--effort", choices=["fast", "default", "best"], default="default")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    numbers = [n for n in (1, 2, 4, 8) if n <= options.views]
    print(f"| set | n | k | {' | '.join(map(_views, numbers))} | throughout | s |")
    print("|" + "---|" * (len(numbers) + 5))
    results = []
    for name in options.sets:
        try:
            row = measure(name, options)
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        results.append(row)
        scores = [f"{np.mean(row[str(n)]):.3f}" for n in [*numbers, "throughout"]]
        print(
            f"| {name} | {row['n_samples']} | {row['n_clusters']} | {' | '.join(scores)} "
            f"| {row['s']:.0f} |",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
