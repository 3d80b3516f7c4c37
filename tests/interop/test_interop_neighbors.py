"""Lists of neighbors in and out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix, save_npz

from skscan import NeighborMiner
from skscan.exceptions import ModelFileError
from skscan.graph import neighbor_table
from skscan.interop import load_neighbors, read_graph, save_neighbors, write_graph


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 6))


def write_table(path, table):
    np.save(path, table)
    return path


def test_lists_come_back_as_they_were(tmp_path):
    draw = np.random.default_rng(0)
    table = np.array([draw.permutation(30)[:8] for _ in range(30)])  # self anywhere or nowhere
    graph = load_neighbors(write_table(tmp_path / "topk.npy", table))
    assert graph.shape == (30, 30)
    assert_array_equal(neighbor_table(graph), table)
    own = np.arange(30)
    table = np.hstack([own[:, None], (own[:, None] + draw.permutation(29)[:7] + 1) % 30])
    graph = load_neighbors(write_table(tmp_path / "topk.npy", table))
    save_neighbors(graph, tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "topk.npy").read_bytes()


def test_self_that_is_not_first_stays_where_it_is(tmp_path):
    table = np.array([[0, 1, 2], [0, 1, 2], [1, 0, 2]])  # samples 0 and 1 are the same
    graph = load_neighbors(write_table(tmp_path / "topk.npy", table))
    save_neighbors(graph, tmp_path / "again.npy")
    assert_array_equal(np.load(tmp_path / "again.npy"), table)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_are_those_of_the_miner(tmp_path, features, metric):
    mined = NeighborMiner(5, metric=metric).fit_transform(features)
    save_neighbors(mined, tmp_path / "topk.npy")
    table = np.load(tmp_path / "topk.npy")
    assert table.dtype == np.int64
    assert table.shape == (40, 6)
    assert_array_equal(table[:, 0], np.arange(40))
    graph = load_neighbors(tmp_path / "topk.npy", features, metric=metric)
    assert_allclose(graph.toarray(), mined.toarray(), atol=1e-12)
    assert graph.nnz == mined.nnz  # self as an explicit zero
    assert_array_equal(neighbor_table(graph), table)


def test_samples_that_do_not_list_themselves_are_put_first(tmp_path, features):
    graph = NeighborMiner(4).fit_transform(features)
    graph.setdiag(0)
    graph.eliminate_zeros()
    save_neighbors(graph, tmp_path / "topk.npy")
    assert_array_equal(
        np.load(tmp_path / "topk.npy"), neighbor_table(NeighborMiner(4).fit_transform(features))
    )


def without_row(graph: csr_matrix) -> csr_matrix:
    starts = np.append(graph.indptr[:-1], graph.indptr[-2])  # the last row is empty
    kept = slice(starts[-1])
    return csr_matrix((graph.data[kept], graph.indices[kept], starts), shape=graph.shape)


def some_list_themselves(graph: csr_matrix) -> csr_matrix:
    graph = graph.tolil()
    graph[0, 0], graph[1, 1] = 0, 0
    graph = graph.tocsr()
    graph.eliminate_zeros()
    rows = np.arange(2, 40)
    return graph + csr_matrix((np.full(38, 1e-9), (rows, rows)), shape=graph.shape)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: graph.toarray(), "must be a square sparse matrix .* float64 of shape"),
        (lambda graph: graph[:10], "must be a square sparse matrix"),
        (lambda graph: csr_matrix((40, 40)), "must be a square sparse matrix"),
        (lambda graph: None, "got NoneType"),
        (without_row, "graph has between 0 and 5 neighbors in a row"),
        (some_list_themselves, "lists some samples among their own neighbors and others not"),
    ],
)
def test_graphs_that_are_no_lists(tmp_path, features, change, message):
    with pytest.raises(ValueError, match=message):
        save_neighbors(change(NeighborMiner(5).fit_transform(features)), tmp_path / "topk.npy")
    assert not (tmp_path / "topk.npy").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((5, 2)), "holds float64 of shape"),
        (np.arange(5), "int64 of shape .* instead of whole numbers"),
        (np.zeros((5, 1), int), r"has the shape \(5, 1\)"),
        (np.zeros((3, 5), int), r"has the shape \(3, 5\)"),
        (np.array([[0, 1], [1, 2]]), "names samples from 0 to 2, but lists the neighbors of 2"),
        (np.array([[0, 1], [1, -1]]), "names samples from -1 to 1"),
        (np.array([[0, 1], [1, 1]]), "lists a sample twice in one row"),
    ],
)
def test_tables_that_are_no_lists(tmp_path, table, message):
    with pytest.raises(ModelFileError, match=message):
        load_neighbors(write_table(tmp_path / "topk.npy", table))


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "topk.npy"
    with pytest.raises(ModelFileError, match="there is no file of neighbors"):
        load_neighbors(path)
    np.save(path, np.array([[0, 1], [1, None]], dtype=object), allow_pickle=True)
    with pytest.raises(ModelFileError, match=r"no readable \.npy file"):
        load_neighbors(path)
    np.save(path, np.arange(400).reshape(200, 2) % 200)
    content = path.read_bytes()
    for end in (0, 5, 60, len(content) - 8):
        path.write_bytes(content[:end])
        with pytest.raises(ModelFileError, match=r"no readable \.npy file"):
            load_neighbors(path)
    path.write_bytes(b"not at all")
    with pytest.raises(ModelFileError, match=r"no readable \.npy file"):
        load_neighbors(path)
    np.savez(tmp_path / "arrays.npz", np.zeros(3))
    with pytest.raises(ModelFileError, match="is no list of neighbors: it holds NpzFile"):
        load_neighbors(tmp_path / "arrays.npz")


def test_features_have_to_fit(tmp_path, features):
    save_neighbors(NeighborMiner(5).fit_transform(features), tmp_path / "topk.npy")
    with pytest.raises(ValueError, match=r"features has 39 rows, but .* lists .* of 40 samples"):
        load_neighbors(tmp_path / "topk.npy", features[1:])
    with pytest.raises(ValueError, match="metric='l2': takes 'cosine' or 'euclidean'"):
        load_neighbors(tmp_path / "topk.npy", features, metric="l2")


def test_graph_files(tmp_path, features):
    graph = NeighborMiner(5).fit_transform(features)
    write_graph(graph, tmp_path / "graph.npz")
    again = read_graph(tmp_path / "graph.npz")
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(again, name), getattr(graph, name))
    save_npz(tmp_path / "graph.npz", graph.tocoo())
    assert (read_graph(tmp_path / "graph.npz") != graph).nnz == 0
    with pytest.raises(ModelFileError, match="there is no file of neighbors"):
        read_graph(tmp_path / "none.npz")
    for content in (b"", b"no zip", (tmp_path / "graph.npz").read_bytes()[:200]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(ModelFileError, match="no readable graph"):
            read_graph(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", features=features)
    with pytest.raises(ModelFileError, match="no readable graph"):
        read_graph(tmp_path / "bad.npz")
