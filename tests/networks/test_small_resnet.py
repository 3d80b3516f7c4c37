"""The small ResNets against the authors' networks."""

import pytest
import torch
from golden_networks import (
    SIDES,
    golden_images,
    golden_outputs,
    golden_weights,
    names_and_shapes,
)
from numpy.testing import assert_allclose
from torch import nn

from skscan.networks import SmallResNet


@pytest.mark.parametrize("stem", SIDES)
def test_names_shapes_and_order_are_those_of_the_reference(stem):
    expected = names_and_shapes(stem, "pretext").items()
    own = SmallResNet(stem).state_dict().items()
    assert [(f"backbone.{name}", list(tensor.shape)) for name, tensor in own] == [
        (name, shape) for name, shape in expected if name.startswith("backbone.")
    ]


@pytest.mark.parametrize("stem", SIDES)
def test_outputs_are_those_of_the_reference(stem):
    network = SmallResNet(stem).eval()
    weights = golden_weights(stem, "pretext").items()
    network.load_state_dict(
        {
            name.removeprefix("backbone."): tensor
            for name, tensor in weights
            if name.startswith("backbone.")
        }
    )
    with torch.inference_mode():
        features = network(golden_images(stem)).numpy()
    assert_allclose(features, golden_outputs(stem, "backbone_output"), rtol=1e-4)


def test_number_of_parameters():
    network = SmallResNet("cifar")
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_168_832
    assert len(network.state_dict()) == 120
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 20


@pytest.mark.parametrize(
    ("depth", "convolutions"), [(10, 9), (18, 17), (34, 33)], ids=["10", "18", "34"]
)
def test_depth_counts_the_layers_with_a_classifier(depth, convolutions):
    network = SmallResNet("cifar", depth=depth, width=4)
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert sum("shortcut" not in name for name in names) == convolutions


@pytest.mark.parametrize(("stem", "side"), [("cifar", 4), ("stl", 7)])
def test_sides_of_the_maps(stem, side):
    sides = []
    network = SmallResNet(stem, depth=10, width=4)
    network.layer4.register_forward_hook(lambda module, given, maps: sides.append(maps.shape[-1]))
    features = network(torch.zeros(2, 3, SIDES[stem], SIDES[stem]))
    assert sides == [side]
    assert features.shape == (2, 32)
    assert network.n_features == 32


def test_images_of_other_sizes():
    network = SmallResNet("stl", depth=10, width=4)
    assert network(torch.zeros(2, 3, 41, 30)).shape == (2, 32)


def test_initial_weights():
    torch.manual_seed(0)
    network = SmallResNet("cifar", depth=10, width=32)
    # fan-out: 3 x 3 places, 256 channels
    assert network.layer4[0].conv2.weight.std().item() == pytest.approx(
        (2 / (9 * 256)) ** 0.5, rel=0.01
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"stem": "imagenet"}, "stem='imagenet': takes 'cifar' or 'stl'"),
        ({"depth": 50}, "depth=50: takes one of 10, 18, 34"),
        ({"width": 0}, "width=0: takes a whole number of at least 1"),
        ({"width": 6.5}, "width=6.5: takes a whole number"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        SmallResNet(**parameters)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_gradients_of_narrow_networks_with_channels_last(width):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, 16, 16, generator=generator)
    torch.manual_seed(0)
    network = SmallResNet("cifar", 10, width).double()
    network(images.double()).square().sum().backward()
    expected = [weight.grad.float() for weight in network.parameters()]

    network = network.float().to(memory_format=torch.channels_last)
    for _ in range(5):
        network.zero_grad()
        network(images.to(memory_format=torch.channels_last)).square().sum().backward()
    for weight, gradient in zip(network.parameters(), expected, strict=True):
        assert_allclose(weight.grad, gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))
