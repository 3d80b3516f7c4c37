import numpy as np
import pytest
from image_factory import picture
from numpy.testing import assert_array_equal
from PIL import Image

from skscan.images.transforms import to_square


@pytest.mark.parametrize(
    "shape", [(8, 8), (24, 32), (32, 24), (1, 1), (3, 900), (900, 3), (64, 64)]
)
@pytest.mark.parametrize("size", [1, 16, 33])
def test_any_shape_becomes_a_square(shape, size):
    square = to_square(picture(0, *shape), size)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8


def test_square_of_the_right_size_stays():
    assert_array_equal(to_square(picture(0, 20, 20), 20), np.asarray(picture(0, 20, 20)))


def test_centre_is_cut_out_of_the_longer_side():
    stripes = np.zeros((20, 60, 3), dtype=np.uint8)
    stripes[:, 20:40] = 255
    assert_array_equal(to_square(Image.fromarray(stripes), 20), np.full((20, 20, 3), 255))
    upright = Image.fromarray(stripes.swapaxes(0, 1).copy())
    assert_array_equal(to_square(upright, 20), np.full((20, 20, 3), 255))


def test_shrinking_averages():
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    square = to_square(Image.fromarray(checks).convert("RGB"), 8)
    assert np.abs(square.astype(int) - 127).max() <= 3
