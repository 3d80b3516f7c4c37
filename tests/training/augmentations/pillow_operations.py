"""The strong operations as Pillow has them, and images that are hard for them."""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

AFFINE = Image.Transform.AFFINE

PILLOW = {
    "identity": lambda image, v: image,
    "autocontrast": lambda image, v: ImageOps.autocontrast(image),
    "equalize": lambda image, v: ImageOps.equalize(image),
    "rotate": lambda image, v: image.rotate(v),
    "solarize": lambda image, v: ImageOps.solarize(image, v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "shear_x": lambda image, v: image.transform(image.size, AFFINE, (1, v, 0, 0, 1, 0)),
    "shear_y": lambda image, v: image.transform(image.size, AFFINE, (1, 0, 0, v, 1, 0)),
    "translate_x": lambda image, v: image.transform(
        image.size, AFFINE, (1, 0, v * image.width, 0, 1, 0)
    ),
    "translate_y": lambda image, v: image.transform(
        image.size, AFFINE, (1, 0, 0, 0, 1, v * image.height)
    ),
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
}


def pictures(n, height, width, seed=0):
    """Noise, smooth colours, few colours, dull and flat images."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, height, width, 3))
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] % 256
    for i, image in enumerate(images):
        match i % 5:
            case 1:
                image[:] = (ramp * rng.uniform(0.3, 3, 3) + rng.integers(0, 256, 3)) % 256
            case 2:
                image[:] = rng.integers(0, 256, (3, 3))[rng.integers(0, 3, (height, width))]
            case 3:
                image[:] = image % rng.integers(1, 60) + rng.integers(0, 190)
            case 4:
                image[..., :] = rng.integers(0, 256, 3)
    return images.astype(np.uint8)
