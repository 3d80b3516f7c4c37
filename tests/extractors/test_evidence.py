import numpy as np
import pytest

from skscan.extractors.evidence import grouping_score, moved_views, mutual_links


@pytest.fixture
def blobs():
    """Ten well separated groups of 40, in an order that mixes them."""
    random_state = np.random.RandomState(0)
    centers = random_state.standard_normal((10, 64))
    groups = random_state.permutation(np.repeat(np.arange(10), 40))
    return centers[groups] + 0.2 * random_state.standard_normal((400, 64))


def jitter(features, amount):
    return features + amount * np.random.RandomState(1).standard_normal(features.shape)


def test_groups_score_higher_than_noise(blobs):
    noise = np.random.RandomState(0).standard_normal(blobs.shape)
    groups = grouping_score(blobs, jitter(blobs[:200], 0.1))
    assert groups > 2 * grouping_score(noise, jitter(noise[:200], 0.1))
    assert groups < 1


def test_groups_that_views_leave_score_nothing(blobs):
    shuffled = np.random.RandomState(1).permutation(blobs)
    assert grouping_score(blobs, shuffled[:200]) < 0.02
    assert grouping_score(blobs, jitter(blobs[:200], 0.1)) > grouping_score(
        blobs, jitter(blobs[:200], 1.5)
    )


def test_mutual_links_are_those_that_go_both_ways():
    neighbors = np.array([[1, 2], [0, 2], [1, 3], [2, 0]])
    expected = [[i in neighbors[j] for j in row] for i, row in enumerate(neighbors)]
    assert mutual_links(neighbors).tolist() == expected
    assert expected == [[True, False], [True, True], [True, True], [True, False]]


def test_the_score_depends_on_neither_scale_nor_rotation(blobs):
    rotation = np.linalg.qr(np.random.RandomState(0).standard_normal((64, 64)))[0]
    views = jitter(blobs[:200], 0.1)
    expected = grouping_score(blobs, views)
    assert grouping_score(blobs * 1000 @ rotation, views * 1000 @ rotation) == pytest.approx(
        expected, abs=0.02
    )


@pytest.mark.filterwarnings("error")
def test_equal_rows_score_nothing():
    assert grouping_score(np.ones((100, 40)), np.ones((50, 40))) == 0


def test_fewer_images_than_groups():
    features = np.random.RandomState(0).standard_normal((7, 40))
    assert 0 <= grouping_score(features, features[:3]) < 1


def test_views_are_moved_a_little_and_the_same_each_time():
    images = np.zeros((50, 64, 64), dtype=np.uint8)
    images[:, 28:36, 28:36] = 255
    views = moved_views(images)
    assert views.dtype == np.uint8
    assert views.shape == images.shape
    np.testing.assert_array_equal(views, moved_views(images))
    grid = np.indices((64, 64))
    weights = views / views.sum(axis=(1, 2), keepdims=True)
    centers = np.einsum("nij,cij->nc", weights, grid)
    shifts = np.abs(centers - 31.5)
    assert shifts.max() < 0.08 * 64 + 1
    assert shifts.mean() > 0.5
    assert len(np.unique(views.reshape(50, -1), axis=0)) == 50


def test_views_repeat_edges():
    images = np.full((20, 32, 32), 200, dtype=np.uint8)
    np.testing.assert_array_equal(moved_views(images), images)
