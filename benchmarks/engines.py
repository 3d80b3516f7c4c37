"""Engines and precisions side by side: speed, and how far features and clusters move.

Needs the folder of test images (stl10.zip or cifar10.zip, folders named by classes):

    python benchmarks/engines.py --data shared/data/stl10.zip --images 2000

Rounds alternate between the engines; the rate is the median of the rounds. What is compared with
float32 by torch: the cosine of features, and labels of `SCANClusterer` on them with the same seed.
The embedded backbone was trained with ImageNet labels, so its accuracies are no figures of
unsupervised learning.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np

from skscan import SCANClusterer
from skscan.engines.base import Engine
from skscan.engines.choice import is_installed
from skscan.engines.opening import make_engine
from skscan.extractors.backbones import EMBEDDED_BACKBONE, TimmSource
from skscan.images import as_collection, list_images
from skscan.images.loading import iter_batches
from skscan.metrics import clustering_accuracy

KINDS = [
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("compile", "float32"),
    ("onnx", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
]
BATCH = 32


def read_images(data: Path, n_images: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and classes of images drawn at random."""
    paths = list_images(data)
    rows = np.random.RandomState(0).permutation(len(paths))[:n_images]
    chosen = [paths[row] for row in rows]
    batches = iter_batches(as_collection(chosen), side, 256)
    pixels = np.concatenate([batch.pixels for batch in batches])
    return pixels, np.array([Path(path).parent.name for path in chosen])


def rate(engine: Engine, pixels: np.ndarray, n_batches: int) -> float:
    """Return images a second."""
    started = time.perf_counter()
    for _ in range(n_batches):
        engine(pixels[:BATCH])
    return n_batches * BATCH / (time.perf_counter() - started)


def features_of(engine: Engine, pixels: np.ndarray) -> np.ndarray:
    """Return the features of all images."""
    starts = range(0, len(pixels), BATCH)
    return np.concatenate([engine(pixels[start : start + BATCH]) for start in starts])


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, computed in float64."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / lengths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=3, help="in a round")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    pixels, classes = read_images(args.data, args.images, args.side)
    source = TimmSource(EMBEDDED_BACKBONE, None, args.side)
    engines = {
        (name, precision): make_engine(source, name, precision, "cpu")
        for name, precision in KINDS
        if is_installed(name) and name not in args.without
    }
    rates: dict[tuple[str, str], list[float]] = {kind: [] for kind in engines}
    for engine in engines.values():
        engine(pixels[:BATCH])
    for _ in range(args.rounds):
        for kind, engine in engines.items():
            rates[kind].append(rate(engine, pixels, args.batches))
    features = {kind: features_of(engine, pixels) for kind, engine in engines.items()}
    reference = features["torch", "float32"]
    base = float(np.median(rates["torch", "float32"]))
    k = len(set(classes))
    labels = {
        kind: [SCANClusterer(k, random_state=s).fit(X).labels_ for s in range(args.seeds)]
        for kind, X in features.items()
    }
    print(f"{len(pixels)} images of {args.data.name} at {args.side} px, {args.seeds} seed(s)")
    print("engine    precision  img/s (range)          ratio  cosine mean   min      same    acc")
    for kind in engines:
        found = cosines(features[kind], reference)
        pairs = list(zip(labels[kind], labels["torch", "float32"], strict=True))
        same = np.mean([clustering_accuracy(old, new) for new, old in pairs])
        accuracy = np.mean([clustering_accuracy(classes, each) for each in labels[kind]])
        median = float(np.median(rates[kind]))
        spread = f"({min(rates[kind]):.0f}-{max(rates[kind]):.0f})"
        print(
            f"{kind[0]:9s} {kind[1]:10s} {median:6.0f} {spread:14s} {median / base:5.2f}  "
            f"{found.mean():.6f}  {found.min():.6f}  {same:.4f}  {accuracy:.4f}"
        )


if __name__ == "__main__":
    main()
