import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skscan.exceptions import ModelFileError
from skscan.extractors.weights import load_in_order, load_strictly, read_state_dict


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path: object) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": weights},
        lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()},
    ],
)
def test_torch_files(tmp_path, wrap):
    weights = network().state_dict()
    torch.save(wrap(dict(weights)), tmp_path / "weights.pt")
    assert equal(read_state_dict(tmp_path / "weights.pt"), dict(weights))


def test_safetensors_files(tmp_path):
    weights = dict(network().state_dict())
    save_file(weights, tmp_path / "weights.safetensors")
    assert equal(read_state_dict(str(tmp_path / "weights.safetensors")), weights)


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"there is no file of weights '.*missing\.pt'"):
        read_state_dict(tmp_path / "missing.pt")
    with pytest.raises(ModelFileError, match="there is no file of weights"):
        read_state_dict(tmp_path)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "was run"
    torch.save({"weight": Malicious(trace)}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"weight": Malicious(trace)}, protocol=2))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(ModelFileError, match="was refused: it holds more than tensors"):
            read_state_dict(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.95])
def test_truncated_files(tmp_path, name, kept):
    save = save_file if name.endswith("safetensors") else torch.save
    save(dict(network().state_dict()), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    end = kept if isinstance(kept, int) else int(kept * len(content))
    (tmp_path / name).write_bytes(content[:end])
    with pytest.raises(ModelFileError, match=name):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"a": 1}, {1: torch.zeros(3)}])
def test_files_of_other_things(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match="holds no state_dict"):
        read_state_dict(tmp_path / "other.pt")


def test_strict_loading_takes_what_matches_and_leaves_out_the_classifier():
    source, target = network(), network()
    weights = {**source.state_dict(), "fc.weight": torch.zeros(10, 4)}
    load_strictly(target, weights, ignored_prefixes=("fc.",))
    assert equal(target.state_dict(), source.state_dict())


def test_strict_loading_reports_all_differences():
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    weights = dict(network().state_dict())
    weights["0.weight"] = torch.zeros(4, 3, 5, 5)
    weights["extra"] = weights.pop("1.bias")
    message = (
        r"another network: 1\.bias missing; extra unexpected; "
        r"0\.weight \(\(4, 3, 5, 5\) instead of \(4, 3, 3, 3\)\) of another shape"
    )
    with pytest.raises(ModelFileError, match=message):
        load_strictly(target, weights, ())
    assert equal(target.state_dict(), before)


def test_long_reports_are_cut():
    with pytest.raises(ModelFileError, match=r"0\.weight, 0\.bias, 1\.weight and 4 more missing"):
        load_strictly(network(), {}, ())


def test_loading_in_order_renames():
    source, target = network(), network()
    renamed = {f"other.{i}": tensor for i, tensor in enumerate(source.state_dict().values())}
    load_in_order(target, renamed)
    assert equal(target.state_dict(), source.state_dict())


def test_loading_in_order_checks_number_and_shapes():
    tensors = list(network().state_dict().values())
    with pytest.raises(ModelFileError, match="6 tensors for a network that has 7"):
        load_in_order(network(), {str(i): t for i, t in enumerate(tensors[:-1])})
    swapped = [tensors[1], tensors[0], *tensors[2:]]
    with pytest.raises(ModelFileError, match="of another shape"):
        load_in_order(network(), {str(i): t for i, t in enumerate(swapped)})
