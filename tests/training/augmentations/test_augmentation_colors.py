"""Colour changes, beside torchvision's on float tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F  # noqa: N812

from skscan.training.augmentations.colors import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    gaussian_blur,
    grayscale,
)

OPERATIONS = [
    (adjust_brightness, F.adjust_brightness, [0.0, 0.6, 1.0, 1.4]),
    (adjust_contrast, F.adjust_contrast, [0.0, 0.6, 1.0, 1.4]),
    (adjust_saturation, F.adjust_saturation, [0.0, 0.6, 1.0, 1.4]),
    (adjust_hue, F.adjust_hue, [-0.5, -0.1, -0.03, 0.0, 0.1, 0.4]),
]


def colorful(n, size=16, seed=0):
    """Random colours, greys, and pixels whose channels are equal in pairs."""
    images = torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))
    images[:, :, 0] = images[:, :1, 0]
    images[:, 1, 1] = images[:, 0, 1]
    images[:, 2, 2] = images[:, 1, 2]
    images[:, 2, 3] = images[:, 0, 3]
    images[:, :, 4] = 0.0
    images[:, :, 5] = 1.0
    images[:, :, 6] = images[:, :, 6].round()
    return images


@pytest.mark.parametrize(
    ("ours", "theirs", "parameters"),
    OPERATIONS,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_operations_are_torchvisions(ours, theirs, parameters):
    images = colorful(len(parameters))
    before = images.clone()
    result = ours(images, torch.tensor(parameters))
    assert torch.equal(images, before)
    for image, parameter, changed in zip(images, parameters, result, strict=True):
        torch.testing.assert_close(changed, theirs(image, parameter), atol=1e-4, rtol=0)


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), shift=st.floats(-0.5, 0.5))
def test_hue_is_torchvisions_for_any_colour(seed, shift):
    image = colorful(1, seed=seed)
    result = adjust_hue(image, torch.tensor([shift]))
    torch.testing.assert_close(result[0], F.adjust_hue(image[0], shift), atol=1e-4, rtol=0)


def test_grayscale_is_torchvisions():
    images = colorful(3)
    torch.testing.assert_close(grayscale(images), F.rgb_to_grayscale(images), atol=1e-6, rtol=0)


def test_jitter_runs_the_parts_in_each_images_own_order():
    orders = torch.tensor(
        [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [3, 0, 1, 2], [0, 1, 2, 3]]
    )
    images = colorful(len(orders))
    generator = torch.Generator().manual_seed(3)
    factors = torch.rand(len(orders), 4, generator=generator) * 0.8 + 0.6
    factors[:, 3] = torch.rand(len(orders), generator=generator) * 0.2 - 0.1
    before = images.clone()
    chosen = torch.arange(len(orders)) != 2
    result = color_jitter(images, chosen, orders, factors)
    assert torch.equal(images, before)
    for i, (image, changed) in enumerate(zip(images, result, strict=True)):
        for part in orders[i].tolist() if chosen[i] else []:
            image = OPERATIONS[part][1](image, factors[i, part].item())
        torch.testing.assert_close(changed, image, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kernel_size", [3, 9])
def test_blur_is_torchvisions(kernel_size):
    images = colorful(4, size=20)
    sigmas = [0.1, 0.5, 1.3, 2.0]
    result = gaussian_blur(images, torch.tensor(sigmas), kernel_size)
    for image, sigma, blurred in zip(images, sigmas, result, strict=True):
        expected = F.gaussian_blur(image, [kernel_size, kernel_size], [sigma, sigma])
        torch.testing.assert_close(blurred, expected, atol=1e-5, rtol=0)
