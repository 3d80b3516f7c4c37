"""Peak memory from images to labels, for many generated images.

    python benchmarks/memory.py [--n 100000] [--image-size 128]

The images are 32 x 32 colour pictures of ten kinds (a coloured shape on a noisy ground) in a memory
map on disk, so that what is measured is the library and not the input.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import numpy as np

from skscan import SCANClusterer, TimmFeatureExtractor
from skscan.metrics import clustering_accuracy

SIDE = 32


def write_images(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Write n pictures to a memory map and give it with their kinds."""
    rng = np.random.RandomState(0)
    y = rng.randint(10, size=n)
    colours = rng.randint(40, 255, size=(10, 3))
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    shapes = [
        (np.abs(rows) ** p + np.abs(columns) ** p) ** (1 / p) < r for p in (0.7, 2) for r in (6, 12)
    ]
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (n, SIDE, SIDE, 3))
    for start in range(0, n, 10_000):
        kinds = y[start : start + 10_000]
        block = rng.randint(0, 120, size=(len(kinds), SIDE, SIDE, 3))
        for image, kind in zip(block, kinds, strict=True):
            shape = np.roll(shapes[kind % 4], rng.randint(-4, 5, 2), axis=(0, 1))
            image[shape] = colours[kind]
        images[start : start + 10_000] = block
    images.flush()
    return np.load(path, mmap_mode="r"), y


def main() -> None:
    """Sort the images and print times and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--image-size", type=int, default=128)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images, y = write_images(Path(folder) / "images.npy", options.n)
        extractor = TimmFeatureExtractor(image_size=options.image_size)
        start = time.perf_counter()
        clusterer = SCANClusterer(10, feature_extractor=extractor, random_state=0, verbose=1)
        clusterer.fit(images)
        seconds = time.perf_counter() - start
    own = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    largest_child = getrusage(RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{options.n} images to labels in {seconds:.0f} s: {clusterer.timings_}")
    print(f"peak resident memory {own:.2f} GiB, largest worker {largest_child:.2f} GiB")
    print(f"accuracy {clustering_accuracy(y, clusterer.labels_):.3f}")


if __name__ == "__main__":
    main()
