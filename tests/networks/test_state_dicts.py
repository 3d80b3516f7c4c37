import pytest
import torch
from torch import nn

from skscan.exceptions import ModelFileError
from skscan.networks.state_dicts import load_in_order, load_strictly


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


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
