"""A long training that was ended goes on from its last step."""

import numpy as np
import pytest
from joblib import Memory

from skscan import ClusterTrainer, NeighborMiner
from skscan.exceptions import SkscanWarning
from skscan.training import head_clustering, steps
from skscan.training.steps import KeptSteps

N_CLUSTERS = 3


@pytest.fixture
def problem(blobs):
    features = np.asarray(blobs[0], dtype=np.float32)
    return features, NeighborMiner(8).fit_transform(features)


@pytest.fixture
def blobs():
    from sklearn.datasets import make_blobs

    return make_blobs(240, n_features=5, centers=N_CLUSTERS, random_state=0)


@pytest.fixture
def long_training(monkeypatch):
    """Have every training kept, in groups of one head."""
    monkeypatch.setattr(steps, "KEPT_FROM", 1)
    monkeypatch.setattr(head_clustering, "MAX_BATCH_ENTRIES", 1)


def train(problem, memory, seed=0):
    features, graph = problem
    random_state = np.random.RandomState(seed)
    trainer = ClusterTrainer(n_heads=4, n_epochs=2)
    return trainer.train(
        features, graph, N_CLUSTERS, random_state=random_state, memory=memory
    ), random_state.randint(1000)


def test_a_training_that_was_ended_goes_on_with_the_same_result(
    problem, long_training, tmp_path, monkeypatch
):
    expected, drawn = train(problem, None)
    memory = Memory(tmp_path, verbose=0)
    run, names = KeptSteps.run, []

    def killed(self, name, state, compute):
        if name == "heads from 2":
            raise KeyboardInterrupt
        return run(self, name, state, compute)

    monkeypatch.setattr(KeptSteps, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        train(problem, memory)

    def watched(self, name, state, compute):
        return run(self, name, state, lambda: names.append(name) or compute())

    monkeypatch.setattr(KeptSteps, "run", watched)
    result, drawn_again = train(problem, memory)
    assert names == ["heads from 2", "heads from 3", "criteria"]
    np.testing.assert_array_equal(result.heads.weights, expected.heads.weights)
    assert result.history == expected.history
    assert drawn_again == drawn


def test_another_seed_or_other_data_are_computed_anew(problem, long_training, tmp_path):
    memory = Memory(tmp_path, verbose=0)
    first = train(problem, memory)[0]
    other = train(problem, memory, seed=1)[0]
    assert not np.array_equal(first.heads.weights, other.heads.weights)
    moved = train((problem[0][:, ::-1].copy(), problem[1]), memory)[0]
    expected = train((problem[0][:, ::-1].copy(), problem[1]), None)[0]
    np.testing.assert_array_equal(moved.heads.weights, expected.heads.weights)


@pytest.mark.parametrize(
    "written", ["numpy_pickle.dump", "_store_backends.StoreBackendMixin.store_cached_func_code"]
)
def test_a_full_disk_costs_only_the_cache(written, problem, long_training, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"joblib.{written}", full)
    with pytest.warns(SkscanWarning, match=r"memory=.*No space left on device"):
        result = train(problem, Memory(tmp_path, verbose=0))[0]
    np.testing.assert_array_equal(result.heads.weights, train(problem, None)[0].heads.weights)


def test_a_short_training_keeps_nothing(problem, tmp_path):
    train(problem, Memory(tmp_path, verbose=0))
    assert not any("skscan" in path.name for path in tmp_path.rglob("*"))
