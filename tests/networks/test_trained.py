"""Trained networks as plain data."""

import dataclasses
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator

import skscan
from skscan.exceptions import ModelFileError
from skscan.networks.architecture import build_backbone, projection_head
from skscan.networks.trained import TrainedNetwork
from skscan.persistence.classes import CLASSES

SMALL = {"stem": "cifar", "depth": 10, "width": 4}
NORMALIZATION = ((0.5, 0.4, 0.3), (0.2, 0.2, 0.25))


@pytest.fixture
def modules():
    backbone = build_backbone(SMALL)
    backbone(torch.randn(8, 3, 16, 16))  # the running means and counts are no longer the first
    return backbone.eval(), projection_head(32, 5).eval()


@pytest.fixture
def network(modules):
    return TrainedNetwork.from_modules(SMALL, 16, *NORMALIZATION, *modules)


def test_modules_come_back(network, modules):
    images = torch.randn(2, 3, 16, 16)
    for own, given in ((network.backbone("cpu"), 0), (network.projection_head("cpu"), 1)):
        assert not own.training
        expected = modules[given].state_dict()
        assert own.state_dict().keys() == expected.keys()
        assert all(torch.equal(own.state_dict()[name], expected[name]) for name in expected)
    assert torch.equal(network.backbone("cpu")(images), modules[0](images))


def test_half_precision_that_numpy_lacks_becomes_float(modules):
    network = TrainedNetwork.from_modules(SMALL, 16, *NORMALIZATION, modules[0].bfloat16())
    assert network.arrays["backbone.conv1.weight"].dtype == np.float32
    assert network.arrays["backbone.bn1.num_batches_tracked"].dtype == np.int64


@pytest.mark.parametrize("output", ["backbone", "projection"])
def test_number_of_features(network, modules, output):
    alone = TrainedNetwork.from_modules(SMALL, 16, *NORMALIZATION, modules[0])
    assert network.n_features(output) == {"backbone": 32, "projection": 5}[output]
    assert alone.n_features() == 32


def test_without_projection_head(modules):
    network = TrainedNetwork.from_modules(SMALL, 16, *NORMALIZATION, modules[0])
    assert not network.has_projection_head
    assert network.projection_head("cpu") is None


def test_modules_are_copies(network):
    before = {name: array.copy() for name, array in network.arrays.items()}
    for module in (network.backbone("cpu"), network.projection_head("cpu")):
        with torch.no_grad():
            for tensor in module.state_dict().values():
                tensor += 1
    assert all(np.array_equal(network.arrays[name], before[name]) for name in before)


def test_taking_weights_copies_them(network, modules):
    before = network.arrays["backbone.conv1.weight"].copy()
    with torch.no_grad():
        modules[0].conv1.weight += 1
    assert np.array_equal(network.arrays["backbone.conv1.weight"], before)


def test_global_generator_is_left_alone(network):
    before = torch.get_rng_state()
    network.backbone("cpu")
    network.projection_head("cpu")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("part", "name"),
    [("backbone", "layer2.0.conv1.weight"), ("projection_head", "0.weight")],
)
def test_weights_have_to_match(network, part, name):
    full = f"{part}.{name}"
    arrays = {key: array for key, array in network.arrays.items() if key != full}
    with pytest.raises(ModelFileError, match=rf"{name} missing"):
        getattr(dataclasses.replace(network, arrays=arrays), part)("cpu")
    arrays = {**network.arrays, f"{part}.more": np.zeros(2)}
    with pytest.raises(ModelFileError, match="more unexpected"):
        getattr(dataclasses.replace(network, arrays=arrays), part)("cpu")
    arrays = {**network.arrays, full: network.arrays[full][..., :1]}
    with pytest.raises(ModelFileError, match=rf"{name} \(.*of another shape"):
        getattr(dataclasses.replace(network, arrays=arrays), part)("cpu")


def test_pickle_and_hash(network):
    again = pickle.loads(pickle.dumps(network))
    assert joblib.hash(again) == joblib.hash(network)
    arrays = {**network.arrays, "backbone.bn1.bias": network.arrays["backbone.bn1.bias"] + 1}
    assert joblib.hash(dataclasses.replace(network, arrays=arrays)) != joblib.hash(network)


def test_save_and_load_in_an_estimator(network, tmp_path, monkeypatch):
    class Holder(BaseEstimator):
        pass

    Holder.__module__ = "skscan.holder"
    monkeypatch.setitem(CLASSES, "Holder", "skscan.holder")
    monkeypatch.setitem(sys.modules, "skscan.holder", type(sys)("skscan.holder"))
    sys.modules["skscan.holder"].Holder = Holder
    holder = Holder()
    holder.network_ = dataclasses.replace(network, resize=20)
    again = skscan.load(skscan.save(holder, tmp_path)).network_

    assert isinstance(again, TrainedNetwork)
    for field in ("architecture", "image_size", "mean", "std", "resize"):
        assert getattr(again, field) == getattr(holder.network_, field)
    assert list(again.arrays) == list(network.arrays)
    for name, array in network.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        assert again.arrays[name].shape == array.shape
        assert np.array_equal(again.arrays[name], array)
    assert again.arrays["backbone.bn1.num_batches_tracked"] == 1


def test_import_is_without_torch():
    code = (
        "import sys; import skscan.networks, skscan.networks.trained; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
