"""SCANClusterer that looks for the number of classes, and what is cut from its merge tree."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skscan import ClusterCountSearch, PixelFeatureExtractor, SCANClusterer, load, save
from skscan.exceptions import SkippedImagesWarning
from skscan.metrics import clustering_accuracy


@pytest.fixture(scope="module")
def few():
    """Digits of three classes that are well apart."""
    X, y = load_digits(return_X_y=True)
    kept = np.flatnonzero(np.isin(y, (0, 4, 6)))[:300]
    return X[kept].astype(np.float32), y[kept]


@pytest.fixture(scope="module")
def found(few):
    return SCANClusterer("auto", effort="fast", random_state=0).fit(few[0])


def test_the_number_of_classes_is_found(found, few):
    X, y = few
    assert found.n_clusters == "auto"
    assert found.n_clusters_ == found.cluster_count_.proposals[0]
    assert 3 in found.cluster_count_.proposals[:2]
    assert found.probabilities_.shape == (len(X), found.n_clusters_)
    np.testing.assert_array_equal(found.predict(X), found.labels_)
    assert "cluster_count" in found.timings_
    assert clustering_accuracy(y, found.cut(3).labels_) > 0.95


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_a_cut_predicts_its_labels(found, few, number):
    cut = found.cut(number)
    assert cut.n_clusters == cut.n_clusters_ == number
    np.testing.assert_array_equal(cut.labels_, cut.predict(few[0]))
    assert cut.probabilities_.shape == (len(few[0]), number)
    assert set(cut.labels_) == set(range(number))
    np.testing.assert_array_equal(cut.labels_[cut.prototype_indices_], np.arange(number))
    assert np.mean(cut.labels_ == found.merge_tree_.cut(number)) > 0.9


def test_a_cut_leaves_the_clusterer_as_it_was(found, few):
    labels, heads = found.labels_.copy(), len(found.heads_)
    cut = found.cut(5)
    np.testing.assert_array_equal(found.labels_, labels)
    assert (found.n_clusters, len(found.heads_)) == ("auto", heads)
    np.testing.assert_array_equal(cut.cut(5).labels_, cut.labels_)
    np.testing.assert_array_equal(found.predict(few[0]), labels)


def test_clone_of_a_cut_trains_for_its_number(found, few):
    again = clone(found.cut(4))
    assert again.n_clusters == 4
    assert not hasattr(again, "merge_tree_")


def test_save_and_load_keep_the_search(found, few, tmp_path):
    back = load(save(found, tmp_path / "model"))
    assert back.n_clusters == "auto"
    np.testing.assert_array_equal(back.predict(few[0]), found.labels_)
    np.testing.assert_array_equal(back.cut(4).labels_, found.cut(4).labels_)
    assert str(back.cluster_count_) == str(found.cluster_count_)
    cut = load(save(found.cut(4), tmp_path / "cut"))
    np.testing.assert_array_equal(cut.predict(few[0]), found.cut(4).labels_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).cut(4).labels_, cut.labels_)


def test_grid_search_compares_given_and_found_numbers(few):
    grid = {"n_clusters": [3, "auto", ClusterCountSearch(max_clusters=4, n_resamples=2)]}
    model = SCANClusterer(effort="fast", random_state=0)
    searched = GridSearchCV(model, grid, cv=2, error_score="raise").fit(few[0])
    assert np.isfinite(searched.cv_results_["mean_test_score"]).all()


def test_bounds_of_the_search_are_nested_parameters(few):
    model = SCANClusterer("auto", effort="fast", random_state=0)
    model.set_params(n_clusters__max_clusters=5, n_clusters__n_resamples=3)
    assert isinstance(model.n_clusters, ClusterCountSearch)
    model = clone(model).fit(few[0])
    assert model.cluster_count_.n_clusters[-1] == 5


def test_labels_given_along_change_nothing(found, few):
    X, y = few
    for given in (y, np.random.RandomState(0).permutation(y)):
        again = clone(found).fit(X, given)
        np.testing.assert_array_equal(again.labels_, found.labels_)
        np.testing.assert_array_equal(again.cluster_count_.score, found.cluster_count_.score)


def test_a_fit_for_a_given_number_has_no_tree_to_cut(found, few):
    model = clone(found).fit(few[0]).set_params(n_clusters=3).fit(few[0])
    assert not hasattr(model, "cluster_count_")
    with pytest.raises(ValueError, match="n_clusters='auto'; this SCANClusterer was fitted with"):
        model.cut(3)


def test_a_cut_that_the_tree_does_not_have(found):
    with pytest.raises(ValueError, match="n_clusters=500 cannot be cut from a tree of"):
        found.cut(500)


@pytest.mark.parametrize("n_samples", [2, 3, 10])
@pytest.mark.filterwarnings("ignore")
def test_a_handful_of_samples(few, n_samples):
    X = few[0][:n_samples]
    model = SCANClusterer("auto", effort="fast", random_state=0).fit(X)
    assert 2 <= model.n_clusters_ <= n_samples
    np.testing.assert_array_equal(model.cut(2).labels_, model.cut(2).predict(X))


def test_unreadable_images_have_no_cluster_in_a_cut(tmp_path):
    rng = np.random.RandomState(0)
    paths = []
    for number in range(40):
        pixels = rng.randint(60, size=(8, 8)).astype(np.uint8)
        half = pixels if number % 2 else pixels.T
        half[:4] += 180  # bright above, or bright on the left
        paths.append(str(tmp_path / f"{number:02d}.png"))
        Image.fromarray(pixels).save(paths[-1])
    (tmp_path / "03.png").write_bytes(b"no image")

    extractor = PixelFeatureExtractor()
    model = SCANClusterer("auto", feature_extractor=extractor, effort="fast", random_state=0)
    with pytest.warns(SkippedImagesWarning):
        model.fit(paths)
    cut = model.cut(2)
    assert cut.labels_[3] == model.merge_tree_.cut(2)[3] == -1
    assert np.isnan(cut.probabilities_[3]).all()
    read = np.delete(np.arange(40), 3)
    assert clustering_accuracy(read % 2, cut.labels_[read]) == 1
