"""MoCoFeatureExtractor: training, resuming, saving, and files of weights."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from image_factory import pixel_arrays
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import estimator_checks
from torchvision.models import resnet50

import skscan
from skscan import MoCoFeatureExtractor
from skscan.exceptions import CheckpointMismatchError, ModelFileError
from skscan.training.augmentations import SimCLRAugmentation
from skscan.training.checkpoints import Checkpoint
from skscan.training.momentum_contrast import MoCoTask

IMAGES = pixel_arrays(48, 20, 20)
SMALL = {"stem": "cifar", "depth": 10, "width": 2}


def extractor(**parameters) -> MoCoFeatureExtractor:
    parameters = {
        "backbone": SMALL,
        "image_size": 16,
        "n_epochs": 3,
        "batch_size": 16,
        "momentum": 0.9,
        "random_state": 0,
        "device": "cpu",
        **parameters,
    }
    return MoCoFeatureExtractor(**parameters)


@pytest.fixture(scope="module")
def fitted() -> MoCoFeatureExtractor:
    return extractor().fit(IMAGES)


def test_defaults_are_those_of_moco_v2():
    parameters = MoCoFeatureExtractor().get_params()
    expected = {
        "backbone": "torchvision/resnet50",
        "image_size": 224,
        "n_epochs": 800,
        "batch_size": 256,
        "learning_rate": 0.03,
        "weight_decay": 1e-4,
        "temperature": 0.2,
        "momentum": 0.999,
        "augmentation": "moco",
        "output": "backbone",
    }
    assert {name: parameters[name] for name in expected} == expected
    assert MoCoFeatureExtractor()._resize() == 256
    augmentation = MoCoFeatureExtractor()._make_augmentation((0.5,) * 3, (0.5,) * 3)
    assert isinstance(augmentation, SimCLRAugmentation)
    assert augmentation.blur


@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
    ],
)
def test_sklearn_checks_of_parameters(name):
    getattr(estimator_checks, name)("MoCoFeatureExtractor", MoCoFeatureExtractor())


def test_features(fitted):
    features = fitted.transform(IMAGES)
    assert features.shape == (48, 16)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert len(np.unique(features.round(5), axis=0)) == 48
    assert list(fitted.get_feature_names_out()[:2]) == [
        "mocofeatureextractor0",
        "mocofeatureextractor1",
    ]


def test_projections(fitted):
    projecting = extractor(output="projection").fit(IMAGES)
    assert_array_equal(
        projecting.network_.arrays["backbone.conv1.weight"],
        fitted.network_.arrays["backbone.conv1.weight"],
    )
    features = projecting.transform(IMAGES)
    assert features.shape == (48, 128)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_history(fitted):
    assert [epoch["steps"] for epoch in fitted.history_] == [3, 3, 3]
    # 0.03 (1 + cos(pi e / 3)) / 2
    assert [epoch["learning_rate"] for epoch in fitted.history_] == pytest.approx(
        [0.03, 0.0225, 0.0075]
    )
    assert fitted.n_iter_ == 3
    assert fitted.key_report_ is None


def test_the_loss_falls():
    # The first epoch is the easiest: the queue still holds random directions.
    images = pixel_arrays(64, 16, 16)
    backbone = {"stem": "cifar", "depth": 10, "width": 8}
    parameters = {"augmentation": "standard", "queue_size": 32, "n_epochs": 30}
    history = extractor(backbone=backbone, **parameters).fit(images).history_
    losses = [epoch["loss"] for epoch in history]
    assert np.mean(losses[-6:]) < np.mean(losses[1:7]) - 0.2


def test_the_same_seed_gives_the_same_network(fitted):
    again = extractor().fit(IMAGES)
    other = extractor(random_state=1).fit(IMAGES)
    name = "backbone.layer4.0.conv2.weight"
    assert_array_equal(again.network_.arrays[name], fitted.network_.arrays[name])
    assert not np.array_equal(other.network_.arrays[name], fitted.network_.arrays[name])


def test_save_load_pickle_and_clone(fitted, tmp_path):
    features = fitted.transform(IMAGES)
    skscan.save(fitted, tmp_path)
    for copy in (skscan.load(tmp_path), pickle.loads(pickle.dumps(fitted))):
        assert copy.get_params() == fitted.get_params()
        assert copy.history_ == fitted.history_
        assert_array_equal(copy.transform(IMAGES), features)
    assert not hasattr(clone(fitted), "network_")


def test_transform_resizes_as_the_training_does():
    # Images of 20 px are not resized, and the middle is cut out of them.
    fitted = extractor(resize=20, n_epochs=1).fit(IMAGES)
    middle = np.ascontiguousarray(IMAGES[:, 2:18, 2:18])
    network = dataclasses.replace(fitted.network_, resize=None)
    features = skscan.NetworkFeatureExtractor(network, device="cpu").transform(middle)
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.transform(IMAGES), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_steps", [1, 4, 8])
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(fitted, n_steps, tmp_path, monkeypatch):
    class CutError(Exception):
        pass

    real, steps = MoCoTask.after_step, []

    def cut(task):
        if len(steps) == n_steps:
            raise CutError
        steps.append(0)
        real(task)

    monkeypatch.setattr(Checkpoint, "is_due", lambda checkpoint: True)
    with monkeypatch.context() as patch:
        patch.setattr(MoCoTask, "after_step", cut)
        with pytest.raises(CutError):
            extractor(checkpoint_dir=tmp_path).fit(IMAGES)
    state = torch.load(tmp_path / "moco.checkpoint", weights_only=True)["state"]
    assert {"queue", "position", "momentum_encoder.backbone.conv1.weight"} <= set(state["network"])
    assert int(state["network"]["position"]) == n_steps * 16 % 16

    resumed = extractor(checkpoint_dir=tmp_path).fit(IMAGES)
    assert resumed.history_ == fitted.history_
    for name, array in fitted.network_.arrays.items():
        assert_array_equal(resumed.network_.arrays[name], array, err_msg=name)


def test_another_queue_is_another_run(tmp_path):
    extractor(checkpoint_dir=tmp_path, n_epochs=1).fit(IMAGES)
    with pytest.raises(CheckpointMismatchError, match="queue_size: 'auto' there, 20 now"):
        extractor(checkpoint_dir=tmp_path, n_epochs=1, queue_size=20).fit(IMAGES)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"queue_size": 49}, "queue_size=49 .* number of images, 48"),
        ({"queue_size": 15}, "queue_size=15 .* batch_size=16"),
        ({"batch_size": 64}, "batch_size=64 .* 48"),
        ({"momentum": 1.0}, "'momentum'"),
        ({"queue_size": "large"}, "'queue_size'"),
        ({"resize": 12}, "resize=12 .* image_size=16"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        extractor(**parameters).fit(IMAGES)


def published(backbone: torch.nn.Module, n_features: int) -> dict:
    """A file as MoCo v2 writes it, with random weights."""
    torch.manual_seed(0)
    weights = {
        **{f"module.encoder_q.{n}": t for n, t in backbone.state_dict().items() if "fc." not in n},
        "module.encoder_q.fc.0.weight": torch.randn(n_features, n_features),
        "module.encoder_q.fc.0.bias": torch.randn(n_features),
        "module.encoder_q.fc.2.weight": torch.randn(128, n_features),
        "module.encoder_q.fc.2.bias": torch.randn(128),
    }
    followers = {n.replace("encoder_q", "encoder_k"): t + 1 for n, t in weights.items()}
    queue = {"module.queue": torch.zeros(128, 8), "module.queue_ptr": torch.zeros(1)}
    return {"epoch": 800, "arch": "resnet50", "state_dict": {**weights, **followers, **queue}}


@pytest.fixture
def small_file(tmp_path):
    """A published file of a small network."""
    path = tmp_path / "moco.pth.tar"
    torch.save(published(skscan.networks.SmallResNet(**SMALL), 16), path)
    return path


def test_the_published_resnet50(tmp_path):
    torch.manual_seed(1)
    network = resnet50(weights=None)
    content = published(network, 2048)
    path = tmp_path / "moco_v2_800ep_pretrain.pth.tar"
    torch.save(content, path)
    images = pixel_arrays(2, 64, 64)
    loaded = MoCoFeatureExtractor(weights=path, image_size=64, resize=None).fit(images)

    report = loaded.key_report_
    state = content["state_dict"]
    assert set(report.loaded) | set(report.ignored) == {*state, "epoch", "arch"}
    assert set(report.loaded) == {name for name in state if "encoder_q" in name}
    assert len(report.loaded) == 318 + 4
    assert report.missing == ()
    assert len(loaded.network_.arrays) == 322

    network.fc = torch.nn.Identity()
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    inputs = ((torch.from_numpy(images) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = network.eval()(inputs)
    expected = torch.nn.functional.normalize(features, dim=1)
    np.testing.assert_allclose(loaded.transform(images), expected, rtol=1e-4, atol=1e-6)


def test_weights_are_not_trained(small_file):
    loaded = extractor(weights=small_file).fit(IMAGES)
    assert loaded.history_ == []
    assert loaded.n_iter_ == 0
    weights = torch.load(small_file)["state_dict"]
    assert_array_equal(
        loaded.network_.arrays["backbone.conv1.weight"], weights["module.encoder_q.conv1.weight"]
    )
    assert_array_equal(
        loaded.network_.arrays["projection_head.2.bias"], weights["module.encoder_q.fc.2.bias"]
    )
    assert loaded.network_.mean == (0.485, 0.456, 0.406)


def test_models_are_loaded_without_the_file_of_weights(small_file, tmp_path):
    loaded = extractor(weights=small_file, output="projection").fit(IMAGES)
    features = loaded.transform(IMAGES)
    skscan.save(loaded, tmp_path / "model")
    small_file.unlink()
    again = skscan.load(tmp_path / "model")
    assert_array_equal(again.transform(IMAGES), features)
    assert again.key_report_ == loaded.key_report_


def spoil(path, change) -> None:
    content = torch.load(path)
    change(content["state_dict"])
    torch.save(content, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("module.encoder_q.bn1.weight"), "backbone=.*bn1.weight missing"),
        (lambda w: w.update({"module.extra": torch.zeros(1)}), "not known .*module.extra"),
        (lambda w: w.pop("module.encoder_q.fc.0.bias"), "backbone=.*0.bias missing"),
    ],
)
def test_files_with_other_entries(small_file, change, message):
    spoil(small_file, change)
    with pytest.raises(ModelFileError, match=message):
        extractor(weights=small_file).fit(IMAGES)


def test_files_with_cluster_heads(tmp_path):
    backbone = skscan.networks.SmallResNet(**SMALL).state_dict()
    content = {f"backbone.{name}": tensor for name, tensor in backbone.items()}
    content |= {"cluster_head.0.weight": torch.zeros(4, 16), "cluster_head.0.bias": torch.zeros(4)}
    torch.save(content, tmp_path / "scan.pth.tar")
    with pytest.raises(ModelFileError, match=r"cluster heads.*load_scan_checkpoint"):
        extractor(weights=tmp_path / "scan.pth.tar").fit(IMAGES)


def test_files_without_a_projection_head(small_file):
    spoil(small_file, lambda w: [w.pop(name) for name in list(w) if "encoder_q.fc" in name])
    assert extractor(weights=small_file).fit(IMAGES).transform(IMAGES).shape == (48, 16)
    with pytest.raises(ModelFileError, match="no projection head; take output='backbone'"):
        extractor(weights=small_file, output="projection").fit(IMAGES)


def test_files_of_another_architecture(small_file):
    with pytest.raises(ModelFileError, match="does not fit backbone='torchvision/resnet18'"):
        extractor(weights=small_file, backbone="torchvision/resnet18").fit(IMAGES)


def test_damaged_missing_and_malicious_files(small_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truncated = tmp_path / "truncated.pth.tar"
    truncated.write_bytes(small_file.read_bytes()[:-2000])
    malicious = tmp_path / "malicious.pth.tar"
    torch.save({"state_dict": {"module.encoder_q.conv1.weight": Malicious()}}, malicious)
    for path in (truncated, malicious, tmp_path / "missing.pth.tar"):
        with pytest.raises(ModelFileError, match=path.name):
            extractor(weights=path).fit(IMAGES)
    assert not (tmp_path / "owned").exists()


class Malicious:
    """Code that runs when it is unpickled."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('owned').touch()",))
