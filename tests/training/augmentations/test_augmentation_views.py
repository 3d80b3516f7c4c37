"""Augmentations as a training loop uses them."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F  # noqa: N812

from skscan.training.augmentations import (
    CenterCrop,
    SimCLRAugmentation,
    StandardAugmentation,
    StrongAugmentation,
)

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

AUGMENTATIONS = {
    "simclr": SimCLRAugmentation(24, MEAN, STD),
    "simclr with blur": SimCLRAugmentation(24, MEAN, STD, blur=True),
    "standard": StandardAugmentation(24, MEAN, STD),
    "strong": StrongAugmentation(24, MEAN, STD),
    "center": CenterCrop(24, MEAN, STD),
}


@pytest.fixture(params=AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())
def augmentation(request):
    return request.param


def batch(n=20, height=30, width=27, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, height, width), generator=generator, dtype=torch.uint8)


def drawn(augmentation, pixels, seed=0):
    n, _, height, width = pixels.shape
    return augmentation.draw(n, height, width, torch.Generator().manual_seed(seed))


def test_output(augmentation):
    pixels = batch()
    before = pixels.clone()
    result = augmentation(pixels, drawn(augmentation, pixels))
    assert result.shape == (20, 3, 24, 24)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    assert torch.equal(pixels, before)
    raw = result * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert raw.min() > -1e-5
    assert raw.max() < 1 + 1e-5


def test_the_same_generator_state_gives_the_same_views(augmentation):
    pixels = batch()
    first = augmentation(pixels, drawn(augmentation, pixels, seed=5))
    again = augmentation(pixels, drawn(augmentation, pixels, seed=5))
    assert torch.equal(first, again)
    if not isinstance(augmentation, CenterCrop):
        assert not torch.equal(first, augmentation(pixels, drawn(augmentation, pixels, seed=6)))


def test_rows_of_draws_give_the_views_of_those_images(augmentation):
    pixels = batch()
    draws = drawn(augmentation, pixels)
    whole = augmentation(pixels, draws)
    for rows in (slice(0, 7), slice(7, 20), slice(3, 4), torch.arange(19, -1, -1)):
        part = augmentation(pixels[rows], {name: values[rows] for name, values in draws.items()})
        torch.testing.assert_close(part, whole[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("values", [1, 3 * 24 * 24 * 7])
def test_pieces_that_fit_into_the_cache_change_nothing(augmentation, values, monkeypatch):
    pixels = batch()
    draws = drawn(augmentation, pixels)
    whole = augmentation(pixels, draws)
    monkeypatch.setattr("skscan.training.augmentations.views.CACHED_VALUES", values)
    torch.testing.assert_close(augmentation(pixels, draws), whole, atol=1e-5, rtol=0)


def test_all_work_is_done_where_the_pixels_are(augmentation):
    # Tensors on "meta" have no values: whatever was fetched from there, to look at it or to mix it
    # with what is on the CPU, would raise.
    draws = drawn(augmentation, batch(n=60))
    result = augmentation(batch(n=60).to("meta"), draws)
    assert result.device.type == "meta"
    assert result.shape == (60, 3, 24, 24)


def test_a_batch_of_none(augmentation):
    pixels = batch(n=0)
    assert augmentation(pixels, drawn(augmentation, pixels)).shape == (0, 3, 24, 24)


@pytest.mark.parametrize(("height", "width"), [(23, 30), (30, 23)])
def test_images_smaller_than_the_crop_are_refused(augmentation, height, width):
    with pytest.raises(ValueError, match=rf"{height} x {width}.*size=24"):
        augmentation.draw(2, height, width, torch.Generator())
    draws = drawn(augmentation, batch(n=2))
    with pytest.raises(ValueError, match=rf"{height} x {width}.*size=24"):
        augmentation(batch(2, height, width), draws)


@pytest.mark.parametrize(
    "pixels", [batch().float(), batch()[:, :1], batch()[0]], ids=["float", "gray", "one image"]
)
def test_pixels_of_another_form_are_refused(augmentation, pixels):
    with pytest.raises(ValueError, match="pixels must be a uint8 tensor of shape"):
        augmentation(pixels, drawn(augmentation, batch()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, MEAN, STD), "size must be a positive whole number"),
        ((32.5, MEAN, STD), "size must be a positive whole number"),
        ((32, (0.5,), STD), "mean must hold 3 numbers"),
        ((32, MEAN, (0.2, 0.2)), "std must hold 3 numbers"),
        ((32, MEAN, (0.2, 0.0, 0.2)), "std must be positive"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CenterCrop(*arguments)


def test_center_crop_is_torchvisions_evaluation_transform():
    pixels = batch()
    theirs = v2.Compose(
        [v2.CenterCrop(24), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    )
    ours = AUGMENTATIONS["center"](pixels, {})
    torch.testing.assert_close(ours, theirs(pixels), atol=1e-5, rtol=0)


def test_simclr_is_torchvisions_chain_with_the_same_parameters():
    augmentation = AUGMENTATIONS["simclr with blur"]
    pixels = batch(n=40)
    draws = drawn(augmentation, pixels)
    result = augmentation(pixels, draws)
    parts = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for i, image in enumerate(pixels):
        image = image.float() / 255
        image = F.resized_crop(image, *draws["box"][i].tolist(), size=[24, 24], antialias=True)
        image = F.horizontal_flip(image) if draws["flip"][i] else image
        if draws["jitter"][i]:
            for part in draws["jitter_order"][i].tolist():
                image = parts[part](image, draws["jitter_factors"][i, part].item())
        if draws["gray"][i]:
            image = F.rgb_to_grayscale(image, num_output_channels=3)
        if draws["blur"][i]:
            image = F.gaussian_blur(image, [3, 3], [draws["blur_sigma"][i].item()])
        expected = F.normalize(image, MEAN, STD)
        torch.testing.assert_close(result[i], expected, atol=2e-3, rtol=0)


def test_simclr_draws_have_the_papers_distribution():
    n = 6000
    augmentation = AUGMENTATIONS["simclr with blur"]
    draws = augmentation.draw(n, 32, 32, torch.Generator().manual_seed(0))
    for name, probability in (("flip", 0.5), ("jitter", 0.8), ("gray", 0.2), ("blur", 0.5)):
        error = abs(draws[name].double().mean().item() - probability)
        assert error < 4 * math.sqrt(probability * (1 - probability) / n)
    for part, (low, high) in enumerate([(0.6, 1.4)] * 3 + [(-0.1, 0.1)]):
        factors = draws["jitter_factors"][:, part].numpy()
        assert kstest(factors, "uniform", (low, high - low)).pvalue > 0.001
    assert kstest(draws["blur_sigma"].numpy(), "uniform", (0.1, 1.9)).pvalue > 0.001
    orders, counts = np.unique(draws["jitter_order"].numpy(), axis=0, return_counts=True)
    assert len(orders) == 24
    assert np.abs(counts - n / 24).max() < 5 * math.sqrt(n / 24)


def test_two_views_of_a_batch_are_drawn_independently():
    augmentation = AUGMENTATIONS["simclr"]
    generator = torch.Generator().manual_seed(0)
    first = augmentation.draw(500, 32, 32, generator)
    second = augmentation.draw(500, 32, 32, generator)
    same = (first["flip"] == second["flip"]).double().mean()
    assert 0.4 < same < 0.6
    assert not torch.equal(first["box"], second["box"])
