"""Files that are damaged, unsafe or of something else, and wrong parameters."""

import os
import pickle
import random

import numpy as np
import pytest
import torch
from authors_files import small_weights
from torchvision.models import get_model

from skscan.exceptions import ModelFileError
from skscan.interop import load_scan_checkpoint
from skscan.interop.architectures import detect_architecture


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path: object) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class CalledWith:
    """Has numpy's constructor called with other things than a number."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self):
        return np.int64(0).__reduce__()[0], self.arguments


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("entry", ["head", "optimizer", "model", None])
def test_code_in_a_file_is_refused_and_not_run(write, tmp_path, entry, zipped):
    trace = tmp_path / "was run"
    content = {"model": small_weights("cluster"), "head": 0}
    path = write(
        Malicious(trace) if entry is None else {**content, entry: Malicious(trace)}, zipped=zipped
    )
    with pytest.raises(ModelFileError, match="was refused"):
        load_scan_checkpoint(path, "cifar")
    assert not trace.exists()
    pickle_file = tmp_path / "plain.pth.tar"
    pickle_file.write_bytes(pickle.dumps({**content, "head": Malicious(trace)}, protocol=2))
    with pytest.raises(ModelFileError, match="was refused"):
        load_scan_checkpoint(pickle_file, "cifar")
    assert not trace.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (np.dtype("O"), None),
        (np.dtype("S8"), b"12345678"),
        (np.dtype([("a", "i8")]), b"12345678"),
        (np.dtype("i8"), b"123"),
        (np.dtype("i8"), "12345678"),
        (1, 2),
        (),
    ],
    ids=repr,
)
def test_only_plain_numbers_of_numpy_are_taken(write, arguments):
    path = write({"model": small_weights("cluster"), "head": CalledWith(*arguments)})
    with pytest.raises(ModelFileError, match=r"model\.pth\.tar"):
        load_scan_checkpoint(path, "cifar")


def test_the_stand_ins_are_for_one_file_only(write):
    path = write({"model": small_weights("cluster"), "head": np.int64(0)})
    load_scan_checkpoint(path, "cifar")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 7, 200, 0.3, 0.9, 0.999])
def test_truncated_files(write, kept, zipped):
    path = write({"model": small_weights("cluster"), "head": np.int64(0)}, zipped=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ModelFileError, match=r"model\.pth\.tar"):
        load_scan_checkpoint(path, "cifar")


@pytest.mark.parametrize(
    "content",
    [
        b"Not Found",
        b"root:x:0:0:root:/root:/bin/bash\n",
        b"<!DOCTYPE html>\n<html></html>\n",
        b"label,path\n1,a.png\n",
        b"\x80\x02}.",
        b"\x80\x02.",
        bytes(1000),
    ],
)
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "model.pth.tar"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.pth\.tar"):
        load_scan_checkpoint(path, "cifar")


def test_flipped_bits_give_no_other_error(write):
    path = write({"model": small_weights("cluster"), "head": np.int64(0)})
    content = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(24_000)] ^= 1 << draw.randrange(8)  # where the names are
        path.write_bytes(damaged)
        try:
            load_scan_checkpoint(path, "cifar")
        except ModelFileError:
            refused += 1
    assert refused > 50


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"there is no file of weights '.*none\.pth\.tar'"):
        load_scan_checkpoint(tmp_path / "none.pth.tar")


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [1, 2], {}, {"model": {}}, {1: torch.zeros(3)}, {"model": {"a": 1}}]
)
def test_files_of_other_things(write, content):
    with pytest.raises(ModelFileError, match="holds no state_dict"):
        load_scan_checkpoint(write(content))


def changed(kind: str, **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return weights with entries replaced, added, or (None) left out."""
    weights = small_weights(kind) | changes
    return {name: tensor for name, tensor in weights.items() if tensor is not None}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("backbone.layer2.0.bn1.bias", None, r"layer2\.0\.bn1\.bias missing"),
        ("backbone.layer2.0.shortcut.0.weight", None, r"shortcut\.0\.weight missing"),
        ("backbone.conv1.weight", None, "holds another network"),
        ("backbone.fc.bias", torch.zeros(3), r"fc\.bias unexpected"),
        ("backbone.bn1.bias", torch.zeros(5), r"bn1\.bias \(\(5,\) instead of \(4,\)\)"),
        ("contrastive_head.2.bias", None, r"2\.bias missing"),
        ("contrastive_head.4.bias", torch.zeros(2), r"not known \('contrastive_head\.4\.bias'\)"),
        ("head", torch.zeros(2), r"1 of its 125 entries are not known \('head'\)"),
        ("module.backbone.bn1.bias", torch.zeros(4), "twice, with prefix and without"),
    ],
)
def test_entries_that_do_not_fit(write, name, value, message):
    with pytest.raises(ModelFileError, match=message):
        load_scan_checkpoint(write(changed("pretext", **{name: value})), "cifar")


WEIGHT, BIAS = "cluster_head.1.weight", "cluster_head.1.bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({BIAS: None}, "5 entries for the heads 0 to 2, of 6"),
        ({WEIGHT: None, BIAS: None}, "lacks weights of cluster heads"),
        ({WEIGHT: torch.zeros(9, 32), BIAS: torch.zeros(9)}, "do not fit together"),
        ({BIAS: torch.zeros(9)}, "do not fit together"),
        ({WEIGHT: torch.zeros(10, 32, 1)}, "do not fit together"),
    ],
)
def test_cluster_heads_that_do_not_fit(write, changes, message):
    with pytest.raises(ModelFileError, match=message):
        load_scan_checkpoint(write(changed("cluster", **changes)), "cifar")


def test_heads_of_another_width(write):
    heads = {f"cluster_head.{i}.weight": torch.zeros(10, 31) for i in range(3)}
    with pytest.raises(
        ModelFileError, match="cluster heads takes 31 features, the backbone gives 32"
    ):
        load_scan_checkpoint(write(changed("cluster", **heads)), "cifar")
    head = {
        "contrastive_head.0.weight": torch.zeros(31, 31),
        "contrastive_head.0.bias": torch.zeros(31),
        "contrastive_head.2.weight": torch.zeros(8, 31),
    }
    with pytest.raises(ModelFileError, match="projection head takes 31 features"):
        load_scan_checkpoint(write(changed("pretext", **head)), "cifar")


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = get_model(name, weights=None)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_large_resnets_are_recognised(name):
    assert detect_architecture(shapes_of(name), None, "file") == f"torchvision/{name}"


@pytest.mark.parametrize("name", ["vgg11", "mobilenet_v2", "swin_t"])
def test_other_networks(name):
    with pytest.raises(ModelFileError, match="holds another network: its backbone is neither"):
        detect_architecture(shapes_of(name), None, "file")


def test_parameters(write):
    path = write(small_weights("pretext"))
    with pytest.raises(ValueError, match=r"cannot tell whether stem is 'cifar' .* or 'stl'"):
        load_scan_checkpoint(path)
    with pytest.raises(ValueError, match="stem='imagenet': takes 'cifar', 'stl' or None"):
        load_scan_checkpoint(path, "imagenet")
    with pytest.raises(ValueError, match="image_size=0: takes a whole number"):
        load_scan_checkpoint(path, "cifar", image_size=0)
    for normalization in ("mnist", 3, ((0, 0, 0), (1, 0, 1)), ((0, 0), (1, 1)), [None, 1]):
        with pytest.raises(
            ValueError, match=r"normalization=.*: takes 'cifar10', .* \(\(r, g, b\)"
        ):
            load_scan_checkpoint(path, "cifar", normalization=normalization)
