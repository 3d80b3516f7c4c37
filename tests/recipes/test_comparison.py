"""Ours beside the paper's, and what clusters are compared with."""

import numpy as np
import pytest

from skscan.recipes import comparison_rows, comparison_table, load_recipe
from skscan.recipes.baselines import K_MEANS_RUNS, few_labels_scores, k_means_scores


def cell(stage, seed=None, k_means=None, **scores):
    found = {"stage": stage, "scores": scores}
    if seed is not None:
        found["seed"] = seed
    if k_means is not None:
        found["k_means_scores"] = k_means
    return found


CELLS = {
    "pretext": cell("pretext", accuracy=[0.5, 0.6, 0.7]),
    "mining": cell("mining", purity_train=0.8, purity_test=0.9),
    "scan-seed-0": cell("scan", 0, {"accuracy": [0.4, 0.5]}, accuracy=0.7, top_k_accuracy=0.95),
    "scan-seed-1": cell("scan", 1, {"accuracy": [0.6, 0.7]}, accuracy=0.8, top_k_accuracy=0.97),
}
CELLS["scan-seed-0"]["k"] = CELLS["scan-seed-1"]["k"] = 5


def row(rows, stage, score, by=""):
    [found] = [r for r in rows if (r["stage"], r["score"], r["by"]) == (stage, score, by)]
    return found


def test_means_and_deviations_are_over_seeds_and_runs():
    rows = comparison_rows(load_recipe("cifar10"), CELLS)
    scan = row(rows, "scan", "accuracy")
    assert (scan["mean"], scan["n"]) == (pytest.approx(0.75), 2)
    assert scan["std"] == pytest.approx(np.std([0.7, 0.8], ddof=1))
    pretext = row(rows, "pretext", "accuracy")
    assert (pretext["mean"], pretext["n"]) == (pytest.approx(0.6), 3)
    k_means = row(rows, "scan", "accuracy", "k-means on the same features")
    assert (k_means["mean"], k_means["n"], k_means["published"]) == (pytest.approx(0.55), 4, [])
    mining = row(rows, "mining", "purity_test")
    assert (mining["mean"], mining["std"], mining["n"]) == (0.9, None, 1)


def test_published_figures_stand_beside_ours_with_source_and_doubt():
    rows = comparison_rows(load_recipe("cifar10"), CELLS)
    average, best = row(rows, "scan", "accuracy")["published"]
    assert (average["row"], average["value"], average["std"]) == ("average", 0.818, 0.003)
    assert not average["verified"]
    assert (best["row"], best["value"], best["verified"]) == ("best", 0.816, True)
    assert "README" in best["source"]


def test_undone_self_labelling_is_marked():
    cells = {
        f"self-label-seed-{seed}": {**cell("self-label", seed, accuracy=0.7), "accepted": accepted}
        for seed, accepted in enumerate([True, False, False])
    }
    rows = comparison_rows(load_recipe("cifar10"), CELLS | cells)
    assert row(rows, "self-label", "accuracy")["undone"] == 2
    assert row(rows, "scan", "accuracy")["undone"] == 0
    lines = comparison_table(rows).splitlines()
    assert any(line.startswith("self-label† ") and "ACC" in line for line in lines)
    assert lines[-1].startswith("† self-label: in 2 of 3 runs self-labelling was undone")


def test_rows_that_did_not_run_are_listed_too():
    rows = comparison_rows(load_recipe("cifar10"), {})
    assert row(rows, "self-label", "accuracy")["mean"] is None
    assert row(rows, "overcluster", "many_to_one_accuracy")["published"][0]["value"] == 0.862
    assert row(rows, "supervised", "accuracy")["published"]
    assert all(r["n"] == 0 for r in rows)


def test_table_is_in_per_cent_and_marks_what_is_not_verified():
    table = comparison_table(comparison_rows(load_recipe("cifar10"), CELLS))
    lines = [line.split() for line in table.splitlines()]
    scan = next(line for line in lines if line[:2] == ["SCAN", "ACC"])
    assert " ".join(scan) == "SCAN ACC 75.0 ± 7.1 (n=2) 81.8 ± 0.3* (average); 81.6 (best)"
    assert any(line[:2] == ["top-5", "96.0"] for line in lines)
    assert table.splitlines()[-1].startswith("* as remembered of the paper")


def test_nothing_unverified_needs_no_remark():
    rows = [r for r in comparison_rows(load_recipe("cifar10"), CELLS) if r["stage"] == "mining"]
    assert "*" not in comparison_table(rows)


def blobs(n, rng, centers):
    y = rng.randint(len(centers), size=n)
    return (centers[y] + 0.1 * rng.randn(n, centers.shape[1])).astype(np.float32), y


def test_k_means_is_fitted_on_train_and_applied_to_test():
    rng = np.random.RandomState(0)
    centers = 3 * rng.randn(3, 4)
    train, _ = blobs(200, rng, centers)
    test, y_test = blobs(100, rng, centers)
    scores = k_means_scores(train, test, y_test, 3, seed=0)
    assert all(len(values) == K_MEANS_RUNS for values in scores.values())
    assert max(scores["accuracy"]) == 1
    assert scores == k_means_scores(train, test, y_test, 3, seed=0)
    # what is learned of train alone decides: one cluster of it covers all of a far test split
    far = k_means_scores(train, test + 100, y_test, 3, seed=0)
    assert max(far["nmi"]) == pytest.approx(0)


def test_few_labels_uses_only_its_share():
    rng = np.random.RandomState(0)
    centers = 3 * rng.randn(8, 4)
    train, y_train = blobs(800, rng, centers)
    test, y_test = blobs(200, rng, centers)
    result = few_labels_scores(train, y_train, test, y_test, 0.01, np.random.RandomState(0))
    assert result["n_labels"] == sum(max(1, round(0.01 * n)) for n in np.bincount(y_train))
    assert result["k"] == 5
    assert 0.8 < result["scores"]["accuracy"] <= result["scores"]["top_k_accuracy"] <= 1
    two = y_train < 2
    result = few_labels_scores(
        train[two],
        y_train[two],
        test[y_test < 2],
        y_test[y_test < 2],
        0.5,
        np.random.RandomState(0),
    )
    assert (result["k"], result["scores"]["accuracy"]) == (2, 1)
