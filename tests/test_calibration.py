"""The temperature of probabilities: what it changes, what it does not, and what decides it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs

import skscan
from skscan import ClusterTrainer, NeighborMiner, SCANClusterer
from skscan.calibration import ambiguous_rows, calibrated, expected_agreement, fit_temperature
from skscan.graph import neighbor_table
from skscan.metrics import expected_calibration_error
from skscan.networks.heads import LinearHeads

N_CLUSTERS = 4


@pytest.fixture(scope="module")
def logits():
    return np.random.RandomState(0).randn(300, N_CLUSTERS).astype(np.float32) * 3


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(y))
    return X[order], y[order]


@pytest.fixture(scope="module")
def fitted(digits):
    return SCANClusterer(10, effort="fast", random_state=0).fit(digits[0][:1200])


def heads_of(labels: np.ndarray) -> LinearHeads:
    """Heads that give these clusters, one row for each head, for samples with one-hot features."""
    weights = np.eye(N_CLUSTERS, dtype=np.float32)[labels].transpose(0, 2, 1)
    return LinearHeads(10 * weights, np.zeros((len(labels), N_CLUSTERS), dtype=np.float32))


def test_temperature_1_is_the_softmax(logits):
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated(logits, 1.0), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 16.0])
def test_no_temperature_changes_a_label(logits, temperature):
    before = logits.copy()
    probabilities = calibrated(logits, temperature)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(logits, before)


def test_higher_temperatures_are_less_confident(logits):
    means = [calibrated(logits, t).max(axis=1).mean() for t in (0.5, 1, 2, 4, 8)]
    assert (np.diff(means) < 0).all()


def test_agreement_is_that_of_the_better_heads_after_matching():
    """Ten samples in a ring, each with the next two as neighbors."""
    best = np.repeat([0, 1], 5)
    renamed = np.array([3, 2, 0, 1])[best]
    failed = np.arange(10) % N_CLUSTERS
    table = (np.arange(10)[:, None] + np.arange(3)) % 10  # self first
    features = np.eye(10, dtype=np.float32)
    heads = heads_of(np.stack([best, renamed, renamed, failed]))
    # at each of the two borders one pair of the next and two of the next but one are torn apart
    assert expected_agreement(heads, 0, features, table) == pytest.approx(14 / 20)
    assert expected_agreement(heads_of(best[None]), 0, features, table) == pytest.approx(14 / 20)
    constant = heads_of(np.stack([best, np.zeros(10, dtype=int)]))
    assert expected_agreement(constant, 0, features, table) == pytest.approx(1 / 2)


def test_the_better_half_of_the_heads_is_asked():
    """Those that put neighbors together; one cluster for all does so by chance alone."""
    best = np.repeat([0, 1], 5)
    shifted = np.roll(best, -1)
    table = (np.arange(10)[:, None] + np.arange(3)) % 10
    features = np.eye(10, dtype=np.float32)
    alone = expected_agreement(heads_of(np.stack([best, shifted])), 0, features, table)
    assert alone < 14 / 20
    failed = [np.arange(10) % N_CLUSTERS, np.zeros(10, dtype=int)]
    heads = heads_of(np.stack([best, *failed, shifted, shifted]))
    assert expected_agreement(heads, 0, features, table) == pytest.approx(alone)


def test_mean_confidence_is_the_agreement(fitted, digits):
    Z = fitted.transform(digits[0][:1200])
    table = neighbor_table(fitted.neighbors_)
    agreement = expected_agreement(fitted.heads_, fitted.best_head_, Z, table)
    assert fitted.probabilities_.max(axis=1).mean() == pytest.approx(agreement, abs=1e-3)


def test_confidence_is_nearer_to_the_accuracy_on_new_samples(fitted, digits):
    X, y = digits[0][1200:], digits[1][1200:]
    raw = fitted.heads_.predict_proba(fitted.transform(X), fitted.best_head_)
    probabilities = fitted.predict_proba(X)
    assert 1 < fitted.temperature_ < 3
    np.testing.assert_array_equal(probabilities.argmax(axis=1), raw.argmax(axis=1))
    calibrated_error = expected_calibration_error(y, probabilities)
    assert calibrated_error < expected_calibration_error(y, raw)


def test_probabilities_agree_with_predict_proba(fitted, digits):
    X = digits[0][:1200]
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.probabilities_)
    np.testing.assert_array_equal(
        fitted.labels_, fitted.heads_.predict(fitted.transform(X), fitted.best_head_)
    )


def test_labels_say_nothing(digits):
    X, y = digits[0][:150], digits[1][:150]
    model = SCANClusterer(3, effort="fast", random_state=0)
    fits = [clone(model).fit(X, given) for given in (y, y[::-1])]
    for other in fits[1:]:
        assert other.temperature_ == fits[0].temperature_
        np.testing.assert_array_equal(other.probabilities_, fits[0].probabilities_)
        np.testing.assert_array_equal(other.ambiguous_indices_, fits[0].ambiguous_indices_)
        np.testing.assert_array_equal(other.outlier_scores_, fits[0].outlier_scores_)


def test_noise_gets_little_confidence():
    X = np.random.RandomState(0).randn(400, 30)
    with np.errstate(all="ignore"):
        noise = SCANClusterer(5, effort="fast", random_state=0).fit(X)
    raw = noise.heads_.predict_proba(noise.transform(X), noise.best_head_)
    assert noise.probabilities_.max(axis=1).mean() < raw.max(axis=1).mean()
    assert noise.probabilities_.max(axis=1).mean() < 0.6


def test_a_single_head_and_a_single_cluster():
    X, _ = make_blobs(200, centers=3, random_state=0, cluster_std=0.5)
    trainer = ClusterTrainer(n_heads=1)
    one = SCANClusterer(3, cluster_trainer=trainer, self_label_trainer="skip", random_state=0).fit(
        X
    )
    assert np.isfinite(one.temperature_)
    assert one.temperature_ > 0
    heads = LinearHeads(np.zeros((2, 1, 2), np.float32), np.zeros((2, 1), np.float32))
    table = neighbor_table(NeighborMiner(3).fit_transform(X))
    assert fit_temperature(heads, 0, X.astype(np.float32), table) == 1


def test_ambiguous_rows_come_most_undecided_first():
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.5, 0.45, 0.05], [np.nan] * 3, [0.4, 0.2, 0.4], [0.6, 0.3, 0.1]]
    )
    assert ambiguous_rows(probabilities).tolist() == [3, 1, 4]
    assert ambiguous_rows(np.ones((5, 1))).tolist() == []


def test_ambiguous_samples_are_wrong_more_often(fitted, digits):
    y = digits[1][:1200]
    ambiguous = np.zeros(1200, dtype=bool)
    ambiguous[fitted.ambiguous_indices_] = True
    assert 0 < ambiguous.mean() < 0.5
    modes = np.array([np.bincount(y[fitted.labels_ == c]).argmax() for c in range(10)])
    right = modes[fitted.labels_] == y
    assert right[ambiguous].mean() < right[~ambiguous].mean() - 0.1


def test_saved_models_keep_what_they_know(fitted, digits, tmp_path):
    X = digits[0][1200:]
    again = skscan.load(skscan.save(fitted, tmp_path / "model"))
    assert again.temperature_ == fitted.temperature_
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(again.outlier_scores(X), fitted.outlier_scores(X))
    for name in ("ambiguous_indices_", "outlier_indices_", "outlier_scores_", "near_duplicates_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
