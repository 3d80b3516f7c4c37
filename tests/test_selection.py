"""Label-free criteria against reference values and slow, obvious versions."""

from pathlib import Path

import numpy as np
import pytest

from skscan.graph import symmetric_affinity
from skscan.networks.heads import LinearHeads
from skscan.selection import (
    CRITERIA,
    boundary_sparseness,
    criteria_of_heads,
    head_with_best_evidence,
    modularity,
    neighbor_density_ranks,
    neighbor_information,
    scan_selection_loss,
    scores_of_heads,
    silhouette_to_centers,
    size_evenness,
)

GOLDEN = np.load(Path(__file__).parent / "golden" / "evaluation.npz")


@pytest.fixture
def labels():
    return np.random.RandomState(0).randint(3, size=40)


@pytest.fixture
def affinity():
    return symmetric_affinity(np.random.RandomState(1).randint(40, size=(40, 5)))


@pytest.mark.parametrize("case", ["ten", "fifty"])
def test_the_scan_loss_has_the_reference_values_and_picks_the_reference_head(case):
    neighbors = GOLDEN[f"{case}_neighbors"]
    values = [
        scan_selection_loss(probabilities, neighbors)
        for probabilities in GOLDEN[f"{case}_probabilities"]
    ]
    expected = GOLDEN[f"{case}_selection_entropy_consistency_total"]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert np.argmin([value.total for value in values]) == GOLDEN[f"{case}_selected_head"]


def test_modularity_equals_the_double_sum(labels, affinity):
    weights = affinity.toarray()
    degrees, total = weights.sum(axis=1), weights.sum()
    same = labels[:, None] == labels[None, :]
    expected = ((weights - 1.0 * np.outer(degrees, degrees) / total) * same).sum() / total
    assert modularity(labels, affinity) == pytest.approx(expected, rel=1e-5)


def test_information_equals_the_sum_over_pairs_of_clusters(labels, affinity):
    weights = affinity.toarray() / affinity.sum()
    shares = np.array([weights[labels == c].sum() for c in range(3)])
    expected = 0.5 * (shares * np.log(shares)).sum()
    for a in range(3):
        for b in range(3):
            joint = weights[labels == a][:, labels == b].sum()
            expected += joint * np.log(joint / (shares[a] * shares[b]))
    assert neighbor_information(labels, affinity) == pytest.approx(expected, rel=1e-5)


def test_silhouette_equals_the_loop_over_samples(labels):
    features = np.random.RandomState(2).standard_normal((40, 3)).astype(np.float32)
    centers = np.stack([features[labels == c].mean(axis=0) for c in range(3)])
    terms = []
    for sample, label in zip(features, labels, strict=True):
        distances = np.linalg.norm(sample - centers, axis=1)
        own, other = distances[label], np.delete(distances, label).min()
        terms.append((other - own) / max(own, other))
    assert silhouette_to_centers(labels, features) == pytest.approx(np.mean(terms), rel=1e-4)


def test_sparseness_equals_the_loop_over_edges(labels, affinity):
    features = np.random.RandomState(2).standard_normal((40, 3)).astype(np.float32)
    table = np.random.RandomState(1).randint(40, size=(40, 5))
    ranks = neighbor_density_ranks(features, table)
    squares = np.square(features[table] - features[:, None]).sum(axis=(1, 2))
    assert list(ranks.argsort()) == list((-squares).argsort())
    assert (ranks.min(), ranks.max()) == (0, 39 / 40)
    total = weight = 0.0
    for a, b in np.argwhere(affinity.toarray()):
        if labels[a] != labels[b]:
            total += affinity[a, b] * ranks[a]
            weight += affinity[a, b]
    assert boundary_sparseness(labels, affinity, ranks) == pytest.approx(1 - total / weight)
    assert boundary_sparseness(np.zeros(40, int), affinity, ranks) == 1


def test_the_boundary_between_groups_is_sparser_than_one_through_them():
    truth, features, table = blobs([60, 60, 60])
    ranks, affinity = neighbor_density_ranks(features, table), symmetric_affinity(table)
    through = (features[:, 0] > 6).astype(int)  # the middle of the first group
    assert boundary_sparseness(truth, affinity, ranks) > boundary_sparseness(
        through, affinity, ranks
    )


def test_one_cluster_has_no_silhouette_and_unit_evenness():
    labels = np.zeros(5, dtype=int)
    assert silhouette_to_centers(labels, np.ones((5, 2), dtype=np.float32)) == 0
    assert size_evenness(labels, 1) == 1


def test_evenness_is_one_for_equal_sizes_only():
    assert size_evenness(np.arange(12) % 4, 4) == pytest.approx(1)
    assert size_evenness(np.arange(12) % 3, 4) < 0.8


def test_a_graph_without_edges_is_judged_without_a_warning():
    empty = symmetric_affinity(np.arange(5)[:, None])
    labels = np.array([0, 0, 1, 1, 1])
    assert modularity(labels, empty) == 0
    assert neighbor_information(labels, empty) == 0


def blobs(sizes):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    noise = np.random.RandomState(0).standard_normal((len(truth), 3))
    features = (6 * np.eye(3)[truth] + noise).astype(np.float32)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    return truth, features, distances.argsort(axis=1)[:, :11]


def sharp_heads(*centers):
    weights = np.stack(centers).astype(np.float32)
    return LinearHeads(weights, -0.5 * np.square(weights).sum(axis=2))


def chosen_head(heads, priors, features, table):
    criteria = criteria_of_heads(heads, features, table)
    return head_with_best_evidence(criteria, priors, heads.n_clusters, 5.0)


def test_a_balanced_head_is_taken_when_no_other_is_clearly_better():
    _, features, table = blobs([50, 50, 50])
    true_centers = 6 * np.eye(3)
    heads = sharp_heads(true_centers + 0.5, true_centers, true_centers)
    priors = ["balanced", "lenient", "estimated"]
    assert chosen_head(heads, priors, features, table) == 0


def test_a_balanced_head_is_not_taken_when_another_knows_more_of_neighbors():
    _, features, table = blobs([120, 20, 10])
    true_centers = 6 * np.eye(3)
    wrong_centers = np.array([[7.0, 0, 0], [5.0, 0, 0], [0, 3.0, 3.0]])
    heads = sharp_heads(wrong_centers, wrong_centers, true_centers)
    priors = ["balanced", "lenient", "estimated"]
    assert chosen_head(heads, priors, features, table) == 2


@pytest.mark.parametrize(
    ("evenness", "modularity_of_estimated", "expected"),
    [(0.99, 0.60, 1), (0.99, 0.699, 2), (0.97, 0.60, 2)],
)
def test_sizes_that_drift_from_even_heads_are_distrusted(
    evenness, modularity_of_estimated, expected
):
    criteria = {
        "clusters_used": np.array([3, 3, 3]),
        "evenness": np.array([1.0, evenness, 0.8]),
        "strict_modularity": np.array([0.69, 0.7, modularity_of_estimated]),
        **{name: np.array([0.1, 0.2, 0.3]) for name in CRITERIA},
        "consistency": np.array([0.3, 0.2, 0.1]),
        "entropy": np.array([1.09, 1.08, 0.9]),
    }
    kinds = ["balanced", "lenient", "estimated"]
    assert head_with_best_evidence(criteria, kinds, 3, 5.0) == expected


def test_heads_with_empty_clusters_are_set_aside():
    _, features, table = blobs([120, 20, 10])
    empty = np.array([[6.0, 0, 0], [0, 3.0, 3.0], [-60.0, -60, -60]])
    full = 6 * np.eye(3) + 1
    heads = sharp_heads(empty, full)
    chosen = chosen_head(heads, ["estimated"] * 2, features, table)
    assert chosen == 1


def test_the_criteria_agree_on_the_true_groups():
    truth, features, table = blobs([100, 30, 20])
    true_centers, random_state = 6 * np.eye(3), np.random.RandomState(0)
    merged = np.array([[6.0, 0, 0], [0, 3.0, 3.0], [7.0, 0, 0]])
    heads = sharp_heads(random_state.standard_normal((3, 3)), merged, true_centers)
    criteria = criteria_of_heads(heads, features, table)
    assert (heads.predict(features, 2) == truth).mean() > 0.99
    assert int(np.argmax(scores_of_heads(criteria))) == 2
    assert all(np.isfinite(criteria[name]).all() for name in CRITERIA)


@pytest.mark.parametrize("n_samples", [2, 3, 5])
def test_few_samples_can_be_judged(n_samples):
    features = np.arange(3.0 * n_samples, dtype=np.float32).reshape(n_samples, 3)
    heads = sharp_heads(features[:2], features[[1, 0]])
    table = np.tile(np.arange(n_samples), (n_samples, 1))
    criteria = criteria_of_heads(heads, features, table)
    assert np.isfinite(np.concatenate(list(criteria.values()))).all()


def test_sharp_true_heads_have_the_lowest_scan_loss():
    _, features, table = blobs([50, 50, 50])
    true_centers = 6 * np.eye(3)
    heads = sharp_heads(true_centers / 50, true_centers, true_centers / 10)
    criteria = criteria_of_heads(heads, features, table)
    assert list((criteria["consistency"] - criteria["entropy"]).argsort()) == [1, 2, 0]
