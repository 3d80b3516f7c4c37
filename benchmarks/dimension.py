"""In how many dimensions features lie, as neighbors see it: of real images and generated ones.

    python benchmarks/dimension.py                     STL-10, CIFAR-10 and generated features
    python benchmarks/dimension.py --latent 16 24 96   other numbers of latent dimensions

The estimate of Levina and Bickel (NIPS 2004) from 20 neighbors in scaled features, of 10,000 random
rows of each set, averaged as MacKay and Ghahramani proposed: the inverse of the mean of inverses.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from datasets import DATASETS
from million_parts.generated import write_features
from numpy.typing import NDArray

from skscan import FeatureScaler, NeighborMiner

N_ROWS = 10_000
N_NEIGHBORS = 20
N_CLASSES = 1000


def dimension(X: NDArray[np.float32]) -> float:
    """Estimate the intrinsic dimension of scaled features."""
    scaled = FeatureScaler(random_state=0).fit_transform(X)
    graph = NeighborMiner(N_NEIGHBORS, backend="exact").fit_transform(scaled)
    distances = np.maximum(graph.data.reshape(len(X), -1)[:, 1:], np.finfo(np.float32).tiny)
    logs = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1)
    return float((N_NEIGHBORS - 2) / logs.mean())


def main() -> None:
    """Print a line for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=["STL-10", "CIFAR-10 test"])
    parser.add_argument("--latent", type=int, nargs="*", default=[24, 96])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for name in options.sets:
        X, _ = DATASETS[name]()
        rows = rng.choice(len(X), min(N_ROWS, len(X)), replace=False)
        print(f"{name}: {dimension(X[rows]):.1f}", flush=True)
    for n_latent in options.latent:
        with tempfile.TemporaryDirectory() as folder:
            write_features(Path(folder), N_ROWS, N_CLASSES, n_latent)
            X = np.load(Path(folder, "features.npy"))
        print(f"{n_latent} latent dimensions: {dimension(X):.1f}", flush=True)


if __name__ == "__main__":
    main()
