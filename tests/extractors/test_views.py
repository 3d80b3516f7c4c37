"""Several views of each image, whose features are averaged."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from image_factory import pixel_arrays
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

import skscan
from skscan import (
    ClusterTrainer,
    NetworkFeatureExtractor,
    PixelFeatureExtractor,
    SCANClassifier,
    SCANClusterer,
    SelfLabelTrainer,
    TimmFeatureExtractor,
)
from skscan.exceptions import SkippedImagesWarning, SkscanWarning
from skscan.extractors.default import DefaultFeatureExtractor
from skscan.extractors.views import MAX_VIEWS, make_view
from skscan.images import list_images
from skscan.networks.architecture import build_backbone
from skscan.networks.trained import TrainedNetwork
from skscan.parts import default_part, trains_a_network

PIXELS = pixel_arrays(5, 40, 40)
SIDE = 32
TINY = {"stem": "cifar", "depth": 10, "width": 4}


def network(**params):
    return TimmFeatureExtractor(image_size=SIDE, device="cpu", **params)


@pytest.fixture(scope="module")
def digits():
    """Images of three kinds of digits, in colours, so that the network is taken."""
    grey = load_digits(n_class=3).images[:60] / 16
    return np.stack([grey, grey**2, 1 - grey], axis=3)


def make(**params):
    extractor = params.pop("feature_extractor", network(n_views=3))
    return SCANClusterer(
        3, feature_extractor=extractor, effort="fast", random_state=0, device="cpu", **params
    )


@pytest.fixture(scope="module")
def fitted(digits):
    return make().fit(digits)


class TestMakeView:
    def test_the_first_is_the_image_the_second_its_mirror_image(self):
        assert_array_equal(make_view(PIXELS, 0), PIXELS)
        assert_array_equal(make_view(PIXELS, 1), PIXELS[:, :, ::-1])

    def test_closer_looks_are_what_pillow_makes_of_the_corner(self):
        expected = [
            np.asarray(Image.fromarray(image[:34, :34]).resize((40, 40), Image.Resampling.BICUBIC))
            for image in PIXELS
        ]
        assert_allclose(make_view(PIXELS, 2), expected, atol=1)

    def test_all_are_different_and_of_the_same_form(self):
        views = np.stack([make_view(PIXELS, number) for number in range(MAX_VIEWS)])
        assert views.shape == (MAX_VIEWS, *PIXELS.shape)
        assert views.dtype == np.uint8
        assert len(np.unique(views.reshape(MAX_VIEWS, -1), axis=0)) == MAX_VIEWS

    def test_of_a_mirror_image_they_are_mirror_images(self):
        """The corners are taken in pairs, so that left and right have the same say."""
        mirrored = make_view(PIXELS, 1)
        for number, partner in ((0, 1), (2, 4), (3, 5), (6, 7)):
            first = make_view(mirrored, number).astype(int)
            same = make_view(PIXELS, partner).astype(int)
            if number in (2, 3):  # a corner opposite, of the other handedness twice over
                same = same[:, :, ::-1]
            assert_allclose(first, same, atol=1)

    def test_one_pixel(self):
        assert make_view(PIXELS[:, :1, :1], 3).shape == (5, 1, 1, 3)


class TestExtractors:
    def test_features_are_the_mean_of_those_of_the_views(self):
        plain = network(batch_size=2)
        each = [plain.transform(make_view(pixels(PIXELS), number)) for number in range(3)]
        several = network(n_views=3, batch_size=2)
        views, skipped = several.extract_views(PIXELS)
        assert skipped == []
        assert_allclose(views, np.stack(each, axis=1), rtol=1e-4, atol=1e-4)
        assert_allclose(several.transform(PIXELS), views.mean(axis=1), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_images_beside_it_do_not_change_an_image(self, batch_size):
        expected = network(n_views=4).transform(PIXELS)
        order = [3, 0, 4]
        found = network(n_views=4, batch_size=batch_size).transform(PIXELS[order])
        assert_allclose(found, expected[order], rtol=1e-4, atol=1e-4)

    def test_one_view_is_the_image_itself(self):
        views, _ = network().extract_views(PIXELS)
        assert_array_equal(views[:, 0], network(n_views=1).transform(PIXELS))
        assert PixelFeatureExtractor(image_size=8).extract_views(PIXELS)[0].shape == (5, 1, 64)

    @pytest.mark.parametrize("n_views", [0, MAX_VIEWS + 1, 2.5, "many"])
    @pytest.mark.parametrize("extractor", [network(), DefaultFeatureExtractor()])
    def test_numbers_that_are_none(self, extractor, n_views):
        with pytest.raises(ValueError, match=r"'n_views' parameter of .* must be an int in"):
            clone(extractor).set_params(n_views=n_views).fit(PIXELS).transform(PIXELS)

    def test_unreadable_images_are_nan_in_every_view(self, photo_folder):
        (photo_folder / "class 0" / "a.png").write_bytes(b"")
        with pytest.warns(SkippedImagesWarning, match="1 of 7"):
            views, skipped = network(n_views=2).extract_views(photo_folder)
        bad = list_images(photo_folder).index(str(photo_folder / "class 0" / "a.png"))
        assert [image.index for image in skipped] == [bad]
        assert np.isnan(views[bad]).all()
        assert np.isfinite(np.delete(views, bad, axis=0)).all()

    @pytest.mark.parametrize("choice", ["backbone", "both", "pixels"])
    def test_the_default_extractor_averages_what_it_chose(self, choice):
        extractor = DefaultFeatureExtractor(image_size=SIDE, n_views=2, device="cpu").fit(PIXELS)
        extractor.choice_, extractor.block_weights_ = choice, (2.0, 0.5)
        views, _ = extractor.extract_views(PIXELS)
        assert views.shape == (5, 1 if choice == "pixels" else 2, extractor._n_features_out)
        assert_allclose(extractor.transform(PIXELS), views.mean(axis=1), rtol=1e-5, atol=1e-6)
        if choice == "both":  # of pixels there is one view
            assert_array_equal(views[:, 0, 1280:], views[:, 1, 1280:])
            assert np.abs(views[:, 0, :1280] - views[:, 1, :1280]).max() > 1e-3

    def test_neighbours_of_garments_share_their_class_more_often(self):
        folder = Path("/usr/share/datasets/fashion-mnist")  # Debian's package
        if not folder.is_dir():
            pytest.skip("the package dataset-fashion-mnist is not installed")
        images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
        y = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:508]
        garments = np.frombuffer(images, np.uint8, offset=16)[: 500 * 784].reshape(-1, 28, 28)
        views, _ = network(n_views=2).extract_views(garments)
        y = np.frombuffer(y, np.uint8)
        purity = [share_of_own_class(features, y) for features in (views[:, 0], views.mean(axis=1))]
        assert purity[1] > purity[0]


class TestClusterers:
    def test_clusters_are_found_on_the_images_as_they_are(self, digits, fitted):
        plain = make(feature_extractor=network()).fit(digits)
        assert_array_equal(fitted.heads_.weights, plain.heads_.weights)
        assert (fitted.neighbors_ != plain.neighbors_).nnz == 0
        assert np.abs(fitted.probabilities_ - plain.probabilities_).max() > 1e-4

    def test_labels_are_what_predict_says(self, digits, fitted):
        assert_allclose(fitted.predict_proba(digits), fitted.probabilities_, atol=1e-4)
        assert_array_equal(fitted.predict(digits), fitted.labels_)

    def test_outlier_scores_are_those_of_the_averages(self, digits, fitted):
        assert_allclose(fitted.outlier_scores(digits), fitted.outlier_scores_, rtol=1e-3)
        assert_allclose(make().fit_transform(digits), fitted.transform(digits), atol=1e-3)

    def test_several_extractors(self, digits):
        pair = [network(n_views=2), PixelFeatureExtractor(image_size=8)]
        clusterer = make(feature_extractor=pair).fit(digits)
        assert clusterer.n_features_in_ == 1280 + 64
        assert_allclose(clusterer.predict_proba(digits), clusterer.probabilities_, atol=1e-4)

    def test_views_are_cached(self, digits, fitted, tmp_path, monkeypatch):
        make(memory=str(tmp_path)).fit(digits)
        monkeypatch.setattr(TimmFeatureExtractor, "extract_views", None)
        again = make(memory=str(tmp_path)).fit(digits)
        assert_array_equal(again.labels_, fitted.labels_)

    def test_saved_and_loaded(self, digits, fitted, tmp_path):
        again = skscan.load(skscan.save(fitted, tmp_path / "model"))
        assert again.feature_extractor_.n_views == 3
        assert_allclose(again.predict_proba(digits), fitted.probabilities_, atol=1e-4)

    def test_a_classifier_sorts_averages(self, digits):
        y = np.full(len(digits), -1)
        y[:9] = load_digits(n_class=3).target[:9]
        classifier = SCANClassifier(
            feature_extractor=network(n_views=2), effort="fast", random_state=0, device="cpu"
        ).fit(digits, y)
        unlabeled = ~classifier.is_labeled_
        assert_allclose(
            classifier.predict_proba(digits)[unlabeled],
            classifier.probabilities_[unlabeled],
            atol=1e-4,
        )

    def test_a_network_that_is_trained_too_is_asked_as_often(self, digits):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            backbone = build_backbone(TINY)
        untrained = TrainedNetwork.from_modules(TINY, 8, (0.5,) * 3, (0.5,) * 3, backbone)
        clusterer = make(
            feature_extractor=NetworkFeatureExtractor(untrained, n_views=2),
            cluster_trainer=ClusterTrainer(
                scope="network", starts=("random",), class_prior="uniform", n_heads=1, n_epochs=1
            ),
            self_label_trainer="skip",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkscanWarning)  # an epoch leaves clusters empty
            clusterer.fit(digits)
        assert clusterer.feature_extractor_.n_views == 2
        assert_allclose(clusterer.predict_proba(digits), clusterer.probabilities_, atol=1e-4)

    @pytest.mark.parametrize(("effort", "n_views"), [("fast", 1), ("default", 1), ("best", 4)])
    def test_the_best_effort_looks_more_than_once(self, effort, n_views):
        for name in (None, "default", "resnet18"):
            assert default_part("feature_extractor", name, effort).n_views == n_views
        pair = default_part("feature_extractor", ["resnet18", network(n_views=2)], effort)
        assert [each.n_views for each in pair.extractors] == [n_views, 2]

    @pytest.mark.parametrize("effort", ["fast", "default"])
    def test_less_effort_looks_at_one_size(self, effort):
        assert default_part("feature_extractor", None, effort, several_sizes=True).image_size == 128

    def test_the_best_effort_looks_at_two_sizes(self):
        def sizes(name):
            joined = default_part("feature_extractor", name, "best", several_sizes=True)
            return [each.image_size for each in joined.extractors]

        assert sizes("default") == sizes(None) == [128, 176]
        joined = default_part("feature_extractor", None, "best", several_sizes=True)
        assert [each.n_views for each in joined.extractors] == [2, 2]  # four between them
        assert sizes(["default", network()]) == [128, 176, SIDE]  # each a space of its own
        named = default_part("feature_extractor", "resnet18", "best", several_sizes=True)
        assert named.image_size == 128

    def test_parameters_of_the_default_extractor_are_those_of_one(self):
        clusterer = SCANClusterer(effort="best").set_params(feature_extractor__image_size=SIDE)
        assert clusterer.feature_extractor.image_size == SIDE
        assert (
            clusterer.feature_extractor.n_views
            == default_part("feature_extractor", None, "best").n_views
        )

    @pytest.mark.parametrize("trainer", ["cluster_trainer", "self_label_trainer"])
    def test_a_network_that_is_trained_too_sees_one_size(self, trainer):
        own = {"cluster_trainer": ClusterTrainer, "self_label_trainer": SelfLabelTrainer}[trainer]
        assert trains_a_network(SCANClusterer(**{trainer: own(scope="network")}))
        assert not trains_a_network(SCANClusterer(**{trainer: own()}))
        assert not trains_a_network(SCANClusterer(self_label_trainer="skip"))

    def test_the_best_effort_sorts_new_images_alike(self, digits, tmp_path, monkeypatch):
        monkeypatch.setattr("skscan.parts.SIZES_OF_EFFORT", {"best": (24, SIDE)})
        monkeypatch.setattr("skscan.training.clustering.EFFORTS", {"best": {"n_heads": 3}})
        clusterer = SCANClusterer(3, effort="best", random_state=0, device="cpu").fit(digits)
        assert clusterer.n_features_in_ == 2 * 1280
        again = skscan.load(skscan.save(clusterer, tmp_path / "model"))
        assert [each.image_size for each in again.feature_extractor_.extractors_] == [24, SIDE]
        assert_allclose(again.predict_proba(digits), clusterer.probabilities_, atol=1e-4)


def pixels(images):
    """Images as squares of the size that the network sees."""
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            for image in images
        ]
    )


def share_of_own_class(features, y):
    neighbors = NearestNeighbors(n_neighbors=10).fit(normalize(features)).kneighbors()[1]
    return (y[neighbors] == y[:, None]).mean()
