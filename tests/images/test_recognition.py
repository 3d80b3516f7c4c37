from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from image_factory import encoded, picture, pixel_arrays, write_pictures, write_zip
from numpy.testing import assert_array_equal
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection, as_collection, is_feature_matrix, list_images

PIXELS = pixel_arrays(4)
PIXELS[0, 0, :2] = [[0], [255]]


class Labelled(Dataset):
    """A data set as torchvision's are: (image, label)."""

    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple:
        return self.items[i], i % 2


class OnlyIterable(IterableDataset):
    def __iter__(self):
        return iter(PIXELS)


def read_all(images: ImageCollection) -> np.ndarray:
    return np.stack([np.asarray(images.read(i)) for i in range(len(images))])


PIL_IMAGES = [Image.fromarray(image) for image in PIXELS]
CHANNELS_FIRST = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())

IN_MEMORY = {
    "uint8 array": PIXELS,
    "float array": PIXELS / 255,
    "float32 array": (PIXELS / 255).astype(np.float32),
    "read-only Fortran array": np.asfortranarray(PIXELS),
    "strided view": np.repeat(PIXELS, 2, axis=0)[::2],
    "list of arrays": list(PIXELS),
    "tuple of arrays": tuple(PIXELS),
    "nested lists of floats": (PIXELS / 255).tolist(),
    "list of PIL images": PIL_IMAGES,
    "object array": np.array([*PIL_IMAGES, None], dtype=object)[:-1],
    "list of (image, label)": [(image, 1) for image in PIL_IMAGES],
    "list of [array, label]": [[image, 1] for image in PIXELS],
    "list of tensors": list(CHANNELS_FIRST),
    "torch data set of PIL images": Labelled(PIL_IMAGES),
    "torch data set of arrays": Labelled(list(PIXELS)),
    "torch data set of tensors": TensorDataset(CHANNELS_FIRST, torch.zeros(4)),
    "torch data set of float tensors": TensorDataset(CHANNELS_FIRST / 255),
    "data set without labels": torch.utils.data.Subset(list(PIXELS), range(4)),
}
IN_MEMORY["read-only Fortran array"].flags.writeable = False


@pytest.mark.parametrize("form", IN_MEMORY)
def test_forms_in_memory_give_the_same_images(form):
    images = as_collection(IN_MEMORY[form])
    assert images.names == ["image 0", "image 1", "image 2", "image 3"]
    assert_array_equal(read_all(images), PIXELS)


FORMS_OF_PATHS = {
    "list of str": list,
    "list of Path": lambda paths: [Path(path) for path in paths],
    "list of bytes": lambda paths: [path.encode() for path in paths],
    "array of str": np.array,
    "object array": lambda paths: np.array(paths, dtype=object),
    "pandas Series": pd.Series,
    "pandas Series, other index": lambda paths: pd.Series(paths, index=range(9, 3, -1)),
    "pandas Index": pd.Index,
    "polars Series": pl.Series,
    "list of (path, label)": lambda paths: [(path, 0) for path in paths],
}


@pytest.mark.parametrize("form", FORMS_OF_PATHS)
def test_forms_of_paths_give_the_same_images(form, photo_folder):
    paths = list_images(photo_folder)
    images = as_collection(FORMS_OF_PATHS[form](paths))
    assert images.names == paths
    assert all(type(name) is str for name in images.names)
    assert_array_equal(read_all(images), read_all(as_collection(photo_folder)))


def test_paths_keep_their_order(photo_folder):
    paths = list_images(photo_folder)[::-1]
    assert as_collection(paths).names == paths


@pytest.mark.parametrize("kind", [str, Path])
def test_folder_and_zip(photo_folder, tmp_path, kind):
    folder = as_collection(kind(photo_folder))
    assert folder.names == list_images(photo_folder)
    entries = {Path(name).name: Path(name).read_bytes() for name in folder.names}
    zipped = as_collection(kind(write_zip(tmp_path / "photos.zip", entries)))
    assert len(zipped) == 6
    assert zipped.read(0).size == (32, 24)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 8, 8, 1), (3, 5, 9), (1, 1, 1), (2, 3, 3)])
def test_grey_arrays(shape):
    grey = np.random.RandomState(0).randint(0, 256, shape, dtype=np.uint8)
    pixels = read_all(as_collection(grey))
    assert_array_equal(pixels[..., 0], grey.reshape(shape[:3]))
    assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_bool_arrays_are_black_and_white():
    assert_array_equal(
        read_all(as_collection(np.eye(4, dtype=bool)[None]))[0, :, :, 0], 255 * np.eye(4)
    )


def test_sizes_and_kinds_can_differ(photo_folder):
    mixed = [picture(0, 10, 20), PIXELS[0], list_images(photo_folder)[0], PIXELS[1, :5, :, 0]]
    images = as_collection(mixed)
    assert [images.read(i).size for i in range(4)] == [(20, 10), (24, 24), (32, 24), (24, 5)]
    assert images.names == ["image 0", "image 1", mixed[2], "image 3"]


def test_collections_are_taken_as_they_are():
    images = as_collection(PIXELS)
    assert as_collection(images) is images


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PIXELS.astype(float), r"float pixels go from 0 to 255; taken are 0\.\.1"),
        (PIXELS / 255 - 0.5, r"float pixels go from -0\.5"),
        (np.where(PIXELS.max() == PIXELS, np.nan, PIXELS / 255), "NaN or infinity"),
        (np.where(PIXELS.max() == PIXELS, np.inf, PIXELS / 255), "NaN or infinity"),
        (PIXELS.astype(np.int64), r"pixels are int64; taken are uint8"),
        (PIXELS.astype(np.uint16), r"pixels are uint16"),
        (PIXELS.astype(complex), r"pixels are complex128"),
        (PIXELS[..., :2], "has 2 channels"),
        (np.zeros((2, 8, 8, 4), np.uint8), "has 4 channels.*alpha"),
        (PIXELS.transpose(0, 3, 1, 2), r"np\.moveaxis"),
        (PIXELS[0], r"as one RGB image has.*Give a single image as photos\[None\]"),
        (PIXELS[None], r"photos has shape \(1, 4, 24, 24, 3\)"),
        (np.array(5.0), r"photos has shape \(\)"),
        (np.zeros((0, 8, 8), np.uint8), "there is no image or no pixel in it"),
        (np.zeros((4, 0, 8, 3), np.uint8), "there is no image or no pixel in it"),
        (np.zeros((5, 4)), "two-dimensional matrix of features"),
        (np.zeros(5), "one-dimensional array of numbers. Reshape your data"),
        (pd.Series([1.0, 2.0]), "one-dimensional array of numbers"),
        ([], "photos holds no image"),
        (np.array([], dtype=str), "photos holds no image"),
        (list(PIXELS.astype(int)), "none of the 4 arrays in photos is an image: pixels are int64"),
        (Labelled([]), "data set without images"),
    ],
)
def test_wrong_values_are_named(array, message):
    with pytest.raises(ValueError, match=message) as caught:
        as_collection(array, "photos")
    assert "photos" in str(caught.value)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "photos is of type NoneType; images are taken as"),
        (pd.DataFrame({"file": ["a.png"]}), r"a data frame of text; .* photos\['file'\]"),
        (5, "photos is of type int"),
        ({"a": 1}, "photos is of type dict"),
        (iter(PIXELS), "photos is of type .*iterator"),
        (PIL_IMAGES[0], "photos is a single image"),
        (CHANNELS_FIRST, r"photos is a tensor; .*permute\(0, 2, 3, 1\)"),
        (OnlyIterable(), "can only be iterated over"),
        ([PIL_IMAGES[0], None], r"photos\[1\] is of type NoneType"),
        ([3, 4], r"photos\[0\] is of type int"),
        (pd.Series(["a.png", None], dtype=object), r"photos\[1\] is of type NoneType"),
        (np.array([[PIL_IMAGES[0]]], dtype=object), "object array of shape"),
    ],
)
def test_wrong_types_are_named(X, message):
    with pytest.raises(TypeError, match=message):
        as_collection(X, "photos")


def test_wrong_places_name_the_argument(tmp_path):
    (tmp_path / "photo.png").write_bytes(encoded(picture(), "PNG"))
    with pytest.raises(FileNotFoundError, match="photos: there is no folder or zip"):
        as_collection(tmp_path / "missing", "photos")
    with pytest.raises(ValueError, match=r"photos: .* A single image is given as a list"):
        as_collection(tmp_path / "photo.png", "photos")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (np.zeros((4, 4, 2), np.uint8), "2 channels"),
        (np.zeros((4, 4), np.int32), "pixels are int32"),
        (np.full((4, 4), 2.0), "float pixels go from 2 to 2"),
        (np.zeros(7, np.uint8), "is no image"),
        ("missing.png", "file not found"),
    ],
)
def test_one_bad_item_is_an_unreadable_image(item, reason):
    images = as_collection([PIXELS[0], item])
    assert images.read(0).size == (24, 24)
    with pytest.raises(ImageReadError, match=reason):
        images.read(1)


def test_closed_and_truncated_pil_images_are_unreadable(tmp_path):
    content = encoded(picture(height=200, width=200), "PNG")
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "half.png") as closed:
        images = as_collection([PIXELS[0], Image.open(tmp_path / "half.png"), closed])
    for i in (1, 2):
        with pytest.raises(ImageReadError, match="closed or damaged"):
            images.read(i)


def test_data_set_that_fails_gives_an_unreadable_image():
    class Failing(Labelled):
        def __getitem__(self, i: int) -> tuple:
            if i == 1:
                raise KeyError("lost")
            return super().__getitem__(i)

    images = as_collection(Failing(["not.png", PIXELS[0], {"image": 1}, PIXELS[1]]))
    for i, reason in enumerate(["file not found", "raised KeyError: 'lost'", "a dict is neither"]):
        with pytest.raises(ImageReadError, match=reason):
            images.read(i)
    assert images.read(3).size == (24, 24)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((3, 4)),
        np.zeros((3, 4), dtype=int),
        np.zeros((3, 4), dtype=object),
        np.zeros((0, 4)),
        [[1, 2], [3, 4]],
        ([1.5, 2], [3, 4]),
        [np.zeros(4), np.ones(4)],
        pd.DataFrame({"a": [1.0]}),
        pl.DataFrame({"a": [1.0]}),
        sp.csr_matrix((3, 4)),
        sp.csr_array((3, 4)),
        torch.zeros(3, 4),
    ],
    ids=lambda X: type(X).__name__,
)
def test_feature_matrices(X):
    assert is_feature_matrix(X)


@pytest.mark.parametrize(
    "X",
    [
        *IN_MEMORY.values(),
        "photos",
        Path("photos"),
        ["a.png"],
        np.array([["a.png"]]),
        np.zeros(3),
        [],
        None,
        PIL_IMAGES[0],
        as_collection(PIXELS),
    ],
    ids=lambda X: type(X).__name__,
)
def test_everything_else_is_no_feature_matrix(X):
    assert not is_feature_matrix(X)


def test_fingerprints_change_with_the_images(tmp_path):
    paths = write_pictures(tmp_path)
    collections = {
        "paths": paths,
        "fewer paths": paths[1:],
        "other order": paths[::-1],
        "array": PIXELS,
        "inverted array": 255 - PIXELS,
        "items": PIL_IMAGES,
        "inverted items": list(255 - PIXELS),
        "mixed": [paths[0], PIXELS[0]],
        "missing": [*paths, "missing.png"],
    }
    prints = {name: as_collection(X).fingerprint() for name, X in collections.items()}
    assert len(set(prints.values())) == len(prints)
    assert {name: as_collection(X).fingerprint() for name, X in collections.items()} == prints
    assert as_collection(Labelled(PIL_IMAGES)).fingerprint() == prints["items"]
    picture(99).save(paths[0])
    assert as_collection(paths).fingerprint() != prints["paths"]
    assert as_collection(collections["mixed"]).fingerprint() != prints["mixed"]
