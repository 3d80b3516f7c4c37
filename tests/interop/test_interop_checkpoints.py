"""Checkpoints of all formats: outputs, kinds, what became of each entry."""

import numpy as np
import pytest
import torch
from authors_files import optimizer_state, parallel, small_weights
from golden_networks import SIDES, golden_images, golden_outputs, golden_weights
from numpy.testing import assert_allclose
from torchvision.models import resnet50

from skscan.exceptions import ModelFileError
from skscan.interop import load_scan_checkpoint


@pytest.mark.parametrize("stem", SIDES)
def test_outputs_of_the_reference_before_clustering(write, stem):
    checkpoint = load_scan_checkpoint(write(golden_weights(stem, "pretext")), stem)
    assert checkpoint.kind == "pretext"
    assert checkpoint.network.architecture == {"stem": stem, "depth": 18, "width": 64}
    assert len(checkpoint.network.arrays) == 124
    assert checkpoint.heads is None
    assert checkpoint.cluster_heads == []
    with torch.inference_mode():
        features = checkpoint.backbone(golden_images(stem))
        projections = torch.nn.functional.normalize(checkpoint.projection_head(features))
    assert_allclose(features, golden_outputs(stem, "backbone_output"), rtol=1e-4)
    assert_allclose(projections, golden_outputs(stem, "pretext_output"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stem", SIDES)
def test_outputs_of_the_reference_after_clustering(write, stem):
    path = write({"model": golden_weights(stem, "cluster"), "head": np.int64(2)})
    checkpoint = load_scan_checkpoint(path, stem)
    assert (checkpoint.kind, checkpoint.best_head) == ("scan", 2)
    assert checkpoint.projection_head is None
    with torch.inference_mode():
        features = checkpoint.backbone(golden_images(stem))
        logits = torch.stack([head(features) for head in checkpoint.cluster_heads])
    assert_allclose(logits, golden_outputs(stem, "cluster_logits"), rtol=1e-4)
    for head in range(3):
        own = checkpoint.heads.logits(features.numpy(), head)
        assert_allclose(own, golden_outputs(stem, "cluster_logits")[head], rtol=1e-4)


def one_head() -> dict[str, torch.Tensor]:
    weights = small_weights("cluster")
    return {
        name: weights[name] for name in weights if name.startswith(("backbone.", "cluster_head.0."))
    }


TRAINING = {"optimizer": optimizer_state(), "epoch": 7}
FORMATS = {
    "released pretext": (lambda: small_weights("pretext"), "pretext", 0, 124),
    "pretext in training": (
        lambda: {**TRAINING, "model": small_weights("pretext")}, "pretext", 0, 124
    ),
    "scan": (lambda: {"model": small_weights("cluster"), "head": np.int64(1)}, "scan", 1, 126),
    "scan, number as int": (
        lambda: {"model": small_weights("cluster"), "head": 1}, "scan", 1, 126
    ),
    "scan in training": (
        lambda: {
            **TRAINING,
            "model": parallel(small_weights("cluster")),
            "best_loss": np.float64(-1.5),
            "best_loss_head": np.int64(2),
        },
        "scan",
        2,
        126,
    ),
    "scan before its first epoch": (
        lambda: {
            **TRAINING,
            "model": parallel(small_weights("cluster")),
            "best_loss": 1e4,
            "best_loss_head": None,
        },
        "scan",
        0,
        126,
    ),
    "self-label": (one_head, "self-label", 0, 122),
    "self-label in training": (
        lambda: {**TRAINING, "model": parallel(one_head())}, "self-label", 0, 122
    ),
    "state_dict in a wrapper": (
        lambda: {"state_dict": small_weights("pretext"), "arch": "resnet18"}, "pretext", 0, 124
    ),
}  # fmt: skip


@pytest.mark.parametrize("zipped", [False, True], ids=["old torch", "new torch"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(write, name, zipped):
    content, kind, best_head, n_loaded = FORMATS[name]
    path = write(content(), zipped=zipped)
    checkpoint = load_scan_checkpoint(path, "cifar")
    assert (checkpoint.kind, checkpoint.best_head) == (kind, best_head)
    assert checkpoint.network.architecture == {"stem": "cifar", "depth": 18, "width": 4}
    report = checkpoint.report
    assert len(report.loaded) == n_loaded
    assert report.missing == ()
    known = {"optimizer", "epoch", "best_loss", "arch"}
    assert set(report.ignored) == known & set(content())


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numbers_of_both_numpy_versions(write, module):
    path = write({"model": small_weights("cluster"), "head": np.int64(2)})
    content = path.read_bytes()
    written = np.int64(0).__reduce__()[0].__module__.encode()
    assert content.count(b"c" + written + b"\n") == 1
    path.write_bytes(content.replace(b"c" + written + b"\n", b"c" + module + b"\n"))
    assert load_scan_checkpoint(path, "cifar").best_head == 2


@pytest.mark.parametrize("head", [np.int32(2), np.uint8(2), np.dtype(">i8").type(2)])
def test_numbers_of_other_types(write, head):
    path = write({"model": small_weights("cluster"), "head": head})
    assert load_scan_checkpoint(path, "cifar").best_head == 2


@pytest.mark.parametrize("head", [3, -1, 0.5, "0", np.float64(1.0)], ids=repr)
def test_a_best_head_that_is_none(write, head):
    path = write({"model": small_weights("cluster"), "head": head})
    with pytest.raises(ModelFileError, match="head"):
        load_scan_checkpoint(path, "cifar")


@pytest.fixture(scope="module")
def moco() -> dict[str, torch.Tensor]:
    """The state dict of MoCo-v2's file, with a short queue."""
    torch.manual_seed(0)
    network = resnet50()
    network.fc = torch.nn.Sequential(
        torch.nn.Linear(2048, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 128)
    )
    query = {f"module.encoder_q.{name}": value for name, value in network.state_dict().items()}
    key = {name.replace("_q.", "_k."): value for name, value in query.items()}
    queue = {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1).long()}
    return {**query, **key, **queue}


def test_moco(write, moco):
    path = write({**TRAINING, "arch": "resnet50", "state_dict": moco})
    checkpoint = load_scan_checkpoint(path)
    assert checkpoint.kind == "moco"
    network = checkpoint.network
    assert network.architecture == "torchvision/resnet50"
    assert (network.image_size, network.resize) == (224, 256)
    assert network.mean == (0.485, 0.456, 0.406)
    report = checkpoint.report
    assert len(report.loaded) == 318 + 4
    assert set(report.loaded) | set(report.ignored) == set(moco) | {"optimizer", "epoch", "arch"}
    assert not set(report.loaded) & set(report.ignored)

    expected = resnet50()
    expected.fc = torch.nn.Identity()
    prefix = "module.encoder_q."
    expected.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in moco.items()
            if name.startswith(prefix) and not name.startswith(f"{prefix}fc.")
        }
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        features = expected.eval()(images)
        assert torch.equal(checkpoint.backbone(images), features)
        hidden = torch.relu(features @ moco[f"{prefix}fc.0.weight"].T + moco[f"{prefix}fc.0.bias"])
        projection = hidden @ moco[f"{prefix}fc.2.weight"].T + moco[f"{prefix}fc.2.bias"]
        torch.testing.assert_close(checkpoint.projection_head(features), projection)

    with pytest.raises(ValueError, match=r"stem='stl' is for .* \(resnet50\); leave stem out"):
        load_scan_checkpoint(path, "stl")


def test_unknown_entries_of_moco(write, moco):
    path = write({"state_dict": {**moco, "module.predictor.weight": torch.zeros(2)}})
    with pytest.raises(ModelFileError, match=r"1 of its .*not known \('module\.predictor\.weight'"):
        load_scan_checkpoint(path)
    first = {name.replace(".fc.2.", ".fc."): value for name, value in moco.items()}
    with pytest.raises(ModelFileError, match=r"'module\.encoder_q\.fc\.weight'"):
        load_scan_checkpoint(write({"state_dict": first}))


def test_counts_of_batches_may_be_missing(write):
    weights = {
        name: tensor
        for name, tensor in small_weights("pretext").items()
        if "num_batches" not in name
    }
    checkpoint = load_scan_checkpoint(write(weights), "cifar")
    assert len(checkpoint.report.missing) == 20
    assert "backbone.layer4.1.bn2.num_batches_tracked" in checkpoint.report.missing
    assert checkpoint.backbone.bn1.num_batches_tracked == 0


def test_defaults_of_the_input(write):
    path = write(small_weights("pretext"))
    cifar, stl = (load_scan_checkpoint(path, stem).network for stem in ("cifar", "stl"))
    assert (cifar.image_size, cifar.resize, cifar.mean[0]) == (32, None, 0.4914)
    assert (stl.image_size, stl.resize, stl.mean[0]) == (96, None, 0.485)
    other = load_scan_checkpoint(path, "cifar", image_size=64, normalization="cifar100").network
    assert (other.image_size, other.mean[0], other.std[0]) == (64, 0.5071, 0.2675)
    own = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    other = load_scan_checkpoint(path, "cifar", normalization=np.array(own)).network
    assert (other.image_size, other.mean, other.std) == (32, *own)


def test_global_generator_is_left_alone(write):
    path = write({"model": small_weights("cluster"), "head": 0})
    before = torch.get_rng_state()
    assert len(load_scan_checkpoint(path, "cifar").cluster_heads) == 3
    assert torch.equal(torch.get_rng_state(), before)
