"""Networks by description."""

import pytest
import torch

from skscan.networks.architecture import build_backbone, projection_head


@pytest.mark.parametrize(
    ("architecture", "n_features"),
    [
        ({"stem": "stl", "depth": 10, "width": 4}, 32),
        ("torchvision/resnet18", 512),
        ("torchvision/mobilenet_v2", 1280),
        ("efficientnet_lite0", 1280),
        ("mobilenetv3_small_050", 1024),
    ],
    ids=str,
)
def test_backbones_give_features(architecture, n_features):
    backbone = build_backbone(architecture)
    assert backbone.training
    assert backbone.n_features == n_features
    with torch.inference_mode():
        assert backbone.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, n_features)


def test_torchvision_names_are_without_the_classifier():
    names = list(build_backbone("torchvision/resnet50").state_dict())
    assert len(names) == 318
    assert not [name for name in names if name.startswith("fc")]


def test_weights_come_from_the_global_generator():
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return build_backbone({"depth": 10, "width": 4}).conv1.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"dept": 18}, "has the parameter 'dept'; SmallResNet takes stem, depth, width"),
        ({"stem": "x"}, "stem='x'"),
        ("torchvision/resnet49", "did you mean .*'torchvision/resnet50'"),
        ("torchvision/vgg11", "has no single layer as its classifier"),
        ("resnet19", "'resnet19' is no model of timm; did you mean .*'resnet18'"),
        ("zzzzzz", r"is no model of timm; see timm\.list_models\(\)"),
    ],
    ids=str,
)
def test_unknown_networks(architecture, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(architecture)


def test_other_types():
    with pytest.raises(TypeError, match="architecture is a int; takes a dict"):
        build_backbone(3)


def test_projection_head():
    head = projection_head(6, 4)
    assert {name: list(tensor.shape) for name, tensor in head.state_dict().items()} == {
        "0.weight": [6, 6],
        "0.bias": [6],
        "2.weight": [4, 6],
        "2.bias": [4],
    }
    features = torch.randn(3, 6)
    expected = torch.relu(features @ head[0].weight.T + head[0].bias) @ head[2].weight.T
    torch.testing.assert_close(head(features), expected + head[2].bias)
