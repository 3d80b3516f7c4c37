"""The exact search against all distances in float64."""

import numpy as np
import pytest

from skscan.neighbors.exact import BLOCK, ExactSearch


def all_distances(X, Y):
    gaps = X[:, None].astype(np.float64) - Y.astype(np.float64)
    return np.sqrt(np.einsum("ijk,ijk->ij", gaps, gaps))


def assert_exact(X, Y, distances, indices):
    k = indices.shape[1]
    expected = np.sort(all_distances(X, Y), axis=1)[:, :k]
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-300)
    of_indices = np.take_along_axis(all_distances(X, Y), indices, 1)
    np.testing.assert_allclose(of_indices, distances, rtol=1e-6, atol=1e-300)
    assert all(len(set(row)) == k for row in indices.tolist())


def several_blocks(dtype=np.float32, n_features=6):
    return np.random.RandomState(0).randn(2 * BLOCK + 300, n_features).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("k", [1, 21])
def test_several_blocks(dtype, n_jobs, k):
    X = several_blocks(dtype)
    search = ExactSearch(X, n_jobs)
    assert_exact(X, X, *search.query(X, k))
    others = X[:700] * dtype(1.1)
    assert_exact(others, X, *search.query(others, k))


def test_a_query_of_the_indexed_rows_is_that_of_their_copy():
    X = several_blocks()
    search = ExactSearch(X)
    for one, other in zip(search.query(X, 9), search.query(X.copy(), 9), strict=True):
        np.testing.assert_array_equal(one, other)


def test_as_many_neighbors_as_rows():
    X = several_blocks()[:50]
    distances, indices = ExactSearch(X).query(X, 50)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(50), (50, 1)))
    assert (np.diff(distances, axis=1) >= 0).all()


def test_near_duplicates_far_from_the_center_keep_their_distances():
    rng = np.random.RandomState(0)
    X = rng.randn(500, 8) * 1000
    X = np.concatenate([X, X + 1e-7 * rng.randn(500, 8)])
    assert_exact(X, X, *ExactSearch(X).query(X, 3))


def test_more_near_duplicates_than_neighbors():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.randn(300, 8), 3 + 1e-8 * rng.randn(200, 8), np.ones((100, 8))])
    distances, indices = ExactSearch(X).query(X, 5)
    assert_exact(X, X, distances, indices)
    np.testing.assert_array_equal(indices[500:], np.tile(np.arange(500, 505), (100, 1)))


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_features_whose_squares_leave_the_range_of_float32(factor):
    X = several_blocks()[:800] * np.float32(factor)
    X = X.astype(float)
    assert_exact(X, X, *ExactSearch(X).query(X, 5))


def test_one_row_far_outside():
    X = several_blocks(np.float64)[:600]
    X[17] = 1e30
    search = ExactSearch(X)
    near = np.delete(np.arange(600), 17)
    distances, indices = search.query(X, 5)
    assert_exact(X[near], X, distances[near], indices[near])


def test_rows_in_the_order_of_their_neighbors():
    X = np.arange(3000, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    assert_exact(X, X, *ExactSearch(X).query(X, 4))


def test_a_third_of_the_rows_equal():
    X = several_blocks()
    X[np.random.RandomState(1).rand(len(X)) < 0.3] = 0.5
    distances, indices = ExactSearch(X, 2).query(X, 5)
    assert_exact(X, X, distances, indices)
    equal = np.flatnonzero((X == 0.5).all(axis=1))
    np.testing.assert_array_equal(indices[equal], np.tile(equal[:5], (len(equal), 1)))


def test_few_different_distances():
    X = np.random.RandomState(0).randint(2, size=(1500, 10)).astype(np.float32)
    assert_exact(X, X, *ExactSearch(X).query(X, 8))
