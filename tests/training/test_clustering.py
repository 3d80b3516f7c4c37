"""The clustering stage on digits and on awkward data."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skscan import ClusterTrainer, FeatureScaler, NeighborMiner, NetworkTraining
from skscan.metrics import clustering_accuracy
from skscan.training.clustering import EFFORTS


def prepared(X, k=20):
    features = FeatureScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer samples than neighbors
        return features, NeighborMiner(k).fit_transform(features)


def train(features, graph, n_clusters, seed=0, **parameters):
    trainer = ClusterTrainer(**parameters)
    return trainer.train(features, graph, n_clusters, random_state=np.random.RandomState(seed))


def labels_of(result, features):
    return result.heads.predict(features, result.best_head)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return *prepared(X), y


@pytest.fixture(scope="module")
def digits_result(digits):
    features, graph, _ = digits
    return train(features, graph, 10)


def test_digits_are_sorted_far_better_than_by_kmeans(digits, digits_result):
    features, _, y = digits
    assert clustering_accuracy(y, labels_of(digits_result, features)) > 0.86


def test_uneven_digits_do_not_suffer_from_the_balanced_prior():
    X, y = load_digits(return_X_y=True)
    kept = np.concatenate([np.flatnonzero(y == c)[: 170 if c < 2 else 50] for c in range(5)])
    features, graph = prepared(X[kept])
    chosen = train(features, graph, 5)
    paper = train(features, graph, 5, class_prior="uniform", selection="scan_loss")
    accuracy = clustering_accuracy(y[kept], labels_of(chosen, features))
    assert accuracy > clustering_accuracy(y[kept], labels_of(paper, features)) + 0.05


def test_history_has_every_head_and_pass(digits_result):
    history = digits_result.history
    assert len(history) == 24 * digits_result.n_iter
    assert {entry["head"] for entry in history} == set(range(24))
    first, last = history[0], history[-24]
    assert first["head"] == last["head"] == 0
    assert last["loss"] < first["loss"]
    assert first["loss"] == pytest.approx(first["consistency"] - 5 * first["entropy"], rel=1e-4)


def test_the_seed_decides_the_result(digits):
    features, graph, _ = digits
    first, again, other = (train(features, graph, 10, seed, n_heads=6) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)
    assert first.best_head == again.best_head
    assert not np.array_equal(first.heads.weights, other.heads.weights)


def test_row_order_matters_no_more_than_the_seed(digits):
    features, _, y = digits
    order = np.random.RandomState(0).permutation(len(y))
    result = train(features[order], NeighborMiner(20).fit_transform(features[order]), 10)
    assert clustering_accuracy(y[order], labels_of(result, features[order])) > 0.86


def test_the_scale_of_the_features_does_not_matter(digits):
    features, graph, _ = digits
    result = train(features, graph, 10, n_heads=3)
    scaled = train(1024 * features, 1024 * graph, 10, n_heads=3)
    np.testing.assert_array_equal(labels_of(result, features), labels_of(scaled, 1024 * features))


def test_the_paper_selects_the_lowest_scan_loss(digits):
    from skscan.graph import neighbor_table
    from skscan.selection import scan_selection_loss

    features, graph, _ = digits
    result = train(
        features, graph, 10, n_heads=4, class_prior="uniform", selection="scan_loss", n_epochs=10
    )
    table = neighbor_table(graph)[:, :6]
    losses = [
        scan_selection_loss(result.heads.predict_proba(features, h), table).total for h in range(4)
    ]
    assert result.best_head == np.argmin(losses)
    assert result.n_iter == 10


@pytest.mark.parametrize(
    ("X", "n_clusters"),
    [
        (np.random.RandomState(0).rand(2, 3), 2),
        (np.random.RandomState(0).rand(12, 3), 12),
        (np.random.RandomState(0).rand(40, 1), 3),
        (np.ones((30, 4)), 3),
        (np.repeat(np.random.RandomState(0).rand(3, 2), 20, axis=0), 5),
        (np.concatenate([np.random.RandomState(0).rand(30, 2) + 20 * i for i in range(6)]), 3),
    ],
    ids=["two samples", "a cluster each", "one feature", "constant", "duplicates", "disconnected"],
)
@pytest.mark.parametrize("k", [1, 10])
def test_awkward_data_gives_finite_heads(X, n_clusters, k):
    features, graph = prepared(X, k)
    result = train(features, graph, n_clusters, n_heads=6)
    assert np.isfinite(result.heads.weights).all()
    assert np.isfinite(result.heads.biases).all()
    assert result.heads.n_clusters == n_clusters
    labels_of(result, features)


def test_nearly_as_many_clusters_as_samples():
    X = np.random.RandomState(0).rand(12, 3)
    features, graph = prepared(X, 5)
    assert len(np.unique(labels_of(train(features, graph, 12), features))) >= 10


def test_one_cluster_takes_all(digits):
    features, graph, _ = digits
    result = train(features, graph, 1)
    assert (labels_of(result, features) == 0).all()
    np.testing.assert_array_equal(result.heads.predict_proba(features), 1)


def test_many_clusters_are_trained_in_groups_of_heads(digits, monkeypatch):
    from skscan.training import head_clustering

    features, graph, _ = digits
    together = train(features, graph, 10, n_heads=6)
    monkeypatch.setattr(head_clustering, "MAX_BATCH_ENTRIES", 20_000)
    apart = train(features, graph, 10, n_heads=6)
    assert len(apart.heads) == len(together.heads) == 6
    assert sorted({entry["head"] for entry in apart.history}) == list(range(6))


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_is_a_trainer_with_few_parameters(effort):
    trainer = ClusterTrainer.for_effort(effort)
    assert len(trainer.get_params()) <= 12
    assert clone(trainer).get_params() == trainer.get_params()
    assert pickle.loads(pickle.dumps(trainer)).get_params() == trainer.get_params()
    assert trainer.set_params(n_heads=2).n_heads == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_heads": 0}, "n_heads"),
        ({"scope": "images"}, "scope"),
        ({"scope": "network"}, "needs images, got a matrix of features"),
        ({"network": NetworkTraining()}, r"network=.* has no meaning with scope='heads'"),
        ({"entropy_weight": -1}, "entropy_weight"),
        ({"selection": "labels"}, "selection"),
        ({"starts": ["k-mean"]}, "starts got unknown name 'k-mean'; choose from k-means"),
        (
            {"class_prior": [0.5, 0.5]},
            r"class_prior=\[0.5, 0.5\] must be one of",
        ),
        ({"class_prior": [*[0.1] * 9, float("nan")]}, "a positive share for each"),
        ({"class_prior": [*[0.1] * 9, float("inf")]}, "a positive share for each"),
        ({"class_prior": "even"}, "The 'class_prior' parameter of ClusterTrainer"),
    ],
)
def test_wrong_parameters_are_named_when_training_begins(digits, parameters, message):
    features, graph, _ = digits
    with pytest.raises(ValueError, match=message):
        train(features, graph, 10, **parameters)


def test_threads_are_restored(digits):
    import torch

    features, graph, _ = digits
    before = torch.get_num_threads()
    ClusterTrainer(n_heads=1).train(
        features, graph, 10, random_state=np.random.RandomState(0), n_jobs=1
    )
    assert torch.get_num_threads() == before


def test_given_sizes_draw_the_clusters():
    """Blobs that overlap are parted where the given sizes say, in whatever order they come."""
    rng = np.random.RandomState(0)
    features = rng.standard_normal((600, 2)).astype(np.float32)
    features[:, 0] += np.where(np.arange(600) < 450, 0.0, 3.0)
    graph = NeighborMiner(10).fit_transform(features)
    shares = {}
    for prior in ([0.75, 0.25], [0.25, 0.75], "uniform"):
        result = train(features, graph, 2, class_prior=prior, n_heads=4)
        assert {entry["prior"] for entry in result.report} == (
            {"balanced"} if prior == "uniform" else {"given"}
        )
        shares[str(prior)] = result.heads.predict_proba(features, result.best_head).mean(0).max()
    assert shares["[0.75, 0.25]"] == shares["[0.25, 0.75]"] == pytest.approx(0.75, abs=0.05)
    assert shares["uniform"] < 0.65


def test_the_report_says_why_a_head_was_chosen(digits):
    features, graph, _ = digits
    result = train(features, graph, 10, n_heads=6)
    assert [entry["head"] for entry in result.report] == list(range(6))
    assert [entry["head"] for entry in result.report if entry["chosen"]] == [result.best_head]
    for entry in result.report:
        assert entry["clusters_used"] <= 10
        assert 0 <= entry["sparseness"] <= 1
        assert {"start", "prior", "modularity", "information", "silhouette", "score"} <= set(entry)
