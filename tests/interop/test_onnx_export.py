"""One ONNX file from images to probabilities, beside the estimators."""

import json
import subprocess
import sys

import numpy as np
import pytest
from image_factory import picture, pixel_arrays, write_pictures
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA

import skscan
from skscan import (
    FeatureScaler,
    FeatureSpacesScaler,
    JoinedFeatureExtractor,
    PixelFeatureExtractor,
    SCANClassifier,
    SCANClusterer,
)
from skscan.exceptions import ExportError
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.extractors.views import make_view
from skscan.images.transforms import to_square
from skscan.interop import export_onnx, onnx_export
from skscan.interop.onnx_graph import OnnxGraph
from skscan.interop.onnx_parts import add_features, add_probabilities, add_scaled
from skscan.interop.onnx_pictures import add_squares, add_views
from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import LinearHeads
from skscan.networks.mlp_heads import MLPHeads

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def run(graph, output, images):
    """What a graph makes of images."""
    model = graph.to_model(output, "out", 1)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    elem_type = 2 if output.startswith(("Transpose", "Slice")) else 1
    model.graph.output[0].type.tensor_type.elem_type = elem_type
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {graph.input_name: images})[0]


def noise(*shape):
    return np.random.RandomState(0).randint(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [16, 24])
@pytest.mark.parametrize("shape", [(20, 20), (16, 16), (31, 40), (7, 50), (3, 3), (64, 90)])
def test_squares_are_those_of_pillow(shape, size):
    graph = OnnxGraph("images")
    images = np.stack([noise(*shape), np.asarray(picture(1, *shape))])
    found = run(graph, add_squares(graph, size), images)
    assert found.dtype == np.uint8
    assert_array_equal(found, [to_square(Image.fromarray(image), size) for image in images])


@pytest.mark.parametrize("size", [16, 24])
@pytest.mark.parametrize("shape", [(40, 31), (50, 7), (90, 64)])
def test_upright_pictures_differ_by_rounding(shape, size):
    # Pillow goes along the columns of some of them first, and rounds in between.
    graph = OnnxGraph("images")
    image = np.asarray(picture(1, *shape))
    found = run(graph, add_squares(graph, size), image[None])[0].astype(int)
    assert np.abs(found - to_square(Image.fromarray(image), size)).max() <= 1


def test_views_are_those_of_the_extractors():
    images = pixel_arrays(3, 32, 32)
    for number in range(8):
        graph = OnnxGraph("images")
        view = add_views(graph, add_squares(graph, 32), 32, 8)[number]
        found = run(graph, view, images).astype(int)
        # The library enlarges with weights of fewer places.
        assert np.abs(found - make_view(images, number)).max() <= 1


@pytest.fixture(scope="module")
def small_network():
    import torch

    from skscan.networks.small_resnet import SmallResNet
    from skscan.networks.trained import TrainedNetwork

    torch.manual_seed(0)
    parameters = {"stem": "cifar", "depth": 10, "width": 4}
    backbone = SmallResNet(**parameters)
    head = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    return TrainedNetwork.from_modules(
        parameters, 16, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), backbone, head, resize=20
    )


@pytest.mark.parametrize("output", ["backbone", "projection"])
@pytest.mark.parametrize("n_views", [1, 3])
def test_features_of_a_network(small_network, output, n_views):
    extractor = NetworkFeatureExtractor(small_network, output=output, n_views=n_views)
    images = pixel_arrays(4, 30, 44)
    graph = OnnxGraph("images")
    found = run(graph, add_features(graph, extractor), images)
    expected = extractor.transform(images)
    cosines = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1)
    assert_allclose(cosines / np.linalg.norm(expected, axis=1), 1, atol=1e-4)
    assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_features_of_pixels(channels):
    extractor = PixelFeatureExtractor(8, channels=channels)
    images = pixel_arrays(4, 30, 44)
    graph = OnnxGraph("images")
    found = run(graph, add_features(graph, extractor), images)
    assert_allclose(found, extractor.transform(images), atol=1.01 / 255)


def heads_of_each_kind(n_features, n_clusters):
    rng = np.random.RandomState(0)

    def drawn(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    directions = drawn(2, n_clusters, 5)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    half = n_features // 2
    return [
        LinearHeads(drawn(2, n_clusters, n_features), drawn(2, n_clusters)),
        MLPHeads(
            drawn(2, 9, n_features), drawn(2, 9), drawn(2, 5, 9), drawn(2, 5), directions, 0.3
        ),
        AveragedHeads(
            [LinearHeads(drawn(2, n_clusters, half), drawn(2, n_clusters)) for _ in range(2)]
        ),
    ]


@pytest.mark.parametrize("kind", range(3))
def test_heads_and_scalers(kind):
    from skscan.calibration import calibrated

    images = noise(6, 8, 8)
    features = PixelFeatureExtractor(8, channels="rgb").transform(images)
    n_features = features.shape[1]
    scaler = FeatureSpacesScaler([n_features // 2] * 2, FeatureScaler(2)).fit(features)
    heads = heads_of_each_kind(4, 3)[kind]
    graph = OnnxGraph("images")
    output = add_features(graph, PixelFeatureExtractor(8, channels="rgb"))
    output = add_scaled(graph, output, scaler)
    output = add_probabilities(graph, output, heads, 1, 2.0)
    expected = calibrated(heads.logits(scaler.transform(features), 1), 2.0)
    assert_allclose(run(graph, output, images), expected, atol=1e-5)


@pytest.fixture(scope="module")
def sorter():
    """A clusterer of pictures in three colours, by pixels and in two spaces."""
    images = coloured(60)
    extractors = [PixelFeatureExtractor(8, channels="rgb"), PixelFeatureExtractor(6)]
    clusterer = SCANClusterer(3, feature_extractor=extractors, effort="fast", random_state=0)
    return clusterer.fit(images)


def coloured(n):
    images = pixel_arrays(n, 24, 24) // 4
    for number in range(n):
        images[number, :, :, number % 3] += 150
    return images


STRANGER = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
images = np.load(sys.argv[2])
one = [session.run(None, {"images": image[None]})[0] for image in images]
assert not {"torch", "skscan", "sklearn", "PIL"} & set(sys.modules)
print(json.dumps({
    "single": np.concatenate(one).tolist(),
    "batch": session.run(["probabilities"], {"images": images})[0].tolist(),
    "metadata": session.get_modelmeta().custom_metadata_map,
}))
"""


def test_the_file_needs_a_runtime_alone(sorter, tmp_path):
    export = export_onnx(sorter, tmp_path / "sorter.onnx", coloured(90))
    assert export.n_checked == 64
    assert export.largest_difference < 1e-3
    assert export.label_agreement == 1
    assert export.milliseconds > 0
    assert export.n_bytes == (tmp_path / "sorter.onnx").stat().st_size
    images = coloured(12)
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, export.path, str(tmp_path / "images.npy")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = sorter.predict_proba(images)
    assert_allclose(found["single"], expected, atol=1e-3)
    assert_allclose(found["batch"], expected, atol=1e-3)
    assert found["metadata"]["skscan_version"] == skscan.__version__
    assert json.loads(found["metadata"]["class_names"]) == ["0", "1", "2"]
    assert "backbone" not in found["metadata"]


def test_embedded_backbone_is_named_with_its_labels(tmp_path):
    import onnx

    images = coloured(40)
    clusterer = SCANClusterer(3, effort="fast", random_state=0)
    clusterer.set_params(feature_extractor__image_size=32)
    clusterer.fit(images)
    export = export_onnx(clusterer, tmp_path / "sorter.onnx", write_pictures(tmp_path, 6))
    assert export.image_size == 32
    assert export.n_checked == 6
    model = onnx.load(export.path)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["backbone"] == "efficientnet_lite0, trained with ImageNet labels"
    assert metadata["image_size"] == "32"


def test_classes_have_the_names_of_a_classifier(tmp_path):
    images = coloured(60)
    y = np.full(60, "-1", dtype=object)
    y[:6] = ["red", "green", "blue"] * 2
    classifier = SCANClassifier(
        feature_extractor=PixelFeatureExtractor(8, channels="rgb"), effort="fast", random_state=0
    ).fit(images, y)
    export = export_onnx(classifier, tmp_path / "sorter.onnx", images)
    assert export.class_names == [str(name) for name in classifier.classes_]
    assert set(export.class_names) == {"red", "green", "blue"}
    assert export.largest_difference < 1e-3


class Foreign(TransformerMixin, BaseEstimator):
    """A transformer of somebody else's."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.reshape(X, (len(X), -1))[:, ::50] / 255


def test_what_cannot_be_written_is_named(tmp_path):
    images = coloured(40)
    out = tmp_path / "sorter.onnx"
    with pytest.raises(TypeError, match="estimator is a PCA; takes a fitted SCANClusterer"):
        export_onnx(PCA(), out)
    with pytest.raises(ValueError, match="not fitted"):
        export_onnx(SCANClusterer(3), out)
    settings = {"effort": "fast", "random_state": 0}
    features = images.reshape(len(images), -1) / 255
    with pytest.raises(ValueError, match="fitted on a feature matrix"):
        export_onnx(SCANClusterer(3, **settings).fit(features), out)
    foreign = SCANClusterer(3, feature_extractor=Foreign(), **settings).fit(images)
    with pytest.raises(ExportError, match="feature_extractor is a Foreign"):
        export_onnx(foreign, out)
    pixels = PixelFeatureExtractor(8, channels="rgb")
    other = SCANClusterer(3, feature_extractor=pixels, feature_scaler=PCA(5), **settings)
    with pytest.raises(ExportError, match="feature_scaler is a PCA"):
        export_onnx(other.fit(images), out)
    assert not out.exists()


def test_a_file_that_gives_something_else_is_not_written(sorter, tmp_path, monkeypatch):
    out = tmp_path / "sorter.onnx"
    monkeypatch.setattr(onnx_export, "_run", lambda session, batch: np.full((len(batch), 3), 1 / 3))
    with pytest.raises(ExportError, match="differ from those of predict_proba"):
        export_onnx(sorter, out, coloured(9))
    assert not out.exists()


def test_missing_packages_are_named(sorter, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"^onnxruntime missing.*pip install onnxruntime`"):
        export_onnx(sorter, tmp_path / "sorter.onnx")


def test_joined_extractors_stand_side_by_side():
    joined = JoinedFeatureExtractor([PixelFeatureExtractor(4), PixelFeatureExtractor(3)])
    images = pixel_arrays(4, 30, 44)
    joined.fit(images)
    graph = OnnxGraph("images")
    found = run(graph, add_features(graph, joined), images)
    assert_allclose(found, joined.transform(images), atol=1.01 / 255)
