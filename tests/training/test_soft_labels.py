"""fit_soft_labels: a head with a hidden layer learns probabilities of classes."""

import numpy as np
import pytest

from skscan.training.soft_labels import fit_soft_labels


@pytest.fixture(scope="module")
def corners():
    """Samples around four corners; opposite corners are of one class, which no plane separates."""
    rng = np.random.RandomState(0)
    signs = rng.choice([-1.0, 1.0], (600, 2))
    X = (signs + 0.2 * rng.standard_normal((600, 2))).astype(np.float32)
    return X, (signs.prod(axis=1) > 0).astype(int)


def fit(X, targets, **params):
    return fit_soft_labels(X, targets, **{"n_hidden": 32, "n_steps": 200, "seed": 0, **params})


def test_classes_that_no_plane_separates(corners):
    X, y = corners
    head, history = fit(X, np.eye(2)[y])
    assert (head.predict(X) == y).mean() > 0.98
    assert history[-1]["loss"] < history[0]["loss"]


def test_what_is_uncertain_stays_uncertain(corners):
    X, y = corners
    soft = np.where(np.eye(2)[y] == 1, 0.7, 0.3)
    head, _ = fit(X, soft, n_steps=500)
    np.testing.assert_allclose(head.predict_proba(X).mean(axis=0), soft.mean(axis=0), atol=0.03)
    assert head.predict_proba(X).max(axis=1).mean() == pytest.approx(0.7, abs=0.05)


def test_the_seed_rules_all_draws(corners):
    X, y = corners
    one, again, other = (fit(X, np.eye(2)[y], seed=seed, n_steps=10)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.logits(X), again.logits(X))
    assert not np.allclose(one.logits(X), other.logits(X))


@pytest.mark.parametrize("n_samples", [2, 255, 600])
def test_number_of_passes(corners, n_samples):
    X, y = (part[:n_samples] for part in corners)
    _, history = fit(X, np.eye(2)[y], n_steps=6)
    assert [entry["pass"] for entry in history] == list(range(6 if n_samples < 512 else 3))


def test_at_least_one_pass(corners):
    X, y = corners
    _, history = fit(X, np.eye(2)[y], n_steps=1)
    assert len(history) == 1
