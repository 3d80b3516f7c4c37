"""What each effort gives from images to labels, as it is shipped.

    python benchmarks/effort.py                 every set, 2,000 images of each source, 3 seeds
    python benchmarks/effort.py --sets "STL-10" "digits" --memory FOLDER

``SCANClusterer(n_clusters, effort=...)`` is fitted on the images themselves, so that the extractor,
views, sizes and heads are those of the effort. Features are kept in a folder: the first fit pays
for them, and "s" are the median processor seconds of the later ones. The embedded backbone was
trained on ImageNet with labels (STL-10's images come from ImageNet). Labels are used for scores
only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings

import numpy as np
from datasets import MissingDataError
from image_sizes import SETS
from views import draw, images_of

from skscan import SCANClusterer
from skscan.metrics import clustering_accuracy

EFFORTS = ("fast", "default", "best")


def load(name: str, n_images: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Images of a set, and their classes."""
    source, shares = SETS[name]
    images, y = images_of(source, n_images)
    rows, y = draw(np.arange(len(y)), y, shares)
    return [images[row] for row in rows], np.unique(y, return_inverse=True)[1]


def measure(name: str, effort: str, options: argparse.Namespace) -> tuple[list[float], float]:
    """Accuracy of each seed, and processor seconds of a fit whose features are kept."""
    images, y = load(name, options.images)
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        start = time.process_time()
        clusterer = SCANClusterer(
            len(np.unique(y)), effort=effort, random_state=seed, memory=options.memory
        ).fit(images)
        seconds.append(time.process_time() - start)
        accuracies.append(clustering_accuracy(y, clusterer.labels_))
    return accuracies, float(np.median(seconds[1:] or seconds))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--memory", help="folder to keep features in (default: a temporary one)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.memory is None:
        folder = tempfile.TemporaryDirectory()
        options.memory = folder.name
    print(f"| set | n | {' | '.join(f'{effort} | s' for effort in EFFORTS)} |")
    print("|---" * (2 + 2 * len(EFFORTS)) + "|")
    for name in options.sets:
        try:
            n_images = len(load(name, options.images)[1])
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        print(f"| {name} | {n_images:,} |", end="", flush=True)
        for effort in EFFORTS:
            accuracies, seconds = measure(name, effort, options)
            mean, deviation = np.mean(accuracies), np.std(accuracies)
            print(f" {mean:.3f} ± {deviation:.3f} | {seconds:.1f} |", end="", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
