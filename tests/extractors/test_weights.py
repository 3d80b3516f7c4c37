import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skscan.exceptions import ModelFileError
from skscan.extractors.weights import read_state_dict


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


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    place = content.find(bytes(200)) + 100
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="wrong check sum"):
        read_state_dict(path)
