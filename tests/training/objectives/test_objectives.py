"""All objectives behind one trainer: found by name, right on easy data, saved, refined."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs

import skscan
from skscan import (
    ClusterTrainer,
    FeatureScaler,
    NeighborMiner,
    SCANClusterer,
    ScanObjective,
    SelfLabelTrainer,
    TemiObjective,
    TurtleObjective,
)
from skscan.metrics import clustering_accuracy
from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import LinearHeads
from skscan.networks.mlp_heads import MLPHeads
from skscan.training.objectives import OBJECTIVES, base, find_objective

SMALL_TEMI = {"hidden_sizes": (32, 16), "momentum": 0.9}
KINDS = {
    "scan": (ScanObjective(), LinearHeads),
    "scan mlp": (ScanObjective(head="mlp", hidden_sizes=(32, 16)), MLPHeads),
    "temi": (TemiObjective(**SMALL_TEMI), MLPHeads),
    "temi linear": (TemiObjective(head="linear", momentum=0.9), LinearHeads),
    "temi from partitions": (TemiObjective(start="partitions", **SMALL_TEMI), MLPHeads),
    "turtle": (TurtleObjective(), AveragedHeads),
    "turtle from partitions": (TurtleObjective(start="partitions"), AveragedHeads),
}


AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate": "auto"}


@pytest.fixture(scope="module")
def blobs():
    X, y = make_blobs(200, centers=4, n_features=16, random_state=0)
    features = FeatureScaler().fit_transform(X)
    return features, NeighborMiner(10).fit_transform(features), y


def train(blobs, objective, seed=0, spaces=None, **parameters):
    features, graph, _ = blobs
    settings = {"n_heads": 3, "n_epochs": 100, "batch_size": 100, "learning_rate": 0.01}
    trainer = ClusterTrainer(objective=objective, **{**settings, **parameters})
    return trainer.train(
        features, graph, 4, random_state=np.random.RandomState(seed), spaces=spaces
    )


@pytest.mark.parametrize("kind", KINDS)
def test_blobs_are_found_by_the_head_that_is_picked(blobs, kind):
    objective, heads_type = KINDS[kind]
    features, _, y = blobs
    schedule = AUTO if kind.startswith("turtle") else {}  # it needs more steps than the others
    result = train(blobs, objective, **schedule)
    assert type(result.heads) is heads_type
    assert len(result.heads) == 3
    assert clustering_accuracy(y, result.heads.predict(features, result.best_head)) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_history_has_every_head_and_pass(blobs, kind):
    result = train(blobs, KINDS[kind][0], n_epochs=7)
    assert result.n_iter == 7
    assert len(result.history) == 3 * 7
    last = {entry["head"]: entry["loss"] for entry in result.history if entry["pass"] == 6}
    assert set(last) == {0, 1, 2}


@pytest.mark.filterwarnings("ignore::skscan.exceptions.SkscanWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "X",
    [
        np.random.RandomState(0).rand(4, 3),
        np.ones((12, 3)),
        np.repeat(np.random.RandomState(0).rand(3, 2), 5, axis=0),
    ],
    ids=["a cluster each", "constant", "duplicates"],
)
def test_awkward_data_gives_finite_probabilities(X, kind):
    features = FeatureScaler().fit_transform(X)
    data = features, NeighborMiner(3).fit_transform(features), None
    result = train(data, KINDS[kind][0], n_epochs=3)
    for head in range(3):
        assert np.isfinite(result.heads.predict_proba(features, head)).all()


@pytest.mark.parametrize("kind", ["temi", "temi linear"])
def test_the_loss_of_every_head_falls(blobs, kind):
    history = train(blobs, KINDS[kind][0], n_epochs=20).history
    for head in range(3):
        losses = [entry["loss"] for entry in history if entry["head"] == head]
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_result(blobs, kind):
    features = blobs[0]
    first, again, other = (train(blobs, KINDS[kind][0], s, n_epochs=3) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.heads.logits(features), again.heads.logits(features))
    assert not np.array_equal(first.heads.logits(features), other.heads.logits(features))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_name_stands_for_the_defaults(blobs, name):
    features = blobs[0]
    by_name = train(blobs, name, n_epochs=2)
    by_object = train(blobs, OBJECTIVES[name](), n_epochs=2)
    np.testing.assert_array_equal(by_name.heads.logits(features), by_object.heads.logits(features))


@pytest.mark.parametrize("name", ["temi", "turtle"])
def test_auto_stays_within_its_bounds(blobs, name):
    features, _, _ = blobs
    problem_steps = {}
    for n_heads in (1, 10_000):
        trainer = ClusterTrainer(objective=name, n_heads=n_heads)
        problem = base.HeadProblem(
            features, np.zeros((200, 1), int), 4, (16,), None, np.random.RandomState(0)
        )
        schedule = find_objective(name).schedule(trainer, problem)
        problem_steps[n_heads] = schedule.n_epochs * schedule.n_batches(len(features))
        assert 1 <= schedule.stretch <= 20
    assert 1 <= problem_steps[10_000] < problem_steps[1] <= 600


def test_temis_given_schedule_has_the_papers_rate():
    problem = base.HeadProblem(
        np.zeros((5000, 16), np.float32), None, 4, (16,), None, np.random.RandomState(0)
    )
    trainer = ClusterTrainer(objective="temi", n_epochs=100, batch_size=1024)
    schedule = TemiObjective().schedule(trainer, problem)
    assert schedule == base.Schedule(100, 1024, pytest.approx(4e-4), 1.0)


def test_heads_of_other_objectives_are_of_one_kind(blobs):
    result = train(blobs, "turtle", n_epochs=2)
    assert {(entry["start"], entry["prior"]) for entry in result.history} == {
        ("random-weights", "none")
    }
    result = train(
        blobs, TurtleObjective(start="partitions"), n_epochs=2, starts=["k-means", "cut"]
    )
    assert [entry["start"] for entry in result.history[:3]] == ["k-means", "cut", "k-means"]


def test_heads_are_trained_in_groups_where_memory_is_short(blobs, monkeypatch):
    monkeypatch.setattr(base, "MAX_STEP_ENTRIES", 1)
    result = train(blobs, "turtle", n_epochs=2)
    assert len(result.heads) == 3
    assert sorted({entry["head"] for entry in result.history}) == [0, 1, 2]


def test_turtle_averages_over_the_spaces_that_are_given(blobs):
    features, _, y = blobs
    result = train(blobs, "turtle", spaces=[10, 6], **AUTO)
    assert [space.n_features for space in result.heads.spaces] == [10, 6]
    assert clustering_accuracy(y, result.heads.predict(features, result.best_head)) == 1.0


def test_spaces_must_add_up(blobs):
    with pytest.raises(ValueError, match=r"spaces=\[10, 7\] must .* which is 16"):
        train(blobs, "turtle", spaces=[10, 7])


@pytest.mark.parametrize("kind", ["scan mlp", "turtle"])
def test_self_labelling_takes_heads_of_every_kind(blobs, kind):
    features, graph, y = blobs
    result = train(blobs, KINDS[kind][0])
    refined = SelfLabelTrainer(threshold=0.3, n_epochs=5).train(
        features, graph, result.heads, result.best_head, random_state=np.random.RandomState(0)
    )
    assert len(refined.history) == 5
    assert type(refined.heads) is type(result.heads)
    before = clustering_accuracy(y, result.heads.predict(features, result.best_head))
    assert clustering_accuracy(y, refined.heads.predict(features)) >= before


@pytest.mark.parametrize("name", ["temi", "turtle"])
def test_a_clusterer_with_it_is_saved_and_pickled(name, tmp_path):
    X, _ = load_digits(n_class=3, return_X_y=True)
    trainer = ClusterTrainer(objective=OBJECTIVES[name](), n_heads=2, n_epochs=3)
    fitted = SCANClusterer(3, cluster_trainer=trainer, random_state=0).fit(X[:100])
    np.testing.assert_array_equal(fitted.predict(X[:100]), fitted.labels_)
    assert fitted.get_feature_names_out().shape == (fitted.transform(X[:1]).shape[1],)
    for copy in (
        skscan.load(skscan.save(fitted, tmp_path)),
        pickle.loads(pickle.dumps(fitted)),
    ):
        np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
        objective = copy.cluster_trainer.objective
        assert objective.get_params() == OBJECTIVES[name]().get_params()


def test_parameters_of_the_objective_can_be_searched():
    clusterer = SCANClusterer(3, cluster_trainer=ClusterTrainer(objective=TemiObjective()))
    clusterer.set_params(cluster_trainer__objective__beta=0.8)
    assert clone(clusterer).cluster_trainer.objective.beta == 0.8


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("dino", "objective"),
        (TemiObjective(beta=0), "beta"),
        (TemiObjective(hidden_sizes=(8,)), r"hidden_sizes=\(8,\) must be two positive integers"),
        (ScanObjective(head="mlp", hidden_sizes=(8, 0)), "hidden_sizes"),
        (TurtleObjective(inner_steps=0), "inner_steps"),
    ],
)
def test_wrong_parameters_are_named(blobs, objective, message):
    with pytest.raises(ValueError, match=message):
        train(blobs, objective)


def test_networks_are_trained_with_the_scan_loss_only(blobs):
    with pytest.raises(ValueError, match="objective='temi' has no meaning with scope='network'"):
        train(blobs, "temi", scope="network")


@pytest.mark.parametrize("objective", ["temi", "turtle", TemiObjective()])
@pytest.mark.parametrize(
    "unused", [{"class_prior": "estimate"}, {"class_prior": [1, 2, 3, 4]}, {"entropy_weight": 2.0}]
)
def test_parameters_of_scan_are_refused_elsewhere(blobs, objective, unused):
    [name] = unused
    with pytest.raises(ValueError, match=f"{name}=.* has no meaning with objective="):
        train(blobs, objective, **unused)
