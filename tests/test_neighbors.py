"""NeighborMiner: the same graph as scikit-learn's KNeighborsTransformer, in bounded memory."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.cluster import DBSCAN, SpectralClustering
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skscan import NeighborMiner
from skscan.exceptions import SkscanWarning
from skscan.graph import neighbor_table
from skscan.neighbors import miner as miner_module
from skscan.neighbors.approximate import foretold_walk
from skscan.neighbors.exact import ExactSearch


@parametrize_with_checks([NeighborMiner(n_neighbors=3)])
def test_sklearn_checks(estimator, check):
    check(estimator)


def features_without_ties(n_samples=200, n_features=12, seed=0, dtype=np.float64):
    return np.random.RandomState(seed).randn(n_samples, n_features).astype(dtype)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_kneighbors_transformer(metric, dtype):
    X = features_without_ties(dtype=dtype)
    ours = NeighborMiner(7, metric=metric).fit_transform(X)
    theirs = KNeighborsTransformer(n_neighbors=7, metric=metric).fit_transform(X)
    theirs.sort_indices()
    by_index = ours.copy()
    by_index.sort_indices()
    np.testing.assert_array_equal(by_index.indptr, theirs.indptr)
    np.testing.assert_array_equal(by_index.indices, theirs.indices)
    tolerance = 1e-3 if dtype == np.float32 else 1e-7
    np.testing.assert_allclose(by_index.data, theirs.data, atol=tolerance)


@settings(max_examples=60)
@given(
    X=arrays(
        np.float64,
        st.tuples(st.integers(3, 25), st.integers(1, 5)),
        elements=st.integers(-4, 4).map(float),
    ),
    k=st.integers(1, 30),
)
def test_distances_equal_sklearn_with_ties_and_duplicates(X, k):
    k = min(k, len(X) - 1)
    ours = NeighborMiner(k, backend="exact").fit_transform(X)
    theirs = KNeighborsTransformer(n_neighbors=k, algorithm="brute").fit_transform(X)
    distances = theirs.data.reshape(len(X), k + 1)
    np.testing.assert_allclose(ours.data.reshape(len(X), k + 1), distances, atol=1e-6)
    columns = ours.indices.reshape(len(X), k + 1)
    np.testing.assert_array_equal(columns[:, 0], np.arange(len(X)))
    assert all(len(set(row)) == k + 1 for row in columns)
    gaps = np.linalg.norm(X[:, None] - X[columns], axis=2)
    np.testing.assert_allclose(ours.data.reshape(len(X), k + 1), gaps, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e-8, 1e30])
def test_lengths_do_not_matter_to_cosine(factor):
    X = np.random.RandomState(0).randn(60, 5).astype(np.float32)
    lengths = np.random.RandomState(1).uniform(0.5, 2, (60, 1)).astype(np.float32)
    graphs = [
        NeighborMiner(5, metric="cosine").fit_transform(rows).toarray()
        for rows in (X, X * lengths * np.float32(factor))
    ]
    np.testing.assert_allclose(*graphs, atol=1e-6)


def test_rows_of_zeros_have_cosine_zero():
    X = features_without_ties(n_samples=40, n_features=3)
    X[7] = 0
    ours = NeighborMiner(39, metric="cosine").fit_transform(X).toarray()
    theirs = KNeighborsTransformer(n_neighbors=39, metric="cosine").fit_transform(X).toarray()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


class Backwards:
    """A backend of one's own: exact, with numpy."""

    def __init__(self, X, n_jobs):
        self.X = X

    def query(self, X, n_neighbors):
        distances = np.linalg.norm(X[:, None] - self.X, axis=2)
        indices = np.argsort(distances, axis=1)[:, :n_neighbors]
        return np.take_along_axis(distances, indices, axis=1), indices


def test_a_backend_of_ones_own():
    X = features_without_ties(n_samples=50)
    miner = NeighborMiner(5, backend=Backwards)
    expected = NeighborMiner(5).fit_transform(X)
    assert abs(miner.fit_transform(X) - expected).max() < 1e-6
    assert abs(pickle.loads(pickle.dumps(miner)).transform(X) - expected).max() < 1e-6


@pytest.mark.parametrize("n_neighbors", [0, -1, 2.5])
def test_wrong_number_of_neighbors_in_a_query(n_neighbors):
    miner = NeighborMiner(5).fit(features_without_ties())
    for X in (None, np.ones((2, 12))):
        with pytest.raises(ValueError, match=f"n_neighbors must be .* got {n_neighbors}"):
            miner.kneighbors(X, n_neighbors)


def test_self_is_an_explicit_zero():
    graph = NeighborMiner(5).fit_transform(features_without_ties())
    assert graph.nnz == 200 * 6
    assert (graph.diagonal() == 0).all()
    assert (graph.indices[graph.indptr[:-1]] == np.arange(200)).all()


def test_kneighbors_without_rows_leaves_self_out():
    X = features_without_ties()
    miner = NeighborMiner(5).fit(X)
    _, indices = miner.kneighbors()
    assert indices.shape == (200, 5)
    assert not (indices == np.arange(200)[:, None]).any()
    distances, indices = miner.kneighbors(X[:3])
    np.testing.assert_array_equal(indices[:, 0], [0, 1, 2])
    assert (np.diff(distances, axis=1) >= 0).all()


def test_transform_of_new_rows():
    X = features_without_ties()
    graph = NeighborMiner(5).fit(X[:150]).transform(X[150:])
    assert graph.shape == (50, 150)
    theirs = KNeighborsTransformer(n_neighbors=5).fit(X[:150]).transform(X[150:])
    assert abs(graph - theirs).max() < 1e-6


def test_too_many_neighbors_are_clipped_with_a_warning():
    X = features_without_ties(n_samples=6)
    with pytest.warns(SkscanWarning, match=r"n_neighbors=20 is more than the 5 other samples"):
        graph = NeighborMiner(20).fit_transform(X)
    assert graph.nnz == 36


def test_all_rows_equal():
    graph = NeighborMiner(4).fit_transform(np.ones((10, 3)))
    assert (graph.data == 0).all()
    assert graph.nnz == 50


def test_memory_map_read_only_and_fortran_order(tmp_path):
    X = features_without_ties(dtype=np.float32)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = NeighborMiner(5).fit_transform(X)
    for variant in (mapped, np.asfortranarray(X)):
        assert abs(NeighborMiner(5).fit_transform(variant) - expected).max() == 0


@pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
def test_wrong_n_neighbors(value):
    with pytest.raises(ValueError, match="n_neighbors"):
        NeighborMiner(value).fit(features_without_ties())


def test_wrong_width_and_sparse_input():
    from scipy.sparse import csr_matrix

    miner = NeighborMiner(5).fit(features_without_ties())
    with pytest.raises(ValueError, match="features"):
        miner.transform(np.ones((3, 7)))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        NeighborMiner(5).fit(csr_matrix(np.eye(10)))


def test_purity():
    X, y = load_digits(return_X_y=True)
    miner = NeighborMiner(5).fit(X)
    _, indices = miner.kneighbors()
    assert miner.purity(y) == pytest.approx((y[indices] == y[:, None]).mean())
    with pytest.raises(ValueError, match="labels"):
        miner.purity(y[:-1])


def test_feeds_dbscan_and_spectral_clustering():
    X, y = make_blobs(150, centers=3, cluster_std=0.4, random_state=0)
    dbscan = make_pipeline(NeighborMiner(20), DBSCAN(eps=0.8, metric="precomputed"))
    assert adjusted_rand_score(y, dbscan.fit_predict(X)) > 0.9
    spectral = make_pipeline(
        NeighborMiner(20),
        SpectralClustering(
            3, n_neighbors=20, affinity="precomputed_nearest_neighbors", random_state=0
        ),
    )
    assert adjusted_rand_score(y, spectral.fit_predict(X)) > 0.9


def test_pickle_and_clone():
    X = features_without_ties()
    miner = NeighborMiner(5, metric="cosine").fit(X)
    again = pickle.loads(pickle.dumps(miner))
    assert abs(miner.transform(X) - again.transform(X)).max() == 0
    assert clone(miner).get_params() == miner.get_params()
    assert not hasattr(clone(miner), "backend_")


def test_feature_names():
    miner = NeighborMiner(5).fit(features_without_ties(n_samples=30))
    names = miner.get_feature_names_out()
    assert len(names) == 30
    assert names[0] == "neighborminer0"


def mapped(array):
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def test_a_large_graph_is_mapped_from_files(monkeypatch):
    X = features_without_ties()
    expected = NeighborMiner(5).fit_transform(X)
    monkeypatch.setattr("skscan.neighbors.results.MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr("skscan.neighbors.miner.MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr("skscan.graph._MAX_BYTES_IN_MEMORY", 0)
    graph = NeighborMiner(5).fit_transform(X)
    assert mapped(graph.data)
    assert mapped(graph.indices)
    assert not mapped(expected.data)
    np.testing.assert_array_equal(graph.toarray(), expected.toarray())
    table = neighbor_table(graph)
    assert mapped(table)
    np.testing.assert_array_equal(table, neighbor_table(expected))


class TestFaiss:
    """The approximate backend, where faiss is installed."""

    @pytest.fixture(autouse=True)
    def _needs_faiss(self):
        pytest.importorskip("faiss", reason="needs the extra skscan[faiss]")

    def test_recall_on_digits(self):
        X, _ = load_digits(return_X_y=True)
        _, exact = NeighborMiner(20).fit(X).kneighbors()
        _, found = NeighborMiner(20, backend="faiss").fit(X).kneighbors()
        hits = [len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]
        assert np.mean(hits) / 20 >= 0.95

    def test_deterministic_and_complete(self):
        X = features_without_ties(n_samples=500, dtype=np.float32)
        graphs = [NeighborMiner(30, backend="faiss").fit_transform(X) for _ in range(2)]
        assert abs(graphs[0] - graphs[1]).max() == 0
        assert (np.diff(graphs[0].indptr) == 31).all()
        assert graphs[0].indices.min() >= 0

    def test_a_recall_that_is_missed_is_said(self, monkeypatch):
        monkeypatch.setattr("skscan.neighbors.approximate.EF_SEARCH", (4,))
        X = np.random.RandomState(0).randn(3000, 60)
        with pytest.warns(SkscanWarning, match=r"finds \d\d% of the true neighbors"):
            miner = NeighborMiner(20, backend="faiss").fit(X)
        assert miner.recall_ < 0.95

    def test_short_walks_do_where_rows_lie_near_a_plane(self, monkeypatch):
        monkeypatch.setattr("skscan.neighbors.approximate.FORETELLING_ROWS", (500, 2000))
        rng = np.random.default_rng(0)
        X = rng.standard_normal((4000, 3)) @ rng.standard_normal((3, 100))
        assert foretold_walk(X, 1) == pytest.approx(64)

    def test_recall_is_measured_and_reached(self):
        # few dimensions in common and many of noise: a short walk does not do
        X = features_without_ties(n_samples=4000, n_features=48, dtype=np.float32)
        miner = NeighborMiner(20, backend="faiss").fit(X)
        _, exact = NeighborMiner(20, backend="exact").fit(X).kneighbors()
        _, found = miner.kneighbors()
        hits = np.mean([len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]) / 20
        assert 0.95 <= miner.recall_ < 1
        assert hits == pytest.approx(miner.recall_, abs=0.02)

    def test_pickle(self):
        X = features_without_ties(dtype=np.float32)
        miner = NeighborMiner(5, backend="faiss").fit(X)
        again = pickle.loads(pickle.dumps(miner))
        assert abs(miner.transform(X) - again.transform(X)).max() == 0


@pytest.mark.parametrize(("walk", "backend"), [(64, "faiss"), (128, "exact")])
def test_all_pairs_are_compared_where_walks_would_take_longer(monkeypatch, walk, backend):
    monkeypatch.setattr("skscan.neighbors.choice.EXACT_LIMIT", 100)
    monkeypatch.setattr("skscan.neighbors.choice.PAIRS_OF_A_STEP", 2)
    monkeypatch.setattr(miner_module, "_faiss_is_installed", lambda: True)
    monkeypatch.setitem(miner_module._BACKENDS, "faiss", ExactSearch)
    monkeypatch.setattr(miner_module, "foretold_walk", lambda X, n_jobs: walk)
    X = features_without_ties(n_samples=200)
    assert NeighborMiner(5).fit(X).backend_ == backend
    assert NeighborMiner(5).fit(X[:100]).backend_ == "exact"


def test_walks_grow_as_they_do_between_samples(monkeypatch):
    class Search:
        def __init__(self, X, n_jobs):
            self.least_walk = {25: 50.0, 100: 100.0}[len(X)]  # as the square root

    monkeypatch.setattr("skscan.neighbors.approximate.FORETELLING_ROWS", (25, 100))
    monkeypatch.setattr("skscan.neighbors.approximate.FaissSearch", Search)
    assert foretold_walk(np.zeros((400, 2)), None) == pytest.approx(200)


def test_an_unpickled_index_is_built_for_the_first_query(monkeypatch):
    built = []

    def build(X, n_jobs):
        built.append(len(X))
        return ExactSearch(X, n_jobs)

    monkeypatch.setitem(miner_module._BACKENDS, "exact", build)
    X = features_without_ties()
    data = pickle.dumps(NeighborMiner(5).fit(X))
    loaded = pickle.loads(data)
    assert built == [200]
    np.testing.assert_array_equal(loaded.kneighbors(X[:3])[1][:, 0], range(3))
    loaded.kneighbors(X[:3])
    assert built == [200, 200]


def test_missing_faiss_is_said_clearly(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ImportError, match=r"skscan\[faiss\]"):
        NeighborMiner(5, backend="faiss").fit(features_without_ties())


def test_auto_is_exact_for_small_data():
    miner = NeighborMiner(5).fit(features_without_ties())
    assert (miner.backend_, miner.recall_) == ("exact", 1)


def test_recall_of_a_backend_of_ones_own_is_not_known():
    assert np.isnan(NeighborMiner(5, backend=Backwards).fit(features_without_ties()).recall_)
