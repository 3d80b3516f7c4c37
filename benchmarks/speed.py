"""Time from features to labels, as a multiple of scikit-learn's exact 20-NN in the same run.

    python benchmarks/speed.py                 STL-10's features, 13,000 x 128
    python benchmarks/speed.py --generated     a mixture of the same size, without any data

The runs alternate, so that a change in the speed of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from datasets import zip_features
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

from skscan import FeatureScaler, SCANClusterer


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print the median times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generated", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.generated:
        X = make_blobs(13_000, 128, centers=10, cluster_std=4, random_state=0)[0]
    else:
        X = FeatureScaler().fit_transform(zip_features("stl10")[0])
    X = X.astype(np.float32)

    jobs = {
        "exact 20-NN": lambda: (
            NearestNeighbors(n_neighbors=20, algorithm="brute").fit(X).kneighbors()
        ),
        "effort='fast'": lambda: SCANClusterer(10, effort="fast", random_state=0).fit(X),
        "effort='default'": lambda: SCANClusterer(10, random_state=0).fit(X),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # warm up
    for _ in range(options.rounds):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    limit = np.array(times["exact 20-NN"])
    print(f"{X.shape[0]} x {X.shape[1]} features, {options.rounds} alternating rounds")
    for name, values in times.items():
        ratios = np.array(values) / limit
        print(
            f"{name:17s} median {np.median(values):6.2f} s  (min {min(values):.2f}, "
            f"max {max(values):.2f})  ratio to exact 20-NN {np.median(ratios):5.1f}"
        )


if __name__ == "__main__":
    main()
