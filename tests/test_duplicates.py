"""Near-duplicates: found whatever the features are, and not where there are none."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, load_sample_images, make_blobs

from skscan import (
    FeatureScaler,
    NeighborMiner,
    PixelFeatureExtractor,
    SCANClusterer,
    TimmFeatureExtractor,
)
from skscan.duplicates import duplicate_groups, near_duplicates


def mined(X, n_neighbors=20, **options):
    return NeighborMiner(n_neighbors, **options).fit_transform(X)


def with_copies(X, noise):
    """Give the first ten rows a copy each, at the end, with a little noise."""
    rng = np.random.RandomState(1)
    copies = X[:10] + noise * X.std() * rng.randn(10, X.shape[1])
    return np.concatenate([X, copies]), [[i, len(X) + i] for i in range(10)]


@pytest.mark.parametrize("n_features", [2, 3, 10, 64])
def test_copies_are_found_in_any_number_of_dimensions(n_features):
    X = np.random.RandomState(0).randn(1000, n_features)
    X, pairs = with_copies(X, noise=1e-5)
    assert near_duplicates(mined(X)).tolist() == pairs


@pytest.mark.parametrize("n_features", [2, 3, 10, 64])
def test_by_chance_one_pair_is_expected_at_most(n_features):
    found = []
    for seed in range(3):
        X, _ = make_blobs(1000, n_features, centers=4, random_state=seed)
        found.append(len(near_duplicates(mined(X))))
    assert np.mean(found) <= 2


def test_real_digits_have_none_and_their_copies_are_found():
    X = FeatureScaler().fit_transform(load_digits().data)
    assert near_duplicates(mined(X)).tolist() == []
    X, pairs = with_copies(X, noise=0.01)
    assert near_duplicates(mined(X)).tolist() == pairs


def test_scale_metric_and_powers_of_the_distances_do_not_matter():
    X, pairs = with_copies(np.random.RandomState(0).rand(500, 12), noise=1e-3)
    graph = mined(X)
    for scale, power in ((1e-3, 1), (1e4, 1), (1, 2), (7, 0.5)):
        other = graph.copy()
        other.data = scale * other.data**power
        assert near_duplicates(other).tolist() == pairs
    assert near_duplicates(mined(X, metric="cosine")).tolist() == pairs


def test_dense_places_are_judged_by_their_own_measure():
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.randn(400, 8), 50 + 0.01 * rng.randn(400, 8)])
    assert len(near_duplicates(mined(X))) <= 2  # one is expected by chance


def test_more_equal_samples_than_neighbours_are_mined():
    X = np.random.RandomState(0).randn(300, 8)
    X[:40] = X[0]
    groups = duplicate_groups(near_duplicates(mined(X, 10)))
    assert groups[0].tolist() == list(range(40))
    assert len(groups) == 1


def test_small_and_empty_graphs():
    assert near_duplicates(csr_matrix((3, 3))).shape == (0, 2)
    X = np.array([[0.0], [0.0], [1.0], [2.0]])
    assert near_duplicates(mined(X, 1)).tolist() == [[0, 1]]
    equal = np.zeros((4, 2))
    assert len(duplicate_groups(near_duplicates(mined(equal, 2)))) == 1
    assert duplicate_groups(np.empty((0, 2), dtype=int)) == []


def test_jpeg_copies_of_photographs_are_found():
    """Patches of two photographs; some stored again, or at twice the size, as JPEG."""
    size = 64
    patches = [
        Image.fromarray(photograph[top : top + size, left : left + size])
        for photograph in load_sample_images().images
        for top in range(0, 427 - size, size)
        for left in range(0, 640 - size, size)
        if photograph[top : top + size, left : left + size].std() > 30  # the sky is all the same
    ]
    n = len(patches)
    again = [stored_again(patch.resize((2 * size, 2 * size)), 90) for patch in patches[::20]]
    again += [stored_again(patch, 95) for patch in patches[10::20]]
    originals = [*range(0, n, 20), *range(10, n, 20)]
    features = TimmFeatureExtractor(image_size=64).transform(patches + again)
    pairs = near_duplicates(mined(FeatureScaler().fit_transform(features))).tolist()
    expected = [[original, n + i] for i, original in enumerate(originals)]
    assert sum(pair in pairs for pair in expected) >= 0.8 * len(expected)
    false = [pair for pair in pairs if pair not in expected]
    assert len(false) <= 2


def stored_again(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def test_unreadable_images_shift_no_index(tmp_path):
    digits = (load_digits().images[:60] * 16).clip(0, 255).astype(np.uint8)
    paths = []
    for i, image in enumerate([*digits, digits[7]]):
        paths.append(str(tmp_path / f"{i:02d}.png"))
        Image.fromarray(image).save(paths[-1])
    (tmp_path / "03.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="could not be read"):
        clusterer = SCANClusterer(
            3, feature_extractor=PixelFeatureExtractor(image_size=8), effort="fast", random_state=0
        ).fit(paths)
    assert [7, 60] in clusterer.near_duplicates_.tolist()
    assert np.flatnonzero(np.isnan(clusterer.outlier_scores_)).tolist() == [3]
    assert 3 not in clusterer.ambiguous_indices_
    assert 3 not in clusterer.outlier_indices_
    found = clusterer.assess(paths[:5])
    np.testing.assert_array_equal(found.labels, clusterer.labels_[:5])
    np.testing.assert_allclose(found.probabilities, clusterer.probabilities_[:5], rtol=1e-5)
    np.testing.assert_allclose(found.outlier_scores, clusterer.outlier_scores_[:5], rtol=1e-3)
