"""Crops, beside torchvision and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as F  # noqa: N812

from skscan.training.augmentations.geometry import (
    center_crop,
    draw_crop_boxes,
    draw_resized_crop_boxes,
    flipped_crop,
    resized_crop,
)


def noise(n, height, width, seed=0):
    """Blocks, stripes and noise: smooth images would hide mistakes of the filter."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, 3, height, width), generator=generator, dtype=torch.uint8)
    pixels[: n // 3, :, : height // 2] = 255
    pixels[n // 3 : n // 2, 1, :, ::2] = 0
    return pixels


@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (96, 96, 96), (40, 57, 24), (200, 150, 33)]
)
def test_resized_crop_is_pillows_within_one_grey_level(height, width, size):
    pixels = noise(60, height, width)
    generator = torch.Generator().manual_seed(1)
    boxes = draw_resized_crop_boxes(60, height, width, generator)
    flips = torch.arange(60) % 2 == 1
    ours = resized_crop(pixels, boxes, flips, size) * 255
    for image, box, flip, result in zip(pixels, boxes.tolist(), flips, ours, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = F.resized_crop(picture, *box, size=[size, size])
        expected = F.horizontal_flip(expected) if flip else expected
        difference = result.permute(1, 2, 0).numpy() - np.asarray(expected, dtype=np.float32)
        assert np.abs(difference).max() < 1.01


def test_a_box_of_the_output_size_is_copied():
    pixels = noise(6, 20, 30)
    boxes = torch.tensor([[3, 5, 16, 16]]).expand(6, 4)
    result = resized_crop(pixels, boxes, torch.zeros(6, dtype=torch.bool), 16)
    torch.testing.assert_close(result * 255, pixels[:, :, 3:19, 5:21].float())


@pytest.mark.parametrize(
    ("height", "width"),
    [(32, 32), (96, 96), (64, 128), (30, 300), (300, 30)],
    ids=lambda value: str(value),
)
def test_boxes_are_distributed_as_torchvisions(height, width):
    n = 4000
    ours = draw_resized_crop_boxes(n, height, width, torch.Generator().manual_seed(0)).numpy()
    torch.manual_seed(0)
    picture = torch.empty(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(picture, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(n)]
    )
    for measure in (
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 2],
        lambda box: box[:, 3],
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0] / (height - box[:, 2] + 1),
    ):
        assert ks_2samp(measure(ours), measure(theirs)).pvalue > 0.001
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()


@pytest.mark.parametrize(("height", "width"), [(10, 2000), (2000, 10), (7, 7)])
def test_boxes_that_never_fit_are_torchvisions_middle(height, width):
    scale = (5.0, 6.0)
    boxes = draw_resized_crop_boxes(3, height, width, torch.Generator(), scale=scale)
    picture = torch.empty(3, height, width)
    expected = RandomResizedCrop.get_params(picture, list(scale), [3 / 4, 4 / 3])
    assert boxes.tolist() == [list(expected)] * 3


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 32), (35, 40), (47, 33)])
def test_center_crop_is_torchvisions(height, width):
    pixels = noise(2, height, width)
    assert torch.equal(center_crop(pixels, 32), F.center_crop(pixels, [32, 32]))


def test_flipped_crop_mirrors_then_cuts():
    pixels = noise(9, 20, 26)
    before = pixels.clone()
    corners = draw_crop_boxes(9, 20, 26, 16, torch.Generator().manual_seed(0))
    flips = torch.arange(9) % 2 == 0
    result = flipped_crop(pixels, corners, flips, 16)
    for image, (top, left), flip, cut in zip(pixels, corners.tolist(), flips, result, strict=True):
        image = image.flip(2) if flip else image
        assert torch.equal(cut, image[:, top : top + 16, left : left + 16])
    assert torch.equal(pixels, before)


def test_flipped_crop_of_the_whole_image():
    pixels = noise(4, 16, 16)
    flips = torch.tensor([True, False, True, False])
    result = flipped_crop(pixels, torch.zeros(4, 2, dtype=torch.long), flips, 16)
    assert torch.equal(result[flips], pixels[flips].flip(3))
    assert torch.equal(result[~flips], pixels[~flips])
    result.zero_()
    assert pixels.any()


def test_corners_are_uniform_over_all_that_fit():
    corners = draw_crop_boxes(6000, 34, 33, 32, torch.Generator().manual_seed(0))
    counts = torch.bincount(corners[:, 0] * 2 + corners[:, 1], minlength=6)
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 150
