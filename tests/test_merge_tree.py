"""Over-clustering and merging: against the plain formula, and on data with known groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import is_valid_linkage
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skscan import NeighborMiner
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.merge_tree import (
    MergeTree,
    affinity_between,
    grow_merge_tree,
    information_linkage,
    small_groups,
)


def slow_linkage(between, mass_exponent):
    """Merge by the formula of the docstring, every pair anew in each step."""
    joint = between / between.sum()
    clusters = {name: [name] for name in range(len(joint))}
    merges = []
    for step in range(len(joint) - 1):
        best = None
        for a in clusters:
            for b in clusters:
                if a < b:
                    rows = joint[clusters[a]].sum(axis=0), joint[clusters[b]].sum(axis=0)
                    p_a, p_b = rows[0].sum(), rows[1].sum()
                    mixture = (rows[0] + rows[1]) / (p_a + p_b)
                    loss = p_a * entropy(rows[0] / p_a, mixture)
                    loss += p_b * entropy(rows[1] / p_b, mixture)
                    cost = loss * (p_a * p_b / (p_a + p_b)) ** (mass_exponent - 1)
                    if best is None or cost < best[0]:
                        best = cost, a, b
        cost, a, b = best
        clusters[len(joint) + step] = clusters.pop(a) + clusters.pop(b)
        merges.append([a, b, cost, len(clusters[len(joint) + step])])
    merges = np.array(merges)
    merges[:, 2] = np.maximum.accumulate(merges[:, 2])
    return merges


def random_affinity(n_groups, seed):
    weights = np.random.RandomState(seed).rand(n_groups, n_groups) ** 3
    return weights + weights.T


def three_blobs():
    X, y = make_blobs([150, 100, 30], centers=np.eye(3) * 12, random_state=0)
    affinity = symmetric_affinity(neighbor_table(NeighborMiner(10).fit_transform(X)))
    return X, y, affinity


@given(
    n_groups=st.integers(2, 9), seed=st.integers(0, 99), exponent=st.sampled_from([0.0, 0.5, 1.0])
)
@settings(max_examples=40)
def test_merges_follow_the_formula(n_groups, seed, exponent):
    between = random_affinity(n_groups, seed)
    linkage = information_linkage(between, exponent)
    np.testing.assert_allclose(linkage, slow_linkage(between, exponent), rtol=1e-6)
    assert is_valid_linkage(linkage)


def test_weight_of_edges_has_no_unit():
    between = random_affinity(12, 0)
    np.testing.assert_allclose(information_linkage(between), information_linkage(1000 * between))


def test_groups_with_the_same_neighbors_merge_first():
    between = np.array([[1.0, 4, 0, 1], [4, 16, 0, 4], [0, 0, 9, 1], [1, 4, 1, 3]])
    assert set(information_linkage(between)[0, :2]) == {0, 1}


def test_affinity_between_groups_adds_edges_and_the_samples_themselves():
    edges = csr_matrix(np.array([[0, 1, 0.5], [1, 0, 0], [0.5, 0, 0]]))
    found = affinity_between(np.array([0, 0, 1]), edges, 2)
    np.testing.assert_allclose(found, [[4, 0.5], [0.5, 1]])


def test_cut_finds_separate_clusters_of_uneven_size():
    X, y, affinity = three_blobs()
    tree = grow_merge_tree(X, affinity, np.random.RandomState(0))
    assert adjusted_rand_score(y, tree.cut(3)) == 1


def test_cuts_are_nested_and_have_as_many_clusters_as_asked():
    X, _, affinity = three_blobs()
    tree = grow_merge_tree(X, affinity, np.random.RandomState(0))
    for number in range(1, tree.n_groups):
        coarse, fine = tree.cut(number), tree.cut(number + 1)
        assert len(np.unique(coarse)) == number
        assert len(set(zip(coarse, fine, strict=True))) == number + 1
    assert len(np.unique(tree.cut(tree.n_groups))) == tree.n_groups


def test_a_tree_of_some_samples_assigns_all():
    X, y, affinity = three_blobs()
    rows = np.arange(0, len(X), 2)
    tree = grow_merge_tree(X, affinity, np.random.RandomState(0), rows)
    assert tree.groups.shape == (len(X),)
    assert adjusted_rand_score(y, tree.cut(3)) == 1


def test_unreadable_samples_have_no_cluster():
    tree = MergeTree(np.array([0, -1, 1]), np.array([[0, 1, 1.0, 2]]))
    np.testing.assert_array_equal(tree.cut(1), [0, -1, 0])


@pytest.mark.parametrize("number", [0, 3])
def test_a_cut_that_the_tree_does_not_have(number):
    tree = MergeTree(np.array([0, 1]), np.array([[0, 1, 1.0, 2]]))
    with pytest.raises(
        ValueError, match=rf"n_clusters={number} .* tree of 2 groups; it takes 1 to 2"
    ):
        tree.cut(number)


def test_duplicates_share_groups():
    X = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    groups = small_groups(X, np.arange(len(X)), np.random.RandomState(0))
    assert groups.max() <= 2
    assert all(len(np.unique(groups[start : start + 20])) == 1 for start in (0, 20, 40))
