"""How well labels can be learned."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.linear_model import LogisticRegression

from skscan.learnability import learnability


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    return X[:300] / 8 - 1, y[:300]


def test_it_is_the_share_of_samples_predicted_from_the_others(digits):
    X, y = digits
    X, y = X[:40], y[:40]
    right = 0
    for i in range(40):  # as many folds as samples: no draw matters
        others = np.arange(40) != i
        model = LogisticRegression(max_iter=300).fit(X[others], y[others])
        right += int(model.predict(X[i : i + 1])[0] == y[i])
    assert learnability(y, X, n_folds=40) == pytest.approx(right / 40)


def test_labels_that_follow_the_data_are_learned_and_others_are_not(digits):
    X, y = digits
    shuffled = np.random.RandomState(0).permutation(y)
    half = np.where(np.arange(len(y)) % 2, y, shuffled)
    values = [learnability(labels, X, random_state=0) for labels in (y, half, shuffled)]
    assert values[0] > 0.95
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.4


def test_names_of_clusters_do_not_matter(digits):
    X, y = digits
    renamed = np.array([7, 2, 30, 1])[y]
    assert learnability(renamed, X, random_state=0) == learnability(y, X, random_state=0)


def test_spaces_are_averaged(digits):
    X, y = digits
    noise = np.random.RandomState(0).standard_normal((len(X), 3))
    joined = learnability(y, np.hstack([X, noise]), spaces=[64, 3], random_state=0)
    alone = [learnability(y, part, random_state=0) for part in (X, noise)]
    assert joined == pytest.approx(np.mean(alone))


def test_the_subset_is_bounded_and_seeded():
    X, y = make_blobs(500, centers=3, cluster_std=4.0, random_state=0)
    first, again = (learnability(y, X, max_samples=60, random_state=0) for _ in range(2))
    assert first == again
    assert round(first * 60, 6).is_integer()


def test_rare_and_single_clusters():
    X = np.random.RandomState(0).rand(30, 2)
    assert learnability(np.zeros(30, int), X) == 1.0
    assert learnability(np.arange(30) == 0, X) == pytest.approx(29 / 30)


@pytest.mark.parametrize(
    ("labels", "n_folds", "message"),
    [([0, 1], 5, "as many samples, got 2 and 3"), ([0, 1, 0], 1, "n_folds=1")],
)
def test_wrong_arguments_are_named(labels, n_folds, message):
    with pytest.raises(ValueError, match=message):
        learnability(np.array(labels), np.ones((3, 2)), n_folds=n_folds)
