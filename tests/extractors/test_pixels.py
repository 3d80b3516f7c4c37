import numpy as np
import pytest
from image_factory import pixel_arrays
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skscan import PixelFeatureExtractor

DIGITS = load_digits()


def test_pixels_of_the_right_size_are_kept():
    grey = np.random.RandomState(0).randint(0, 256, (5, 16, 16), dtype=np.uint8)
    assert_allclose(PixelFeatureExtractor().transform(grey), grey.reshape(5, -1) / 255, atol=1e-6)
    colours = pixel_arrays(5, 16, 16)
    features = PixelFeatureExtractor(channels="rgb").transform(colours)
    assert_allclose(features, colours.reshape(5, -1) / 255, atol=1e-6)


def test_grey_is_brightness():
    primary = np.diag([255, 255, 255]).astype(np.uint8).reshape(3, 1, 1, 3)
    features = PixelFeatureExtractor(image_size=1).transform(primary)
    assert_allclose(features[:, 0], [0.299, 0.587, 0.114], atol=1e-6)
    as_pillow = [Image.fromarray(image).convert("L").getpixel((0, 0)) for image in primary]
    assert_allclose(features[:, 0], np.array(as_pillow) / 255, atol=1 / 255)


@pytest.mark.parametrize(
    ("size", "channels", "n"), [(8, "grey", 64), (8, "rgb", 192), (1, "rgb", 3)]
)
def test_numbers_of_features(size, channels, n):
    extractor = PixelFeatureExtractor(size, channels=channels)
    assert extractor.transform(pixel_arrays(2)).shape == (2, n)
    assert len(extractor.get_feature_names_out()) == n


def test_black_and_white_span_0_to_1():
    extremes = np.zeros((2, 9, 9), dtype=np.uint8)
    extremes[1] = 255
    assert_array_equal(PixelFeatureExtractor(4).transform(extremes), [[0] * 16, [1] * 16])


def test_digits_are_told_apart_as_well_as_by_their_own_pixels():
    small = DIGITS.images[:600] / 16
    large = [Image.fromarray(np.uint8(255 * image)).resize((128, 128)) for image in small]
    own, *scores = (
        cross_val_score(KNeighborsClassifier(5), features, DIGITS.target[:600]).mean()
        for features in (
            DIGITS.data[:600],
            PixelFeatureExtractor().transform(small),
            PixelFeatureExtractor().transform(large),
        )
    )
    assert min(scores) > own - 0.01
