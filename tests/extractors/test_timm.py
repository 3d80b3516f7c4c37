import os
import pickle
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import timm
import torch
from image_factory import picture, pixel_arrays
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import save_file
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from skscan import TimmFeatureExtractor
from skscan.engines import opening
from skscan.exceptions import ModelFileError, ModelUnavailableError
from skscan.extractors import backbones
from skscan.images import as_collection, list_images

PIXELS = pixel_arrays(3, 64, 64)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """A hub that does not answer, and nothing downloaded before."""

    def refuse(*args: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty cache"))
    backbones._load_backbone.cache_clear()


@pytest.fixture
def resnet_file(tmp_path):
    """Weights of a network with a classifier, and the network."""
    torch.manual_seed(0)
    network = timm.create_model("resnet10t").eval()
    save_file(network.state_dict(), tmp_path / "resnet10t.safetensors")
    return tmp_path / "resnet10t.safetensors", network


def test_the_embedded_network_is_the_whole_of_efficientnet_lite0():
    """The features times the classifier in the file are the scores of ImageNet's 1000 classes."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(backbones._embedded_weights(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    inputs = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected = network(inputs)
        features = torch.from_numpy(TimmFeatureExtractor(image_size=64).transform(PIXELS))
        scores = network.classifier(features)
    assert features.shape == (3, 1280)
    assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_embedded_features_tell_photographs_apart(stl10_zip):
    paths = [path for path in list_images(stl10_zip) if "/test/" in path][::20]
    classes = np.array([path.split("/")[-2] for path in paths])
    features = normalize(TimmFeatureExtractor().transform(paths))
    neighbors = NearestNeighbors(n_neighbors=3).fit(features).kneighbors(return_distance=False)
    # Ten classes: 0.1 by chance.
    assert (classes[neighbors] == classes[:, None]).mean() > 0.75


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_own_weights(resnet_file, tmp_path, suffix):
    path, network = resnet_file
    if suffix == "pth":
        path = tmp_path / "weights.pth"
        torch.save({"state_dict": network.state_dict()}, path)
    features = TimmFeatureExtractor("resnet10t", weights=path, image_size=64).transform(PIXELS)
    mean, std = (torch.tensor(network.pretrained_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
    with torch.inference_mode():
        inputs = (torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = network.forward_head(network.forward_features(inputs), pre_logits=True)
    assert features.shape == (3, 512)
    assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_own_weights_may_lack_the_classifier(resnet_file, tmp_path):
    path, network = resnet_file
    expected = TimmFeatureExtractor("resnet10t", weights=path, image_size=32).transform(PIXELS)
    network.reset_classifier(0)
    torch.save(network.state_dict(), tmp_path / "headless.pth")
    extractor = TimmFeatureExtractor(
        "resnet10t", weights=str(tmp_path / "headless.pth"), image_size=32
    )
    assert_array_equal(extractor.transform(PIXELS), expected)


def test_replaced_weights_are_read_again(resnet_file):
    path, network = resnet_file
    extractor = TimmFeatureExtractor("resnet10t", weights=path, image_size=32)
    before = extractor.transform(PIXELS)
    with torch.no_grad():
        network.conv1[0].weight.mul_(-1)
    save_file(network.state_dict(), path)
    os.utime(path, ns=(1, 1))
    assert np.abs(extractor.transform(PIXELS) - before).max() > 1e-3


def test_weights_of_another_network_are_refused(resnet_file):
    extractor = TimmFeatureExtractor("resnet18", weights=resnet_file[0])
    with pytest.raises(ModelFileError, match=r"another network: .* missing; .* unexpected"):
        extractor.transform(PIXELS)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file of weights"):
        TimmFeatureExtractor(weights=tmp_path / "missing.pth").transform(PIXELS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", r"'resnet81' is no model of timm; did you mean 'resnet\d+"),
        ("efficientnet_light0", "did you mean 'efficientnet_lite0'"),
        ("qqqqqqqqqq", r"see timm\.list_models\(\)"),
        ("resnet18.no_such_tag", r"Invalid pretrained tag .*Known are resnet18\.a1_in1k"),
    ],
)
def test_unknown_names_get_close_ones(name, message):
    with pytest.raises(ValueError, match=message):
        TimmFeatureExtractor(name).transform(PIXELS)


def test_without_a_hub_the_embedded_network_is_named_at_once(no_hub):
    begin = time.monotonic()
    message = (
        r"model_name='resnet18' are not on this machine and cannot be downloaded "
        r"\(Name or service not known\)\. "
        r"Without a network use the embedded backbone, model_name='efficientnet_lite0'"
    )
    with pytest.raises(ModelUnavailableError, match=message):
        TimmFeatureExtractor("resnet18").transform(PIXELS)
    with pytest.raises(ModelUnavailableError, match="embedded backbone"):
        TimmFeatureExtractor("hf-hub:someone/something").transform(PIXELS)
    assert time.monotonic() - begin < 5


def test_the_embedded_network_needs_no_hub(no_hub):
    assert TimmFeatureExtractor(image_size=32).transform(PIXELS).shape == (3, 1280)


def test_a_download_that_fails_names_the_embedded_network(no_hub, monkeypatch):
    def interrupted(*args: object, **options: object) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(backbones, "_require_hub", lambda name: None)
    monkeypatch.setattr(timm, "create_model", interrupted)
    with pytest.raises(ModelUnavailableError, match=r"connection lost.*embedded backbone"):
        TimmFeatureExtractor("resnet18").transform(PIXELS)


def test_downloaded_weights_are_used_without_a_hub(no_hub, resnet_file, monkeypatch):
    path, _ = resnet_file
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: str(path))
    features = TimmFeatureExtractor("resnet10t", image_size=32).transform(PIXELS)
    own = TimmFeatureExtractor("resnet10t", weights=path, image_size=32).transform(PIXELS)
    assert_array_equal(features, own)


def test_models_without_trained_weights_say_so(no_hub):
    with pytest.raises(ModelUnavailableError, match="timm has no trained weights"):
        TimmFeatureExtractor("botnet50ts_256").transform(PIXELS)


def test_transformers_are_built_for_the_size(tmp_path):
    network = timm.create_model("test_vit", img_size=64)
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    extractor = TimmFeatureExtractor(
        "test_vit", weights=tmp_path / "vit.safetensors", image_size=64
    )
    assert extractor.transform(PIXELS).shape == (3, 64)
    with pytest.raises(ModelFileError, match=r"pos_embed .*of another shape"):
        extractor.set_params(image_size=96).transform(PIXELS)


def test_sizes_that_a_network_cannot_take_are_named(tmp_path, monkeypatch):
    path = str(tmp_path / "vit.safetensors")
    save_file(timm.create_model("test_vit").state_dict(), path)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: path)
    assert TimmFeatureExtractor("test_vit", image_size=96).transform(PIXELS).shape == (3, 64)
    with pytest.raises(ValueError, match="'test_vit' does not work with image_size=3"):
        TimmFeatureExtractor("test_vit", image_size=3).transform(PIXELS)


def test_unknown_devices_are_named():
    with pytest.raises(ValueError, match="device='toaster'"):
        TimmFeatureExtractor(device="toaster").transform(PIXELS)


def test_broken_installation_says_what_to_install(monkeypatch):
    class Broken:
        def find_spec(self, name: str, *args: object) -> None:
            if name == "timm":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ImportError, match=r"nms does not exist.*torch and torchvision do not fit"):
        backbones._import_timm()


def test_size_matters():
    small, large = (TimmFeatureExtractor(image_size=s).transform(PIXELS) for s in (32, 64))
    assert small.shape == large.shape
    assert np.abs(small - large).max() > 0.01


def test_networks_are_loaded_once_and_shared(monkeypatch):
    backbones._load_backbone.cache_clear()
    opening._open.clear()
    loaded = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: loaded.append(a) or create(*a, **k))
    extractor = TimmFeatureExtractor(image_size=32, engine="torch")
    extractor.transform(PIXELS)
    extractor.transform(PIXELS)
    pickle.loads(pickle.dumps(extractor)).get_feature_names_out()
    assert len(loaded) == 1


def test_gradients_and_modes_stay_untouched():
    TimmFeatureExtractor(image_size=32).transform(PIXELS)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_estimators_import_torch_only_when_they_work():
    script = """
import sys
from skscan import TimmFeatureExtractor
extractor = TimmFeatureExtractor().set_params(n_views=2)
assert not {"torch", "timm", "torchvision"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_turned_photographs_have_the_features_of_upright_ones(tmp_path):
    upright = picture(0, 40, 60)
    turned = upright.rotate(90, expand=True)
    turned.getexif()[0x0112] = 6
    upright.save(tmp_path / "0.png")
    turned.save(tmp_path / "1.png", exif=turned.getexif())
    images = as_collection(tmp_path)
    assert images.read(1).size == (60, 40)
    first, second = TimmFeatureExtractor(image_size=32).transform(tmp_path)
    assert_allclose(first, second, rtol=1e-4, atol=1e-4)
