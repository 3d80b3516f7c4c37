"""Where the true number of classes ranks among the proposals of ClusterCountSearch.

    python benchmarks/cluster_count.py                       every set and two subsets of each size
    python benchmarks/cluster_count.py --subsets 0 --seeds 3
    python benchmarks/cluster_count.py --json cluster_count.json

Beside the sets of the other benchmarks there are subsets of 2, 3, 5 and 7 classes that are drawn at
random, and sets that put classes of STL-10 and of Fashion-MNIST together, for more than ten. Labels
make the sets and serve the ranks and the ARI, which compares the cut of the merge tree at the true
number with the classes; the search does not see them. A rank of "-" means that the truth is no
proposal at all: not among the first five.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from datasets import (
    DATASETS,
    Features,
    MissingDataError,
    digits_pixels,
    fashion_features,
    of_sizes,
    zip_features,
)
from sklearn.metrics import adjusted_rand_score

from skscan import ClusterCountSearch, FeatureScaler, NeighborMiner
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.merge_tree import grow_merge_tree

FAMILIES = {
    "STL-10": lambda: zip_features("stl10"),
    "CIFAR-10 test": lambda: zip_features("cifar10", "/test/"),
    "Fashion-MNIST test": fashion_features,
    "digits, pixels": digits_pixels,
}
SUBSET_SIZES = (2, 3, 5, 7)
JOINED_SIZES = (12, 15, 20)


def single(name: str, make: Callable[[], Features]) -> Iterator[tuple[str, Features]]:
    """Give one set."""
    yield name, make()


def subsets(family: str, n_draws: int) -> Iterator[tuple[str, Features]]:
    """Draw classes of a set, `n_draws` times for each number of classes."""
    if not n_draws:
        return
    X, y = FAMILIES[family]()
    rng = np.random.RandomState(0)
    for size in SUBSET_SIZES:
        for _ in range(n_draws):
            classes = np.sort(rng.choice(10, size, replace=False))
            kept = np.isin(y, classes)
            yield f"{family}, classes {' '.join(map(str, classes))}", (X[kept], y[kept])


def joined(n_draws: int) -> Iterator[tuple[str, Features]]:
    """Draw classes of STL-10 and Fashion-MNIST together, 500 images of each."""
    if not n_draws:
        return
    stl, fashion = zip_features("stl10"), fashion_features()
    both = np.concatenate([stl[0], fashion[0]]), np.concatenate([stl[1], fashion[1] + 10])
    rng = np.random.RandomState(0)
    for size in JOINED_SIZES:
        classes = rng.choice(20, size, replace=False)
        name = f"STL-10 and Fashion-MNIST, {size} classes"
        yield name, of_sizes(both, dict.fromkeys(classes.tolist(), 500))


def all_sets(n_draws: int) -> Iterator[tuple[str, Features]]:
    """Give every set that is on this machine; say on stderr which are not."""

    def sources() -> Iterator[Iterator[tuple[str, Features]]]:
        for name, make in DATASETS.items():
            yield single(name, make)
        for family in FAMILIES:
            yield subsets(family, n_draws)
        yield joined(n_draws)

    for source in sources():
        try:
            yield from source
        except MissingDataError as error:
            print(f"not run: {error}", file=sys.stderr)


def measure(features: Features, seed: int) -> dict:
    """Search once, and rank the truth."""
    X, y = features
    truth = len(np.unique(y))
    Z = FeatureScaler().fit_transform(X)
    graph = NeighborMiner().fit_transform(Z)
    random_state = np.random.RandomState(seed)
    start = time.process_time()
    curve = ClusterCountSearch().search(Z, graph, random_state)
    seconds = time.process_time() - start
    tree = grow_merge_tree(Z, symmetric_affinity(neighbor_table(graph)), random_state)
    rank = curve.proposals.index(truth) + 1 if truth in curve.proposals else None
    return {
        "n_samples": len(y),
        "truth": truth,
        "proposals": curve.proposals[:4],
        "rank": rank,
        "ari": adjusted_rand_score(y, tree.cut(truth)),
        "seconds": seconds,
    }


def main() -> None:
    """Run the sets, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subsets", type=int, default=2, help="draws for each number of classes")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()

    print("| set | n | classes | proposals | rank of the truth | ARI of the cut | processor s |")
    print("|---|---|---|---|---|---|---|")
    results = []
    for name, features in all_sets(options.subsets):
        for seed in range(options.seeds):
            row = {"set": name, "seed": seed, **measure(features, seed)}
            results.append(row)
            proposals = ", ".join(map(str, row["proposals"]))
            print(
                f"| {name} | {row['n_samples']} | {row['truth']} | {proposals} "
                f"| {row['rank'] or '-'} | {row['ari']:.2f} | {row['seconds']:.1f} |",
                flush=True,
            )
    if not results:
        sys.exit("no set could be run")
    for best in (1, 2, 3):
        hits = sum(row["rank"] is not None and row["rank"] <= best for row in results)
        print(f"truth among the first {best}: {hits} of {len(results)}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
