"""SimCLRFeatureExtractor: what it learns, keeps, takes and refuses."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from image_factory import picture, pixel_arrays, write_pictures
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import skscan
from skscan import SCANClusterer, SimCLRFeatureExtractor
from skscan.exceptions import (
    CheckpointError,
    CheckpointMismatchError,
    ImageReadError,
    SkippedImagesWarning,
)

BACKBONE = {"stem": "cifar", "depth": 10, "width": 4}
PIXELS = pixel_arrays(24, 12, 12)


def make(**changes) -> SimCLRFeatureExtractor:
    """A small extractor."""
    parameters = {
        "backbone": BACKBONE,
        "image_size": 12,
        "n_epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.05,
        "device": "cpu",
        "random_state": 0,
    }
    return SimCLRFeatureExtractor(**{**parameters, **changes})


@pytest.fixture(scope="module")
def fitted():
    return make().fit(PIXELS)


@pytest.fixture(scope="module")
def features(fitted):
    return fitted.transform(PIXELS)


class TestFeatures:
    def test_rows_have_length_one(self, features):
        assert features.shape == (24, 128)
        assert features.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
        assert len(np.unique(features, axis=0)) == 24

    def test_of_the_backbone(self, fitted):
        of_backbone = clone(fitted).set_params(output="backbone").fit(PIXELS)
        result = of_backbone.transform(PIXELS)
        assert result.shape == (24, len(of_backbone.get_feature_names_out()))
        np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, rtol=1e-5)
        # What is given out changes nothing in the training.
        assert of_backbone.history_ == fitted.history_

    def test_the_same_seed_gives_the_same_features(self, fitted, features):
        again = make().fit(PIXELS)
        assert again.history_ == fitted.history_
        assert_array_equal(again.transform(PIXELS), features)

    def test_another_seed_gives_others(self, features):
        assert not np.array_equal(make(random_state=1).fit_transform(PIXELS), features)

    @pytest.mark.parametrize("batch_size", [1, 5, 24])
    def test_batches_change_nothing_in_transform(self, fitted, features, batch_size):
        copy = pickle.loads(pickle.dumps(fitted)).set_params(batch_size=max(batch_size, 2))
        np.testing.assert_allclose(copy.transform(PIXELS), features, atol=1e-5)

    def test_rows_do_not_depend_on_each_other(self, fitted, features):
        np.testing.assert_allclose(fitted.transform(PIXELS[3:5]), features[3:5], atol=1e-5)

    def test_names_and_data_frames(self, fitted, features):
        assert fitted.get_feature_names_out()[-1] == "simclrfeatureextractor127"
        frame = pickle.loads(pickle.dumps(fitted)).set_output(transform="pandas").transform(PIXELS)
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == list(fitted.get_feature_names_out())
        assert_array_equal(frame.to_numpy(), features)

    def test_images_are_resized_as_in_training_before_the_centre_is_cut_out(self):
        extractor = make(resize=16).fit(PIXELS)
        resized = pixel_arrays(24, 16, 16)
        assert extractor.network_.resize == 16
        changed = resized.copy()
        changed[:, :2] = changed[:, -2:] = changed[:, :, :2] = changed[:, :, -2:] = 0
        assert_array_equal(extractor.transform(changed), extractor.transform(resized))
        changed[:, 2] = 0
        assert not np.array_equal(extractor.transform(changed), extractor.transform(resized))


class TestLabels:
    @pytest.mark.parametrize(
        "y", [np.arange(24) % 3, np.random.RandomState(0).permutation(24), ["a"] * 24]
    )
    def test_they_change_nothing(self, features, y):
        assert_array_equal(make().fit(PIXELS, y).transform(PIXELS), features)
        assert_array_equal(make().fit_transform(PIXELS, y), features)

    def test_nor_do_those_that_come_with_the_images(self, features):
        pairs = list(zip(PIXELS, np.arange(24), strict=True))
        assert_array_equal(make().fit(pairs).transform(PIXELS), features)


class TestCopies:
    def test_clone_is_not_fitted(self, fitted):
        copy = clone(fitted)
        assert copy.get_params() == fitted.get_params()
        with pytest.raises(NotFittedError):
            copy.transform(PIXELS)
        assert get_tags(copy).requires_fit

    def test_pickle(self, fitted, features):
        assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(PIXELS), features)

    def test_save_and_load(self, fitted, features, tmp_path):
        skscan.save(fitted, tmp_path / "model")
        loaded = skscan.load(tmp_path / "model")
        assert isinstance(loaded, SimCLRFeatureExtractor)
        assert_array_equal(loaded.transform(PIXELS), features)
        assert loaded.get_params() == fitted.get_params()
        assert loaded.history_ == fitted.history_

    def test_fitted_again_it_starts_anew(self, fitted, features):
        copy = pickle.loads(pickle.dumps(fitted))
        assert_array_equal(copy.fit(PIXELS).transform(PIXELS), features)


class TestTraining:
    def test_history(self, fitted):
        assert [entry["epoch"] for entry in fitted.history_] == [0, 1]
        assert [entry["steps"] for entry in fitted.history_] == [3, 3]
        assert fitted.history_[0]["learning_rate"] == 0.05
        assert fitted.n_iter_ == 2
        assert set(fitted.timings_) == {"inputs", "network", "total"}

    def test_the_loss_falls(self):
        extractor = make(
            backbone={**BACKBONE, "width": 8}, n_epochs=20, augmentation="standard"
        ).fit(pixel_arrays(32, 12, 12))
        losses = [entry["loss"] for entry in extractor.history_]
        assert sum(entry["steps"] for entry in extractor.history_) == 80
        assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2

    def test_micro_batches(self, fitted):
        extractor = make(micro_batch_size=4).fit(PIXELS)
        losses = [entry["loss"] for entry in extractor.history_]
        expected = [entry["loss"] for entry in fitted.history_]
        assert losses != expected  # batch normalisation sees the micro batch
        np.testing.assert_allclose(losses, expected, rtol=0.1)

    @pytest.mark.parametrize("backbone", ["torchvision/resnet18", "resnet10t"])
    def test_backbones_of_other_libraries(self, backbone):
        extractor = make(backbone=backbone, image_size=32, n_epochs=1).fit(PIXELS[:8])
        assert extractor.transform(PIXELS[:8]).shape == (8, 128)
        assert len(extractor.history_) == 1

    def test_augmentations(self, fitted):
        losses = [
            make(augmentation=augmentation).fit(PIXELS).history_[0]["loss"]
            for augmentation in ("moco", "standard")
        ]
        assert len({*losses, fitted.history_[0]["loss"]}) == 3

    def test_a_callable_augmentation(self):
        from skscan.training.augmentations import StandardAugmentation

        named = make(augmentation="standard").fit(PIXELS)
        own = make(augmentation=StandardAugmentation).fit(PIXELS)
        assert own.history_ == named.history_

    def test_normalization(self):
        means = PIXELS.mean(axis=(0, 1, 2)) / 255
        stds = PIXELS.std(axis=(0, 1, 2)) / 255
        measured = make(n_epochs=1).fit(PIXELS).network_
        np.testing.assert_allclose(measured.mean, means, rtol=1e-6)
        np.testing.assert_allclose(measured.std, stds, rtol=1e-6)
        given = make(n_epochs=1, normalization=(means.tolist(), stds.tolist())).fit(PIXELS)
        np.testing.assert_allclose(given.network_.mean, means)
        named = make(n_epochs=1, normalization="imagenet").fit(PIXELS)
        assert named.network_.mean == (0.485, 0.456, 0.406)

    def test_images_of_one_color(self):
        extractor = make(n_epochs=1).fit(np.full((8, 12, 12, 3), 200, dtype=np.uint8))
        assert np.isfinite(extractor.transform(PIXELS)).all()

    def test_smaller_and_gray_images_are_taken(self):
        images = [picture(i, 5, 7).convert("L") for i in range(8)]
        assert make(n_epochs=1).fit(images).transform(images).shape == (8, 128)

    def test_the_state_of_the_world_is_left_as_it_was(self):
        before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
        n_threads = torch.get_num_threads()
        make(n_jobs=2).fit_transform(PIXELS)
        assert_array_equal(torch.get_rng_state(), before[0])
        assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        assert torch.get_num_threads() == n_threads

    def test_good_images_give_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make().fit_transform(PIXELS)

    def test_precisions_in_one_process(self, fitted):
        half = make(precision="bf16").fit(PIXELS)
        assert half.history_ != fitted.history_
        assert half.network_.arrays["backbone.conv1.weight"].dtype == np.float32
        assert make().fit(PIXELS).history_ == fitted.history_


class TestUnreadableImages:
    @pytest.fixture
    def paths(self, tmp_path):
        good = write_pictures(tmp_path, 9)
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"")
        return [*good[:3], str(bad), *good[3:]]

    def test_they_are_left_out_with_a_warning(self, paths):
        with pytest.warns(SkippedImagesWarning, match="1 of 10 images .* not trained on") as caught:
            extractor = make().fit(paths)
        assert len(caught) == 1
        assert "bad.png: empty file" in str(caught[0].message)
        with pytest.warns(SkippedImagesWarning, match="NaN"):
            features = extractor.transform(paths)
        assert np.isnan(features[3]).all()
        assert np.isfinite(np.delete(features, 3, axis=0)).all()
        readable = [path for path in paths if "bad" not in path]
        assert make().fit(readable).history_ == extractor.history_

    def test_or_raise(self, paths):
        with pytest.raises(ImageReadError, match="empty file"):
            make(errors="raise").fit(paths)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"resize": 8}, "resize=8 must not be smaller than image_size=12"),
            ({"batch_size": 25}, "batch_size=25 must not be more than the number of samples"),
            ({"batch_size": 1}, "'batch_size' parameter"),
            ({"normalization": (0.5, 0.5)}, "normalization=.* must be 'auto'"),
            ({"normalization": ((0.5,) * 3, (0.5, 0, 0.5))}, "normalization=.* must be 'auto'"),
            ({"normalization": "mnist"}, "'normalization' parameter"),
            ({"precision": "fp16"}, "precision='fp16' does not work on the CPU"),
            ({"precision": "fp8"}, "'precision' parameter"),
            ({"backbone": "no_such_network"}, "no_such_network"),
            ({"backbone": {"stem": "cifar", "deep": 18}}, "deep"),
            ({"checkpoint_dir": "here", "random_state": None}, "checkpoint_dir needs random_state"),
            ({"device": "tpu7"}, "device='tpu7'"),
        ],
    )
    def test_wrong_parameters_are_named(self, changes, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match=message):
            make(**changes).fit(PIXELS)

    def test_features_are_no_images(self):
        with pytest.raises(ValueError, match="two-dimensional matrix of features"):
            make().fit(np.zeros((24, 5)))


class TestCheckpoints:
    def test_a_finished_run_is_not_run_again(self, fitted, features, tmp_path):
        first = make(checkpoint_dir=tmp_path).fit(PIXELS)
        again = make(checkpoint_dir=str(tmp_path)).fit(PIXELS)
        for extractor in (first, again):
            assert extractor.history_ == fitted.history_
            assert_array_equal(extractor.transform(PIXELS), features)
        assert again.timings_["network"] == 0.0

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"random_state": 1}, "seed"),
            ({"temperature": 0.2}, "temperature: 0.1 there, 0.2 now"),
            ({"n_epochs": 3}, "n_epochs: 2 there, 3 now"),
            ({"backbone": {**BACKBONE, "width": 8}}, "backbone width: 4 there, 8 now"),
            ({"precision": "bf16"}, "precision: 'no' there, 'bf16' now"),
        ],
    )
    def test_another_run_is_not_gone_on_with(self, tmp_path, changes, name):
        make(checkpoint_dir=tmp_path).fit(PIXELS)
        with pytest.raises(CheckpointMismatchError, match=name):
            make(checkpoint_dir=tmp_path, **changes).fit(PIXELS)

    def test_nor_with_other_data(self, tmp_path):
        make(checkpoint_dir=tmp_path).fit(PIXELS)
        changed = PIXELS.copy()
        changed[3, 4, 5, 0] ^= 1
        for images in (changed, PIXELS[::-1], PIXELS[:-1]):
            with pytest.raises(CheckpointMismatchError, match=r"data: '.*' there"):
                make(checkpoint_dir=tmp_path).fit(images)

    def test_what_changes_no_result_may_change(self, tmp_path, fitted):
        make(checkpoint_dir=tmp_path).fit(PIXELS)
        again = make(checkpoint_dir=tmp_path, n_jobs=1, verbose=0, output="backbone").fit(PIXELS)
        assert again.history_ == fitted.history_

    def test_damage(self, tmp_path):
        make(checkpoint_dir=tmp_path).fit(PIXELS)
        path = tmp_path / "simclr.checkpoint"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match=r"simclr\.checkpoint is damaged"):
            make(checkpoint_dir=tmp_path).fit(PIXELS)


class TestTogether:
    def test_in_a_pipeline(self, features):
        pipeline = make_pipeline(make(), StandardScaler())
        scaled = pipeline.fit_transform(PIXELS)
        np.testing.assert_allclose(scaled, StandardScaler().fit_transform(features), atol=1e-5)

    def test_as_the_extractor_of_a_clusterer(self, features):
        clusterer = SCANClusterer(
            2, feature_extractor=make(), self_label_trainer="skip", random_state=0
        ).fit(PIXELS)
        assert clusterer.labels_.shape == (24,)
        assert_array_equal(clusterer.feature_extractor_.transform(PIXELS), features)
        assert_array_equal(clusterer.predict(PIXELS), clusterer.labels_)

    def test_nested_parameters(self):
        clusterer = SCANClusterer(2, feature_extractor=make())
        clusterer.set_params(feature_extractor__n_epochs=7)
        assert clusterer.feature_extractor.n_epochs == 7


def test_it_learns_what_digits_look_like():
    digits = load_digits()
    images = (digits.images * 255 / 16).astype(np.uint8)[:900]
    classes = digits.target[:900]
    scores = []
    for learning_rate in (1e-9, 0.1):
        extractor = SimCLRFeatureExtractor(
            {"stem": "cifar", "depth": 10, "width": 8},
            image_size=8,
            n_epochs=12,
            batch_size=100,
            learning_rate=learning_rate,
            augmentation="standard",
            output="backbone",
            device="cpu",
            random_state=0,
        )
        features = extractor.fit_transform(images)
        nearest = KNeighborsClassifier(10, weights="distance").fit(features[:600], classes[:600])
        scores.append(nearest.score(features[600:], classes[600:]))
    untrained, trained = scores
    assert trained > untrained + 0.08
