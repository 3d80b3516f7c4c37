"""From files to estimators and back."""

import zipfile

import numpy as np
import pytest
import torch
from authors_files import small_weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skscan
from skscan import FeatureScaler, PixelFeatureExtractor, SCANClusterer
from skscan.exceptions import ModelFileError
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.interop import load_scan_checkpoint, save_scan_checkpoint
from skscan.networks.heads import LinearHeads


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def pretext(write):
    return load_scan_checkpoint(write(small_weights("pretext")), "cifar")


@pytest.fixture
def scan(write):
    return load_scan_checkpoint(write({"model": small_weights("cluster"), "head": 1}), "cifar")


def normalized(images: np.ndarray) -> torch.Tensor:
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    scaled = (images / 255 - mean) / std
    return torch.tensor(scaled.transpose(0, 3, 1, 2), dtype=torch.float32)


def test_pretext_becomes_an_extractor(pretext, images, tmp_path):
    extractor = pretext.to_estimator()
    assert type(extractor) is skscan.SimCLRFeatureExtractor
    with torch.inference_mode():
        projections = pretext.projection_head(pretext.backbone(normalized(images)))
    expected = torch.nn.functional.normalize(projections).numpy()
    features = extractor.transform(images)
    assert_allclose(features, expected, atol=1e-5)
    again = skscan.load(skscan.save(extractor, tmp_path / "model"))
    assert_array_equal(again.transform(images), features)
    backbone = extractor.set_params(output="backbone").transform(images)
    assert backbone.shape == (12, 32)
    assert_allclose(np.linalg.norm(backbone, axis=1), 1, rtol=1e-5)


def test_the_extractor_trains_the_same_network_when_fitted_again(pretext, images):
    extractor = clone(pretext.to_estimator()).set_params(n_epochs=1, batch_size=4, random_state=0)
    network = extractor.fit(images).network_
    assert network.architecture == pretext.network.architecture
    assert network.mean == pretext.network.mean
    assert not np.array_equal(
        network.arrays["backbone.conv1.weight"], pretext.network.arrays["backbone.conv1.weight"]
    )


def test_scan_becomes_a_clusterer(scan, images, tmp_path):
    clusterer = scan.to_estimator()
    with torch.inference_mode():
        logits = scan.cluster_heads[1](scan.backbone(normalized(images)))
    probabilities = clusterer.predict_proba(images)
    assert_allclose(probabilities, logits.softmax(dim=1).numpy(), atol=1e-4)
    assert_array_equal(clusterer.predict(images), logits.argmax(dim=1).numpy())
    assert clusterer.transform(images).shape == (12, 32)
    assert clusterer.n_clusters == 10
    assert clusterer.labels_.shape == (0,)
    assert np.isfinite(clusterer.score(images))
    again = skscan.load(skscan.save(clusterer, tmp_path / "model"))
    assert_array_equal(again.predict_proba(images), probabilities)
    # parameter and fitted part share the network, of which the files hold one copy
    size = sum(path.stat().st_size for path in (tmp_path / "model").glob("*.safetensors"))
    assert size < 1.5 * sum(array.nbytes for array in scan.network.arrays.values())


def test_the_clusterer_can_be_fitted_again(scan, images):
    clusterer = clone(scan.to_estimator()).set_params(n_clusters=3, effort="fast", random_state=0)
    assert clusterer.fit(images).labels_.shape == (12,)


def test_moco_becomes_an_extractor(pretext, images, tmp_path):
    # of a small network: what counts is the kind
    moco = type(pretext)("moco", pretext.network, None, 0, pretext.report)
    extractor = moco.to_estimator()
    assert type(extractor) is skscan.MoCoFeatureExtractor
    assert extractor.key_report_ is pretext.report
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(pretext.backbone(normalized(images))).numpy()
    features = extractor.transform(images)
    assert_allclose(features, expected, atol=1e-5)
    again = skscan.load(skscan.save(extractor, tmp_path / "model"))
    assert_array_equal(again.transform(images), features)
    assert again.key_report_ == pretext.report


def contents(path) -> dict:
    """Return a file's content as any version of torch reads it: nothing but tensors and numbers."""
    assert not zipfile.is_zipfile(path)
    return torch.load(path, weights_only=True)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        assert torch.equal(first[name], second[name])


def test_pretext_and_back(pretext, tmp_path):
    for number, model in enumerate((pretext, pretext.network, pretext.to_estimator())):
        path = tmp_path / f"{number}.pth.tar"
        save_scan_checkpoint(model, path)
        assert_same(contents(path), small_weights("pretext"))


def test_scan_and_back(scan, tmp_path):
    path = tmp_path / "model.pth.tar"
    saved = skscan.load(skscan.save(scan.to_estimator(), tmp_path / "model"))
    for model in (scan, scan.to_estimator(), saved):
        save_scan_checkpoint(model, path)
        content = contents(path)
        assert content.keys() == {"model", "head"}
        assert content["head"] == 1
        assert_same(content["model"], small_weights("cluster"))
    assert load_scan_checkpoint(path, "cifar").best_head == 1


def test_self_label_and_back(scan, tmp_path):
    path = tmp_path / "model.pth.tar"
    save_scan_checkpoint(scan, path, "self-label")
    weights = small_weights("cluster")
    expected = {name: weights[name] for name in weights if name.startswith("backbone.")}
    expected["cluster_head.0.weight"] = weights["cluster_head.1.weight"]
    expected["cluster_head.0.bias"] = weights["cluster_head.1.bias"]
    assert_same(contents(path), expected)
    again = load_scan_checkpoint(path, "cifar")
    assert again.kind == "self-label"
    save_scan_checkpoint(again, path, "self-label")
    assert_same(contents(path), expected)


def test_a_scaler_becomes_part_of_the_heads(scan, images, tmp_path):
    clusterer = scan.to_estimator()
    features = clusterer.transform(images)
    scaler = FeatureScaler(n_components=5, normalize=False).fit(features)
    draw = np.random.default_rng(0)
    heads = LinearHeads(
        draw.standard_normal((2, 4, 5)).astype(np.float32),
        draw.standard_normal((2, 4)).astype(np.float32),
    )
    clusterer.feature_scaler_, clusterer.heads_ = scaler, heads
    expected = clusterer.predict_proba(images)
    save_scan_checkpoint(clusterer, tmp_path / "model.pth.tar")
    again = load_scan_checkpoint(tmp_path / "model.pth.tar", "cifar").to_estimator()
    assert_allclose(again.predict_proba(images), expected, atol=1e-5)


def test_what_cannot_be_written(scan, pretext, images, tmp_path):
    path = tmp_path / "out.pth.tar"
    cases = [
        (scan, "moco", ValueError, "kind='moco': takes 'pretext', 'scan', 'self-label' or None"),
        (scan, "pretext", ValueError, "needs a projection head, and the model has none"),
        (pretext, "scan", ValueError, "kind='scan' needs cluster heads"),
        (PixelFeatureExtractor(), None, TypeError, "is a PixelFeatureExtractor without a trained"),
        (skscan.SimCLRFeatureExtractor(), None, TypeError, "without a trained network"),
        (SCANClusterer(3), None, ValueError, "a SCANClusterer that is not fitted"),
    ]
    for model, kind, error, message in cases:
        with pytest.raises(error, match=message):
            save_scan_checkpoint(model, path, kind)
    assert not path.exists()


def test_clusterers_that_cannot_be_written(scan, pretext, images, tmp_path):
    path = tmp_path / "out.pth.tar"
    clusterer = scan.to_estimator()
    clusterer.feature_scaler_ = FeatureScaler(normalize=True).fit(clusterer.transform(images))
    with pytest.raises(ValueError, match=r"feature_scaler is FeatureScaler.*linear heads cannot"):
        save_scan_checkpoint(clusterer, path)
    clusterer.feature_scaler_ = StandardScaler()
    with pytest.raises(ValueError, match="feature_scaler is StandardScaler"):
        save_scan_checkpoint(clusterer, path)
    clusterer.feature_scaler_ = FunctionTransformer(np.sqrt)
    with pytest.raises(ValueError, match="feature_scaler is FunctionTransformer"):
        save_scan_checkpoint(clusterer, path)
    for extractor, name in (
        (None, "a given matrix"),
        (pretext.to_estimator(), "SimCLRFeatureExtractor"),
        (NetworkFeatureExtractor(pretext.network, output="projection"), "NetworkFeature"),
    ):
        clusterer = scan.to_estimator()
        clusterer.feature_extractor_ = extractor
        with pytest.raises(ValueError, match=f"heads stand on features of {name}"):
            save_scan_checkpoint(clusterer, path)
    assert not path.exists()


def test_a_failed_write_leaves_the_earlier_file(scan, tmp_path):
    with pytest.raises(FileNotFoundError):
        save_scan_checkpoint(scan, tmp_path / "missing" / "model.pth.tar")
    with pytest.raises(ModelFileError):
        load_scan_checkpoint(tmp_path / "missing" / "model.pth.tar", "cifar")


def test_a_network_that_was_clustered_here_goes_out_and_back(images, tmp_path):
    small = {"stem": "cifar", "depth": 10, "width": 4}
    clusterer = SCANClusterer(
        2,
        feature_extractor=skscan.SimCLRFeatureExtractor(
            small, image_size=16, n_epochs=1, batch_size=4
        ),
        neighbor_miner=skscan.NeighborMiner(3),
        cluster_trainer=skscan.ClusterTrainer(scope="network", n_epochs=1),
        self_label_trainer="skip",
        random_state=0,
    ).fit(images)
    path = tmp_path / "model.pth.tar"
    save_scan_checkpoint(clusterer, path)
    network = clusterer.feature_extractor_.network_
    again = load_scan_checkpoint(
        path, "cifar", image_size=16, normalization=(network.mean, network.std)
    )
    assert again.network.architecture == small
    uncalibrated = clusterer.heads_.predict_proba(clusterer.transform(images), clusterer.best_head_)
    assert_array_equal(again.to_estimator().predict_proba(images), uncalibrated)
    assert_array_equal(again.to_estimator().predict(images), clusterer.predict(images))
