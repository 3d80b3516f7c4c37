"""The nearest-neighbor monitor: right, and without any trace in the training."""

import pickle

import numpy as np
import pytest
from image_factory import pixel_arrays
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

import skscan
from skscan import SimCLRFeatureExtractor
from skscan.exceptions import SkippedImagesWarning
from skscan.training import monitor as monitor_module
from skscan.training.monitor import KNNMonitor, PixelFeatures, weighted_knn

IMAGES = pixel_arrays(32, 16, 16)
LABELS = np.arange(32) % 4


def extractor(**parameters) -> SimCLRFeatureExtractor:
    parameters = {
        "image_size": 16,
        "n_epochs": 2,
        "batch_size": 16,
        "random_state": 0,
        "device": "cpu",
        **parameters,
    }
    return SimCLRFeatureExtractor({"stem": "cifar", "depth": 10, "width": 2}, **parameters)


def knn(labels=LABELS, **parameters) -> KNNMonitor:
    return KNNMonitor(IMAGES, labels, IMAGES[:10], labels[:10], **{"n_neighbors": 5, **parameters})


def gray_values(side: int = 16) -> PixelFeatures:
    return PixelFeatures(lambda pixels: pixels.reshape(len(pixels), -1).astype(np.float32), side)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("n_neighbors", [1, 7, 100])
def test_votes_are_those_of_scikit_learn(n_neighbors, temperature):
    random = np.random.RandomState(0)
    train, test = random.randn(120, 5), random.randn(60, 5)
    labels = np.array(["ant", "bee", "cat", "dog"])[random.randint(0, 4, 120)]
    reference = KNeighborsClassifier(
        n_neighbors,
        metric="cosine",
        weights=lambda distances: np.exp((1 - distances) / temperature),
    ).fit(train, labels)
    predicted = weighted_knn(train, labels, test, n_neighbors, temperature)
    np.testing.assert_array_equal(predicted, reference.predict(test))
    assert len(set(predicted)) > 1


def test_similarities_in_pieces(monkeypatch):
    random = np.random.RandomState(1)
    train, test = random.randn(50, 5).astype("f"), random.randn(30, 5).astype("f")
    labels = random.randint(0, 3, 50)
    at_once = weighted_knn(train, labels, test, 9)
    monkeypatch.setattr(monitor_module, "_SIMILARITIES_AT_ONCE", 200)
    np.testing.assert_array_equal(weighted_knn(train, labels, test, 9), at_once)


def test_more_neighbors_than_images():
    assert knn(n_neighbors=1000)(gray_values())["knn_accuracy"] <= 1


def test_accuracy():
    # Each test image is among the train images.
    assert knn(n_neighbors=1)(gray_values()) == {"knn_accuracy": 1.0}
    wrong = KNNMonitor(IMAGES, LABELS, IMAGES, (LABELS + 1) % 4, n_neighbors=1)
    assert wrong(gray_values()) == {"knn_accuracy": 0.0}
    partly = np.where(np.arange(32) < 8, LABELS, (LABELS + 1) % 4)
    assert KNNMonitor(IMAGES, LABELS, IMAGES, partly, n_neighbors=1)(gray_values()) == {
        "knn_accuracy": 0.25
    }


def test_the_accuracy_is_that_of_what_transform_gives():
    for output in ("projection", "backbone"):
        fitted = extractor(monitor=knn(), output=output).fit(IMAGES)
        features = fitted.transform(IMAGES)
        predicted = weighted_knn(features, LABELS, features[:10], 5)
        assert fitted.history_[-1]["knn_accuracy"] == np.mean(predicted == LABELS[:10])


def test_labels_leave_no_trace_in_the_training():
    shuffled = np.random.RandomState(0).permutation(LABELS)
    fits = [
        extractor(monitor=monitor).fit(IMAGES) for monitor in (None, knn(), knn(labels=shuffled))
    ]
    assert ["knn_accuracy" in fit.history_[0] for fit in fits] == [False, True, True]
    for fit in fits[1:]:
        for name, array in fits[0].network_.arrays.items():
            np.testing.assert_array_equal(fit.network_.arrays[name], array, err_msg=name)
        assert [epoch["loss"] for epoch in fit.history_] == [
            epoch["loss"] for epoch in fits[0].history_
        ]


def test_every_other_epoch():
    history = extractor(monitor=knn(every=2), n_epochs=5).fit(IMAGES).history_
    assert ["knn_accuracy" in epoch for epoch in history] == [False, True, False, True, False]


@pytest.mark.parametrize(("resize", "side"), [(None, 16), (20, 20)])
def test_images_are_decoded_once_as_the_extractor_decodes_them(monkeypatch, resize, side):
    sides = []
    real = monitor_module.load_pixels
    monkeypatch.setattr(
        monitor_module, "load_pixels", lambda images, side: sides.append(side) or real(images, side)
    )
    seen = []
    monitor = knn()
    extractor(
        resize=resize,
        monitor=lambda features: seen.append(features.side) or monitor(features),
    ).fit(IMAGES)
    assert seen == [side, side]
    assert sides == [side, side]  # train and test images, in the first epoch only


def test_unreadable_images_are_left_out(photo_folder):
    (photo_folder / "class 0" / "002.png").write_bytes(b"no image")
    monitor = KNNMonitor(photo_folder, [0, 9, 0, 1, 1, 1], photo_folder, [0, 0, 0, 1, 1, 1])
    monitor.n_neighbors = 1
    with pytest.warns(SkippedImagesWarning, match="1 of 6 images"):
        assert monitor(gray_values()) == {"knn_accuracy": 1.0}


@pytest.mark.parametrize("name", ["train", "test"])
def test_labels_of_the_wrong_length(name):
    arguments = {
        "train_images": IMAGES,
        "train_labels": LABELS,
        "test_images": IMAGES,
        "test_labels": LABELS,
        f"{name}_labels": LABELS[:-2],
    }
    with pytest.raises(ValueError, match=rf"{name}_labels .* 30 labels .* 32 images"):
        KNNMonitor(**arguments)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("n_neighbors", 0), ("n_neighbors", 1.5), ("temperature", 0), ("every", 0)],
)
def test_numbers_out_of_range(parameter, value):
    with pytest.raises(ValueError, match=f"{parameter}={value}"):
        knn(**{parameter: value})


def test_labels_that_are_no_list():
    with pytest.raises(ValueError, match=r"train_labels .* shape \(32, 1\)"):
        knn(labels=LABELS[:, None])


def test_pickle_and_clone():
    monitor = knn()
    expected = monitor(gray_values())
    assert pickle.loads(pickle.dumps(monitor))(gray_values()) == expected
    assert clone(extractor(monitor=monitor)).monitor is monitor


def test_saved_models_leave_the_monitor_out(tmp_path):
    fitted = extractor(monitor=knn(), n_epochs=1).fit(IMAGES)
    skscan.save(fitted, tmp_path)
    loaded = skscan.load(tmp_path)
    assert loaded.monitor is None
    assert loaded.history_ == fitted.history_
    np.testing.assert_array_equal(loaded.transform(IMAGES), fitted.transform(IMAGES))
