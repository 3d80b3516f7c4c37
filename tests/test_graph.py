"""Tables of neighbors and affinities."""

import numpy as np
from scipy import sparse

from skscan.graph import neighbor_table, symmetric_affinity


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
