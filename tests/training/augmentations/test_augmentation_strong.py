"""The strong augmentation as a whole; its operations have a file of their own."""

import numpy as np
import pytest
import torch
from PIL import Image
from pillow_operations import PILLOW, pictures
from scipy.stats import kstest

from skscan.training.augmentations import StrongAugmentation
from skscan.training.augmentations.operations import OPERATIONS

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def batch(n, height, width):
    return torch.from_numpy(np.moveaxis(pictures(n, height, width), 3, 1).copy())


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (50, 41, 36)])
def test_it_is_the_chain_of_pillow_with_the_same_draws(height, width, size):
    augmentation = StrongAugmentation(size, MEAN, STD, cutout=12)
    pixels = batch(80, height, width)
    before = pixels.clone()
    draws = augmentation.draw(80, height, width, torch.Generator().manual_seed(0))
    result = augmentation(pixels, draws)
    assert result.dtype == torch.float32
    assert torch.equal(pixels, before)
    names = list(OPERATIONS)
    for i, image in enumerate(pixels):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        if draws["flip"][i]:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        top, left = draws["corner"][i].tolist()
        picture = picture.crop((left, top, left + size, top + size))
        for number, magnitude in zip(draws["operation"][i], draws["magnitude"][i], strict=True):
            picture = PILLOW[names[number]](picture, magnitude.item())
        expected = (np.asarray(picture, dtype=np.float32) / 255 - MEAN) / STD
        row, column, side = draws["hole"][i].tolist()
        half = side // 2
        rows = slice(max(row - half, 0), row + half)
        expected[rows, max(column - half, 0) : column + half] = 0
        np.testing.assert_allclose(result[i].permute(1, 2, 0), expected, atol=1e-5)


def test_draws_have_the_papers_distribution():
    n = 5000
    augmentation = StrongAugmentation(32, MEAN, STD)
    draws = augmentation.draw(n, 34, 32, torch.Generator().manual_seed(0))
    counts = torch.bincount(draws["operation"].flatten(), minlength=14)
    assert (counts - 4 * n / 14).abs().max() < 5 * (4 * n / 14) ** 0.5
    # Every position has all operations, also twice the same.
    assert all(len(position.unique()) == 14 for position in draws["operation"].unbind(1))
    same = (draws["operation"][:, 0] == draws["operation"][:, 1]).double().mean()
    assert abs(same - 1 / 14) < 0.02
    for number, operation in enumerate(OPERATIONS.values()):
        drawn = draws["magnitude"][draws["operation"] == number].numpy()
        if operation.low == operation.high:
            assert (drawn == operation.low).all()
        else:
            span = (operation.low, operation.high - operation.low)
            assert kstest(drawn, "uniform", span).pvalue > 0.001
    assert abs(draws["flip"].double().mean() - 0.5) < 0.03
    assert set(draws["corner"][:, 0].tolist()) == {0, 1, 2}
    sides = torch.bincount(draws["hole"][:, 2], minlength=17)
    assert sides[0] == 0
    assert len(sides) == 17
    assert (sides[1:] - n / 16).abs().max() < 5 * (n / 16) ** 0.5
    for axis in (0, 1):
        centers = torch.bincount(draws["hole"][:, axis], minlength=32)
        assert len(centers) == 32
        assert (centers - n / 32).abs().max() < 5 * (n / 32) ** 0.5


@pytest.mark.parametrize("cutout", [0, 1])
def test_without_operations_and_hole_only_flip_and_crop_remain(cutout):
    augmentation = StrongAugmentation(16, (0.0,) * 3, (1 / 255,) * 3, n_ops=0, cutout=cutout)
    pixels = batch(10, 16, 16)
    draws = augmentation.draw(10, 16, 16, torch.Generator().manual_seed(0))
    flips = draws["flip"]
    assert 0 < flips.sum() < 10
    result = augmentation(pixels, draws).round().byte()
    assert torch.equal(result[~flips], pixels[~flips])
    assert torch.equal(result[flips], pixels[flips].flip(3))


@pytest.mark.parametrize("arguments", [{"n_ops": -1}, {"n_ops": 2.5}, {"cutout": -3}])
def test_wrong_arguments_are_refused(arguments):
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        StrongAugmentation(32, MEAN, STD, **arguments)
