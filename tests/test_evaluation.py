"""The evaluation of one split: reference values, properties, wrong input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from skscan.evaluation import evaluate_split
from skscan.metrics import match_clusters

GOLDEN = np.load(Path(__file__).parent / "golden" / "evaluation.npz")


def one_hot(labels, n):
    return np.eye(n)[np.asarray(labels)]


@pytest.mark.parametrize("case", ["ten", "fifty"])
def test_golden_values(case):
    probabilities = GOLDEN[f"{case}_probabilities"]
    head = int(GOLDEN[f"{case}_selected_head"])
    evaluation = evaluate_split(GOLDEN[f"{case}_targets"], probabilities[head])
    ours = [evaluation.accuracy, evaluation.nmi, evaluation.ari, evaluation.top_k_accuracy]
    np.testing.assert_allclose(ours, GOLDEN[f"{case}_acc_nmi_ari_top5"], rtol=1e-5)
    for cluster, number in GOLDEN[f"{case}_match_cluster_class"]:
        assert evaluation.class_of_cluster[cluster] == number
    assert evaluation.k == 5


def test_confusion_has_true_classes_as_rows_that_sum_to_one():
    rng = np.random.RandomState(0)
    y = rng.choice(3, 200, p=[0.8, 0.15, 0.05])
    labels = np.where(rng.rand(200) < 0.7, y, rng.randint(3, size=200))
    order = np.array([2, 0, 1])  # cluster c holds class order[c]
    clusters = np.argsort(order)[labels]
    evaluation = evaluate_split(y, one_hot(clusters, 3))
    np.testing.assert_array_equal(evaluation.class_of_cluster, order)
    expected = confusion_matrix(y, labels, normalize="true")
    np.testing.assert_allclose(evaluation.confusion, expected)
    assert evaluation.macro_accuracy == pytest.approx(np.diag(expected).mean())
    assert evaluation.accuracy == pytest.approx((labels == y).mean())


def test_clusters_without_a_class_come_last_in_the_confusion():
    y = ["a"] * 4 + ["b"] * 2
    evaluation = evaluate_split(y, one_hot([3, 3, 3, 0, 1, 1], 4))
    np.testing.assert_array_equal(evaluation.class_of_cluster, [-1, 1, -1, 0])
    np.testing.assert_allclose(evaluation.confusion, [[0.75, 0, 0.25, 0], [0, 1, 0, 0]])
    assert evaluation.accuracy == pytest.approx(5 / 6)
    assert evaluation.macro_accuracy == pytest.approx((0.75 + 1) / 2)
    assert evaluation.many_to_one_accuracy == 1


def test_majority_match_is_found_on_the_split_itself():
    y = np.array([0, 0, 0, 1, 1, 1])
    evaluation = evaluate_split(y, one_hot([0, 0, 1, 2, 2, 1], 5), match="majority")
    np.testing.assert_array_equal(evaluation.class_of_cluster, [0, 0, 1, -1, -1])
    assert evaluation.many_to_one_accuracy == pytest.approx(5 / 6)
    np.testing.assert_allclose(evaluation.confusion[:, :2], [[1, 0], [1 / 3, 2 / 3]])
    assert evaluation.macro_accuracy == pytest.approx(5 / 6)
    assert evaluation.accuracy == pytest.approx(4 / 6)


def test_fewer_clusters_than_classes():
    evaluation = evaluate_split([0, 1, 2, 2], one_hot([0, 1, 1, 1], 2))
    assert evaluation.accuracy == 0.75
    np.testing.assert_array_equal(evaluation.class_of_cluster, [0, 2])
    assert evaluation.confusion.shape == (3, 3)
    assert evaluation.k == 2


def test_top_k_says_how_many_count():
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=50)
    evaluation = evaluate_split(y, rng.dirichlet(np.ones(3), 50))
    assert evaluation.k == 3
    assert evaluation.top_k_accuracy == 1
    assert evaluate_split(y, rng.dirichlet(np.ones(8), 50), k=2).k == 2


def test_prototypes_are_near_the_mean_of_the_ten_most_confident():
    rng = np.random.RandomState(0)
    confidence = np.linspace(0.99, 0.6, 40)
    probabilities = np.column_stack([confidence, 1 - confidence, np.zeros(40)])
    features = rng.randn(40, 3)
    features[10:] += 100  # the less confident are elsewhere
    evaluation = evaluate_split(rng.randint(2, size=40), probabilities, features)
    distances = np.linalg.norm(features[:10] - features[:10].mean(axis=0), axis=1)
    np.testing.assert_array_equal(evaluation.prototypes, [distances.argmin(), -1, -1])
    assert evaluate_split([0, 1], np.eye(2)).prototypes is None


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(2, 9), st.integers(1, 60), st.integers(0, 2**31 - 1))
def test_names_and_order_do_not_matter(n_classes, n_clusters, n, seed):
    rng = np.random.RandomState(seed)
    y, probabilities = rng.randint(n_classes, size=n), rng.dirichlet(np.ones(n_clusters), n)
    for match in ("one-to-one", "majority"):
        evaluation = evaluate_split(y, probabilities, match=match)
        rows, columns = rng.permutation(n), rng.permutation(n_clusters)
        names = np.array([f"class {i}" for i in rng.permutation(n_classes)])
        other = evaluate_split(names[y][rows], probabilities[rows][:, columns], match=match)
        scores, others = evaluation.scores(), other.scores()
        for name in ("accuracy", "nmi", "ari", "ami", "many_to_one_accuracy"):
            assert scores[name] == pytest.approx(others[name], abs=1e-9)
        np.testing.assert_allclose(evaluation.confusion.sum(axis=1), 1)
        assert scores["accuracy"] <= scores["many_to_one_accuracy"] + 1e-12
        assert scores["accuracy"] <= scores["top_k_accuracy"] + 1e-12
        right = (
            evaluation.class_of_cluster[probabilities.argmax(axis=1)]
            == np.unique(y, return_inverse=True)[1]
        )
        key = "accuracy" if match == "one-to-one" else "many_to_one_accuracy"
        assert right.mean() == pytest.approx(scores[key])


@pytest.mark.parametrize(("n", "expected"), [(20, 0.46), (100, 0.25), (10_000, 0.11)])
def test_the_figures_for_random_clusters_are_true(n, expected):
    rng = np.random.RandomState(0)
    accuracies = [
        evaluate_split(rng.randint(10, size=n), one_hot(rng.randint(10, size=n), 10)).accuracy
        for _ in range(max(10, 2000 // n))
    ]
    assert np.mean(accuracies) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], np.eye(3)), {}, "inconsistent numbers of samples"),
        (([0, 1], np.eye(2)), {"match": "best"}, r"match must be one of \['one-to-one'"),
        (([0, 1], np.eye(2)), {"k": 0}, "k must be at least 1"),
        (([], np.empty((0, 2))), {}, "0 sample"),
        (([0, 1], [[np.nan, 1], [0, 1]]), {}, "probabilities contains NaN"),
        (([0, 1], np.eye(2), np.eye(3)), {}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_split(*arguments, **options)


def test_clusters_out_of_range():
    with pytest.raises(ValueError, match="clusters from 0 to 5; with n_clusters=3, 0 to 2"):
        match_clusters([0, 1], [0, 5], 3)
