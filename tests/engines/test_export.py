import numpy as np
import pytest
import torch
from torch import nn

from skscan.engines.export import INPUT_NAME, OUTPUT_NAME, export_onnx
from skscan.exceptions import ExportError

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)
    )


def run(data: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0]


def expected(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    images = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    with torch.no_grad():
        return network.eval()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize("n_images", [1, 2, 7])
def test_pixels_of_any_number_of_images_give_what_the_network_gives(n_images):
    network = small_network()
    network(torch.zeros(2, 3, 6, 6))  # running means that are not those of the start
    pixels = np.random.RandomState(0).randint(0, 256, (n_images, 6, 6, 3)).astype(np.uint8)
    found = run(export_onnx(network, 6, MEAN, STD), pixels)
    np.testing.assert_allclose(found, expected(network, pixels), rtol=1e-4, atol=1e-5)


def test_the_centre_is_cut_out():
    network = small_network().eval()
    network(torch.zeros(2, 3, 6, 6))
    pixels = np.random.RandomState(1).randint(0, 256, (3, 9, 9, 3)).astype(np.uint8)
    found = run(export_onnx(network, 6, MEAN, STD, side=9), pixels)
    np.testing.assert_allclose(found, expected(network, pixels[:, 1:7, 1:7]), rtol=1e-4, atol=1e-5)


def test_the_network_stays_in_the_mode_it_was_in():
    network = small_network().train()
    network(torch.zeros(2, 3, 6, 6))
    network[1].eval()
    export_onnx(network, 6, MEAN, STD)
    assert [part.training for part in network] == [True, False, True, True, True]
    assert network.training


def test_what_onnx_cannot_say_is_told():
    class Complex(nn.Module):
        def forward(self, images):
            return torch.linalg.eigvals(images[:, 0]).real

    with pytest.raises(ExportError, match="Complex cannot be written as ONNX"):
        export_onnx(Complex(), 4, MEAN, STD)
