"""Search by torch gives what the exact search gives; a processor stands for the GPU."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skscan import NeighborMiner
from skscan.neighbors import miner as miner_module
from skscan.neighbors import on_device
from skscan.neighbors.exact import ExactSearch
from skscan.neighbors.on_device import TorchSearch


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(on_device, "QUERY_ROWS", 100)
    monkeypatch.setattr(on_device, "INDEX_ROWS", 300)


def features(kind):
    rng = np.random.default_rng(0)
    if kind == "digits":  # integers: many rows at the same distance
        return load_digits(return_X_y=True)[0]
    if kind == "duplicates":  # more of them than are kept as candidates
        return np.repeat(rng.standard_normal((20, 8)), 60, axis=0)
    return (rng.standard_normal((1000, 40)) + 1000).astype(kind)


@pytest.mark.parametrize("kind", ["float32", "float64", "digits", "duplicates"])
@pytest.mark.usefixtures("small_blocks")
def test_same_as_the_exact_search(kind):
    X = features(kind)
    expected = ExactSearch(X).query(X, 21)
    distances, indices = TorchSearch(X, None, "cpu").query(X, 21)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-6)


@pytest.mark.usefixtures("small_blocks")
def test_other_rows_and_few_neighbors():
    X = features("float32")
    expected = ExactSearch(X[:300]).query(X[300:], 3)
    found = TorchSearch(X[:300], None, "cpu").query(X[300:], 3)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch is older than 2.9"
)
def test_products_are_whole_whatever_the_process_has_set():
    X = features("float32")
    place = torch.backends.cuda.matmul
    before, place.fp32_precision = place.fp32_precision, "tf32"
    try:
        with on_device._whole_products():
            assert place.fp32_precision == "ieee"
        expected = ExactSearch(X).query(X, 11)[1]
        np.testing.assert_array_equal(TorchSearch(X, None, "cpu").query(X, 11)[1], expected)
        assert place.fp32_precision == "tf32"
    finally:
        place.fp32_precision = before


def test_all_rows_are_neighbors():
    X = features("float32")[:10]
    assert (np.sort(TorchSearch(X, None, "cpu").query(X, 10)[1], axis=1) == np.arange(10)).all()


def test_chosen_where_a_gpu_has_room(monkeypatch):
    X = features("float32")
    monkeypatch.setattr(miner_module, "GPU_FROM", 500)
    assert NeighborMiner(5).fit(X).backend_ == "exact"
    monkeypatch.setattr(miner_module, "gpu_has_room", lambda X: True)
    miner = NeighborMiner(5).fit(X)
    assert (miner.backend_, miner.recall_) == ("torch", 1)
    assert NeighborMiner(5).fit(X[:400]).backend_ == "exact"
    np.testing.assert_array_equal(
        miner.kneighbors()[1], NeighborMiner(5, backend="exact").fit(X).kneighbors()[1]
    )
