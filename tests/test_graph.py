"""Tables of neighbors and affinities."""

import numpy as np
import pytest
from scipy import sparse

from skscan import graph
from skscan.graph import neighbor_table, shared_neighbor_affinity, symmetric_affinity


def test_table_lists_neighbors_nearest_first():
    graph = sparse.csr_matrix(
        ([3.0, 0.0, 1.0, 0.0, 2.0, 1.0], [2, 0, 1, 1, 0, 2], [0, 3, 6, 6]), shape=(3, 3)
    )
    np.testing.assert_array_equal(neighbor_table(graph[:2]), [[0, 1, 2], [1, 2, 0]])


def test_short_rows_repeat_theirs_and_empty_rows_name_themselves():
    graph = sparse.csr_matrix(([2.0, 1.0, 5.0], [1, 2, 0], [0, 2, 3, 3]), shape=(3, 3))
    np.testing.assert_array_equal(neighbor_table(graph), [[2, 1], [0, 0], [2, 2]])


def test_no_edges_at_all():
    np.testing.assert_array_equal(neighbor_table(sparse.csr_matrix((3, 3))), [[0], [1], [2]])


def test_affinity_is_symmetric_without_self_and_counts_mutual_pairs_fully():
    table = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 0, 1]])
    affinity = symmetric_affinity(table, n_neighbors=1).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 1
    expected[2, 1] = expected[1, 2] = expected[3, 0] = expected[0, 3] = 0.5
    np.testing.assert_array_equal(affinity, expected)


def slow_shared_neighbor_affinity(table):
    """Squared Jaccard index of the neighbors, self among them, of each linked pair."""
    neighbors = [{sample, *row} for sample, row in enumerate(table.tolist())]
    expected = np.zeros((len(table), len(table)))
    for one, other in np.argwhere(symmetric_affinity(table).toarray()):
        a, b = neighbors[one], neighbors[other]
        expected[one, other] = (len(a & b) / len(a | b)) ** 2
    return expected


@pytest.mark.parametrize("at_once", [1, 2**22], ids=["row by row", "at once"])
def test_shared_neighbors_weigh_the_links(at_once, monkeypatch):
    monkeypatch.setattr(graph, "_MAX_SHARED", at_once)
    rng = np.random.RandomState(0)
    table = rng.randint(30, size=(30, 6))  # self and repeated neighbors here and there
    affinity = shared_neighbor_affinity(table)
    np.testing.assert_allclose(affinity.toarray(), slow_shared_neighbor_affinity(table), rtol=1e-6)
    assert affinity.dtype == np.float32


def test_a_bridge_weighs_less_than_a_link_within_a_group():
    table = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 3], [3, 4, 5], [4, 3, 5], [5, 3, 4]])
    affinity = shared_neighbor_affinity(table).toarray()
    assert affinity[0, 1] == affinity[3, 5] == 1
    assert affinity[2, 3] == pytest.approx((1 / 5) ** 2)
