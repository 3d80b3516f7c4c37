"""The strong operations, pixel by pixel beside Pillow."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pillow_operations import PILLOW, pictures

from skscan.training.augmentations.operations import OPERATIONS

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "augmentations.npz")
WIDER = {name: (o.low, o.high) for name, o in OPERATIONS.items()} | {
    "rotate": (-180.0, 180.0),
    "shear_x": (-1.0, 1.0),
    "shear_y": (-1.0, 1.0),
    "translate_x": (-1.5, 1.5),
    "translate_y": (-1.5, 1.5),
    "posterize": (1.0, 8.0),
    "color": (0.0, 1.0),
    "contrast": (0.0, 1.0),
    "brightness": (0.0, 1.0),
    "sharpness": (0.0, 1.0),
}


def ours(name, images, magnitudes):
    """Run an operation on images of shape (n, height, width, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1)))
    before = pixels.clone()
    magnitudes = torch.as_tensor(magnitudes, dtype=torch.float64)
    result = OPERATIONS[name].function(pixels, magnitudes)
    assert result.dtype == torch.uint8
    assert result.data_ptr() != pixels.data_ptr()
    assert torch.equal(pixels, before)
    return np.moveaxis(result.numpy(), 1, 3)


def pillows(name, image, magnitude):
    return np.asarray(PILLOW[name](Image.fromarray(image), magnitude))


@pytest.mark.parametrize("key", [key[3:] for key in GOLDEN if key.startswith("op_")])
def test_operations_give_the_reference_pixels(key):
    name = next(name for name in OPERATIONS if name.replace("_", "") == key.lower())
    low, high = GOLDEN[f"range_{key}"]
    operation = OPERATIONS[name]
    if (operation.low, operation.high) != (0.0, 0.0):
        assert (operation.low, operation.high) == (low, high)
    magnitudes = low + (high - low) * GOLDEN["levels"]
    for image, expected in zip(GOLDEN["images"], GOLDEN[f"op_{key}"], strict=True):
        result = ours(name, np.stack([image] * len(magnitudes)), magnitudes)
        np.testing.assert_array_equal(result, expected)


def test_there_are_the_fourteen_operations():
    assert len(OPERATIONS) == len([key for key in GOLDEN if key.startswith("op_")]) == 14


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 96), (45, 64), (5, 3)])
def test_operations_are_pillows(name, height, width):
    images = pictures(60, height, width)
    operation = OPERATIONS[name]
    magnitudes = np.random.default_rng(1).uniform(operation.low, operation.high, len(images))
    magnitudes[:2] = operation.low, operation.high
    results = ours(name, images, magnitudes)
    for image, magnitude, result in zip(images, magnitudes.tolist(), results, strict=True):
        np.testing.assert_array_equal(result, pillows(name, image, magnitude))


def test_operations_are_pillows_on_photographs(stl10_zip):
    with zipfile.ZipFile(stl10_zip) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))[::500]
        photographs = [
            np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names
        ]
    assert len(photographs) > 10
    images = np.stack(photographs)
    rng = np.random.default_rng(0)
    for name, operation in OPERATIONS.items():
        magnitudes = rng.uniform(operation.low, operation.high, len(images))
        results = ours(name, images, magnitudes)
        for image, magnitude, result in zip(images, magnitudes.tolist(), results, strict=True):
            np.testing.assert_array_equal(result, pillows(name, image, magnitude))


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=60)
@given(data=st.data())
def test_operations_are_pillows_for_any_image_and_magnitude(name, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    n = data.draw(st.integers(1, 3))
    images = data.draw(
        st.one_of(
            arrays(np.uint8, (n, height, width, 3)),
            st.integers(0, 10**6).map(lambda seed: pictures(n, height, width, seed)),
        )
    )
    low, high = WIDER[name]
    magnitudes = data.draw(st.lists(st.floats(low, high), min_size=n, max_size=n))
    results = ours(name, images, magnitudes)
    for image, magnitude, result in zip(images, magnitudes, results, strict=True):
        np.testing.assert_array_equal(result, pillows(name, image, magnitude))
