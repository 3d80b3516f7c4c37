"""How far confidence and outlier scores can be trusted, with default settings.

    python benchmarks/confidence.py                         every set below, 3 seeds
    python benchmarks/confidence.py --sets "STL-10" --seeds 5 --json confidence.json

Each seed fits SCANClusterer on seven tenths of a set, drawn at random, and looks at the rest as at
new images. The first table has the expected calibration error (ECE, 15 bins) of `predict_proba`,
as it would be at temperature 1 and as it is, and at the temperature that is best for the labels of
these very images, which no method without labels can know.

The second has the area under the ROC curve of `outlier_scores`: fitted on five classes drawn at
random, how well are the other five (near), or images of another set (far), told from new images of
the five? Beside it 1 minus the confidence, the plainest score there is. STL-10 and CIFAR-10 share
nine of ten classes: for each other they are no other kind of thing, only other pictures.

Features are those of the embedded backbone, which was trained on ImageNet with labels, or pixels
where the name of the set says so. Labels serve for scores alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DATASETS, Features, MissingDataError
from sklearn.metrics import roc_auc_score

from skscan import SCANClusterer
from skscan.calibration import calibrated
from skscan.metrics import clustering_accuracy, expected_calibration_error

CALIBRATION_SETS = [
    "STL-10",
    "CIFAR-10 test",
    "Fashion-MNIST test",
    "digits, pixels",
    "Fashion-MNIST test, pixels",
    "STL-10, 5 classes",
    "CIFAR-10, 5 classes",
    "STL-10, long tail, class 0 largest",
    "STL-10, long tail, class 9 largest",
    "STL-10, one class a third",
]
#: Sets to draw five classes of, and sets of other images in the same features.
OUTLIER_SETS = {
    "STL-10": ["Fashion-MNIST test", "CIFAR-10 test"],
    "CIFAR-10 test": ["Fashion-MNIST test"],
    "Fashion-MNIST test": ["STL-10"],
    "digits, pixels": [],
    "Fashion-MNIST test, pixels": [],
}
N_FAR = 3000
TEMPERATURES = np.geomspace(0.25, 16, 60)


def split(features: Features, seed: int) -> tuple[Features, Features]:
    """Draw seven tenths to fit on; the rest is new."""
    X, y = features
    order = np.random.RandomState(seed).permutation(len(y))
    fitted, new = np.split(order, [int(0.7 * len(y))])
    return (X[fitted], y[fitted]), (X[new], y[new])


def measure_calibration(features: Features, seed: int) -> dict[str, float]:
    """Fit on a part, and score the probabilities of the rest."""
    (X, y), (X_new, y_new) = split(features, seed)
    clusterer = SCANClusterer(len(np.unique(y)), random_state=seed).fit(X)
    logits = clusterer.heads_.logits(clusterer.transform(X_new), clusterer.best_head_)
    probabilities = clusterer.predict_proba(X_new)
    errors = [
        expected_calibration_error(y_new, calibrated(logits, temperature))
        for temperature in TEMPERATURES
    ]
    ambiguous = np.isin(np.arange(len(y)), clusterer.ambiguous_indices_)
    return {
        "accuracy": clustering_accuracy(y_new, clusterer.predict(X_new)),
        "confidence": float(probabilities.max(axis=1).mean()),
        "temperature": clusterer.temperature_,
        "uncalibrated": expected_calibration_error(y_new, calibrated(logits, 1.0)),
        "calibrated": expected_calibration_error(y_new, probabilities),
        "best": min(errors),
        "ambiguous": float(ambiguous.mean()),
    }


def measure_outliers(name: str, seed: int) -> dict[str, dict[str, float]]:
    """Fit on five classes, and tell other images from new ones of these classes."""
    X, y = DATASETS[name]()
    rng = np.random.RandomState(seed)
    known = np.isin(y, rng.choice(np.unique(y), 5, replace=False))
    (X_fit, _), (X_new, _) = split((X[known], y[known]), seed)
    clusterer = SCANClusterer(5, random_state=seed).fit(X_fit)
    others = {"other classes": X[~known]}
    for far in OUTLIER_SETS[name]:
        images = DATASETS[far]()[0]
        others[far] = images[rng.choice(len(images), N_FAR, replace=False)]
    inside = clusterer.assess(X_new)
    found = {}
    for kind, images in others.items():
        outside = clusterer.assess(images)
        is_outside = np.r_[np.zeros(len(X_new)), np.ones(len(images))]
        scores = np.r_[inside.outlier_scores, outside.outlier_scores]
        confidence = np.r_[inside.probabilities.max(axis=1), outside.probabilities.max(axis=1)]
        found[kind] = {
            "outlier_scores": float(roc_auc_score(is_outside, scores)),
            "one_minus_confidence": float(roc_auc_score(is_outside, -confidence)),
        }
    return found


def mean(rows: list[dict[str, float]], name: str) -> float:
    """Average a figure over the seeds."""
    return float(np.mean([row[name] for row in rows]))


def main() -> None:
    """Run the sets that were asked for, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=CALIBRATION_SETS, default=CALIBRATION_SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {"calibration": {}, "outliers": {}}

    print("| set | accuracy | mean confidence | ECE, T = 1 | ECE | ECE, best T | T | ambiguous |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        try:
            features = DATASETS[name]()
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        rows = [measure_calibration(features, seed) for seed in range(options.seeds)]
        results["calibration"][name] = rows
        print(
            f"| {name} | {mean(rows, 'accuracy'):.3f} | {mean(rows, 'confidence'):.3f} "
            f"| {mean(rows, 'uncalibrated'):.3f} | {mean(rows, 'calibrated'):.3f} "
            f"| {mean(rows, 'best'):.3f} | {mean(rows, 'temperature'):.1f} "
            f"| {mean(rows, 'ambiguous'):.2f} |",
            flush=True,
        )

    print("\n| five classes of | other images | AUROC of outlier_scores | of 1 - confidence |")
    print("|---|---|---|---|")
    for name in [name for name in OUTLIER_SETS if name in options.sets]:
        try:
            found = [measure_outliers(name, seed) for seed in range(options.seeds)]
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        results["outliers"][name] = found
        for kind in found[0]:
            rows = [seed[kind] for seed in found]
            print(
                f"| {name} | {kind} | {mean(rows, 'outlier_scores'):.3f} "
                f"| {mean(rows, 'one_minus_confidence'):.3f} |",
                flush=True,
            )
    if not results["calibration"]:
        sys.exit("no set could be run")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
