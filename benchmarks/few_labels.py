"""Accuracy from a few labels a class, beside the methods that scikit-learn offers, in one run.

    python benchmarks/few_labels.py --json few_labels.json      four sets, 5 seeds
    python benchmarks/few_labels.py --quick                     digits alone, 2 seeds
    python benchmarks/few_labels.py --suggest                   `suggest` beside random choice

Each seed draws 1, 3, 10 and 30 labels of each class; all methods get the same labels and the same
scaled features, and are scored on the samples without a label. "no labels" is SCANClusterer with
its defaults, the clusters matched to the classes on those samples. The others get their best
setting of those listed below, in hindsight, for each set and each number of labels: an advantage
over SCANClassifier, which runs with its defaults. In brackets is what they give with scikit-learn's
defaults. With --json, cells that are in the file already are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DATASETS, MissingDataError, of_sizes
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from skscan import FeatureScaler, SCANClassifier, SCANClusterer
from skscan.metrics import clustering_accuracy

SETS = [
    "CIFAR-10 test",
    "STL-10",
    "Fashion-MNIST test",
    "digits, pixels",
    "STL-10, long tail, class 0 largest",
]
COUNTS = (1, 3, 10, 30)

Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""From scaled features, y with -1 for unknown, and a seed, to labels of all samples."""


def _probe(C: float) -> Method:
    def predict(Z: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        unit, known = normalize(Z), y >= 0
        return LogisticRegression(C=C, max_iter=500).fit(unit[known], y[known]).predict(unit)

    return predict


def _spreading(n_neighbors: int, alpha: float) -> Method:
    def predict(Z: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        model = LabelSpreading(kernel="knn", n_neighbors=n_neighbors, alpha=alpha, max_iter=100)
        return model.fit(normalize(Z), y).transduction_

    return predict


def _self_training(threshold: float, C: float) -> Method:
    def predict(Z: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        base = LogisticRegression(C=C, max_iter=200)
        model = SelfTrainingClassifier(base, threshold=threshold, max_iter=5)
        return model.fit(normalize(Z), y).predict(normalize(Z))

    return predict


def _untuned(estimator: LabelSpreading | SelfTrainingClassifier) -> Method:
    def predict(Z: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        return clone(estimator).fit(normalize(Z), y).predict(normalize(Z))

    return predict


def _ours(Z: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return SCANClassifier(random_state=seed).fit(Z, y).labels_


#: Settings of each method, its defaults first; the best of them is shown.
METHODS: dict[str, dict[str, Method]] = {
    "SCANClassifier": {"defaults": _ours},
    "linear probe": {f"C={C}": _probe(C) for C in (1.0, 0.1, 10.0, 100.0)},
    "LabelSpreading": {
        "defaults": _untuned(LabelSpreading()),
        **{f"k={k} alpha={alpha}": _spreading(k, alpha) for k in (10, 20) for alpha in (0.2, 0.8)},
    },
    "SelfTraining": {
        "defaults": _untuned(SelfTrainingClassifier(LogisticRegression(max_iter=200))),
        **{
            f"threshold={threshold} C={C}": _self_training(threshold, C)
            for threshold, C in ((0.6, 10.0), (0.75, 10.0), (0.9, 10.0))
        },
    },
}


class Results:
    """Scores by cell, kept in a file where one is named."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        exists = path is not None and path.is_file()
        self.cells: dict[str, float] = json.loads(path.read_text()) if exists else {}

    def get(self, key: tuple, compute: Callable[..., float], *args: Any) -> float:
        """Return a cell; run it with these arguments first when it is missing."""
        name = " | ".join(map(str, key))
        if name not in self.cells:
            start = time.process_time()
            self.cells[name] = compute(*args)
            print(
                f"{name}: {self.cells[name]:.4f} ({time.process_time() - start:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
            if self.path is not None:
                partial = self.path.with_suffix(".partial")
                partial.write_text(json.dumps(self.cells, indent=1))
                os.replace(partial, self.path)
        return self.cells[name]


def draw_labels(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return y with all but `count` labels of each class replaced by -1."""
    rng = np.random.RandomState(seed)
    rows = [rng.choice(np.flatnonzero(y == c), count, replace=False) for c in np.unique(y)]
    few = np.full(len(y), -1)
    few[np.concatenate(rows)] = y[np.concatenate(rows)]
    return few


def measure(
    name: str, Z: np.ndarray, y: np.ndarray, n_seeds: int, results: Results, counts: list[int]
) -> None:
    """Print the rows of one set."""
    clusters: dict[int, np.ndarray] = {}

    def without_labels(few: np.ndarray, seed: int) -> float:
        if seed not in clusters:
            clusters[seed] = SCANClusterer(len(np.unique(y)), random_state=seed).fit_predict(Z)
        rest = few < 0
        return clustering_accuracy(y[rest], clusters[seed][rest])

    def accuracy(method: Method, few: np.ndarray, seed: int) -> float:
        rest = few < 0
        return float(np.mean(method(Z, few, seed)[rest] == y[rest]))

    for count in counts:
        if np.bincount(y).min() <= count:
            continue
        labels = [draw_labels(y, count, seed) for seed in range(n_seeds)]
        unlabelled = [
            results.get((name, count, seed, "no labels"), without_labels, few, seed)
            for seed, few in enumerate(labels)
        ]
        cells = [_spread(unlabelled)]
        for method, settings in METHODS.items():
            by_setting = [
                [
                    results.get(
                        (name, count, seed, method, setting),
                        accuracy,
                        predict,
                        few,
                        seed,
                    )
                    for seed, few in enumerate(labels)
                ]
                for setting, predict in settings.items()
            ]
            untuned = f" ({np.mean(by_setting[0]):.3f})" if len(by_setting) > 1 else ""
            cells.append(_spread(max(by_setting, key=np.mean)) + untuned)
        print(f"| {name} | {count} | {' | '.join(cells)} |", flush=True)


def _spread(scores: list[float]) -> str:
    return f"{np.mean(scores):.3f} ± {np.std(scores):.3f}"


def measure_suggestions(
    name: str, Z: np.ndarray, y: np.ndarray, n_seeds: int, results: Results
) -> None:
    """Print the accuracy after labels were added that were suggested, or drawn at random."""
    n_classes = len(np.unique(y))

    def grow(seed: int, suggested: bool) -> float:
        few = draw_labels(y, 1, seed)
        for round_ in range(2):
            model = SCANClassifier(random_state=seed).fit(Z, few)
            rng = np.random.RandomState(100 * seed + round_)
            drawn = rng.choice(np.flatnonzero(few < 0), n_classes, replace=False)
            chosen = model.suggest(n_classes) if suggested else drawn
            few[chosen] = y[chosen]
        rest = few < 0
        return float(np.mean(_ours(Z, few, seed)[rest] == y[rest]))

    scores = {
        way: [
            results.get((name, "suggest", seed, way), grow, seed, way == "suggested")
            for seed in range(n_seeds)
        ]
        for way in ("suggested", "random")
    }
    print(f"| {name} | {' | '.join(map(_spread, scores.values()))} |", flush=True)


def load(name: str, largest: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Scaled features and classes of a set, at most `largest` samples."""
    X, y = DATASETS[name]()
    if largest is not None and largest < len(y):
        shares = np.bincount(y) * largest / len(y)
        X, y = of_sizes((X, y), {c: int(size) for c, size in enumerate(shares)})
    return FeatureScaler().fit_transform(X), y


def main() -> None:
    """Run the sets that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(DATASETS), default=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="labels a class")
    parser.add_argument("--samples", type=int, help="use at most so many of each set")
    parser.add_argument("--quick", action="store_true", help="digits alone, 2 seeds")
    parser.add_argument("--suggest", action="store_true", help="measure suggestions instead")
    parser.add_argument(
        "--json", type=Path, help="keep all figures in this file, and go on from it"
    )
    options = parser.parse_args()
    if options.quick:
        options.sets, options.seeds = ["digits, pixels"], 2
    warnings.simplefilter("ignore")

    results = Results(options.json)
    if options.suggest:
        print("| set | 1 label a class, and twice as many suggested | as many at random |")
        print("|---|---|---|")
    else:
        print("| set | labels a class | no labels |", " | ".join(METHODS), "|")
        print("|---|---|---|" + "---|" * len(METHODS))
    n_run = 0
    for name in options.sets:
        try:
            Z, y = load(name, options.samples)
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        if options.suggest:
            measure_suggestions(name, Z, y, options.seeds, results)
        else:
            measure(name, Z, y, options.seeds, results, options.counts)
        n_run += 1
    if not n_run:
        sys.exit("no set could be run")


if __name__ == "__main__":
    main()
