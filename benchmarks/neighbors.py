"""Neighbour search: recall, time and memory of the libraries that do it.

    python benchmarks/neighbors.py [--n 100000]
    python benchmarks/neighbors.py --exact     exact searches beside the machine's matrix product

Runs whatever is installed of faiss-cpu, hnswlib, pynndescent and usearch, each with settings meant
for a recall at 20 of 0.95 or more, beside scikit-learn's exact search, on features like those of a
network: a mixture of 1,000 classes with a low intrinsic dimension.

With ``--exact`` the flops of all pairs, 2 n^2 d, over the seconds of each exact search stand beside
the rate of a float32 product of 2,048 in the same round. A search that computes each pair once and
uses it for both rows may be above it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage

import numpy as np

K = 20
Search = Callable[[np.ndarray], np.ndarray]


def features(n: int) -> np.ndarray:
    """Generate n rows of 128 features."""
    rng = np.random.RandomState(0)
    centers = rng.randn(1000, 128)
    basis = rng.randn(24, 128)
    classes = rng.randint(1000, size=n)
    X = centers[classes] + rng.randn(n, 24) @ basis * 0.4 + rng.randn(n, 128) * 0.3
    return X.astype(np.float32)


def exact(X: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X).kneighbors()[1]


def skscan_exact(X: np.ndarray) -> np.ndarray:
    from skscan import NeighborMiner

    return NeighborMiner(K, backend="exact").fit(X).kneighbors()[1]


def skscan_faiss(X: np.ndarray) -> np.ndarray:
    from skscan import NeighborMiner

    return NeighborMiner(K, backend="faiss").fit(X).kneighbors()[1]


def faiss_ivf(X: np.ndarray) -> np.ndarray:
    import faiss

    n_cells = int(4 * np.sqrt(len(X)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(X.shape[1]), X.shape[1], n_cells)
    index.train(X)
    index.add(X)
    index.nprobe = n_cells // 16
    return index.search(X, K + 1)[1][:, 1:]


def hnswlib_(X: np.ndarray) -> np.ndarray:
    import hnswlib

    index = hnswlib.Index("l2", X.shape[1])
    index.init_index(len(X), M=16, ef_construction=100)
    index.add_items(X)
    index.set_ef(64)
    return index.knn_query(X, K + 1)[0][:, 1:]


def pynndescent_(X: np.ndarray) -> np.ndarray:
    from pynndescent import NNDescent

    return NNDescent(X, n_neighbors=K + 1, random_state=0).neighbor_graph[0][:, 1:]


def usearch_(X: np.ndarray) -> np.ndarray:
    from usearch.index import Index

    index = Index(ndim=X.shape[1], metric="l2sq")
    index.add(np.arange(len(X)), X)
    return index.search(X, K + 1).keys[:, 1:]


SEARCHES: dict[str, Search] = {
    "exact": exact,
    "skscan, exact": skscan_exact,
    "skscan, faiss HNSW": skscan_faiss,
    "faiss IVF": faiss_ivf,
    "hnswlib": hnswlib_,
    "pynndescent": pynndescent_,
    "usearch": usearch_,
}


def run_one(name: str, n: int) -> None:
    """Run one search in this process and print recall, seconds and peak memory."""
    X = features(n)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = SEARCHES[name](X)
    seconds = time.perf_counter() - start
    memory = (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024
    rows = np.random.RandomState(1).choice(n, min(n, 2000), replace=False)
    distances = ((X[rows] ** 2).sum(1)[:, None] - 2 * X[rows] @ X.T) + (X**2).sum(1)
    distances[np.arange(len(rows)), rows] = np.inf
    nearest = np.argpartition(distances, K, axis=1)[:, :K]
    pairs = zip(nearest, found[rows], strict=True)
    recall = np.mean([len(set(a) & set(b)) / K for a, b in pairs])
    print(f"| {name} | {recall:.3f} | {seconds:.1f} | {memory:.0f} |")


def faiss_flat(X: np.ndarray, k: int) -> np.ndarray:
    import faiss

    return faiss.knn(X, X, k + 1)[1]


def sklearn_brute(X: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(algorithm="brute").fit(X).kneighbors(X, k + 1)[1]


def skscan_miner(X: np.ndarray, k: int) -> np.ndarray:
    from skscan import NeighborMiner

    return NeighborMiner(k, backend="exact").fit(X).kneighbors()[1]


def flops_per_second() -> float:
    """Measure NumPy's float32 product of two matrices of 2,048."""
    a = np.random.RandomState(0).rand(2048, 2048).astype(np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / float(np.median(times))


def compare_exact(n: int, n_rounds: int) -> None:
    """Print what share of the rate of the matrix product each exact search reaches."""
    X = features(n)
    searches = {"skscan": skscan_miner, "scikit-learn": sklearn_brute, "faiss flat": faiss_flat}
    print(f"n = {n}, 128 features, {n_rounds} alternating rounds")
    print("| search | k | seconds | share of the matrix product's rate |\n|---|---|---|---|")
    for k in (20, 50):
        results: dict[str, list[tuple[float, float]]] = {}
        skscan_miner(X[:2000], k)  # threads and libraries are there
        for _ in range(n_rounds):
            rate = flops_per_second()
            for name, search in searches.items():
                start = time.perf_counter()
                try:
                    search(X, k)
                except ImportError:
                    continue
                seconds = time.perf_counter() - start
                share = 2 * n**2 * X.shape[1] / seconds / rate
                results.setdefault(name, []).append((seconds, share))
        for name, values in results.items():
            seconds, shares = np.array(values).T
            print(
                f"| {name} | {k} | {np.median(seconds):.2f} | {np.median(shares):.2f} "
                f"({shares.min():.2f} to {shares.max():.2f}) |",
                flush=True,
            )


def main() -> None:
    """Run each search in a process of its own, so that memory is told apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(SEARCHES))
    options = parser.parse_args()
    if options.exact:
        compare_exact(options.n, options.rounds)
        return
    if options.only:
        run_one(options.only, options.n)
        return
    print(f"n = {options.n}, 128 features, k = {K}; first call, compilation included")
    print("| search | recall at 20 | seconds | added memory, MiB |\n|---|---|---|---|", flush=True)
    for name in SEARCHES:
        command = [sys.executable, __file__, "--only", name, "--n", str(options.n)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        failure = f"| {name} | not run: {run.stderr.strip().splitlines()[-1:]} | | |"
        print(run.stdout.strip() if run.returncode == 0 else failure, flush=True)


if __name__ == "__main__":
    main()
