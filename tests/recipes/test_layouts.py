"""Readers of the layouts in which the data sets of the paper come."""

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_factory import write_pictures
from recipe_trees import (
    class_images,
    write_cifar10,
    write_cifar100,
    write_cifar_binary,
    write_class_folders,
    write_imagenet,
    write_stl10,
)

from skscan.images import as_collection
from skscan.recipes import read_data
from skscan.recipes.class_folders import imagenet_subset

SUBSET_MD5 = {
    50: "5929096f77bf14f87f668f064a4ec4d5",
    100: "fa6bcd70eed287209d21f41a46496b3b",
    200: "4c4d2a7aeab02b94250eb1d56c68049b",
}


def read_all(images) -> np.ndarray:
    collection = as_collection(images)
    return np.stack([np.asarray(collection.read(i)) for i in range(len(collection))])


@pytest.mark.parametrize("protocol", [2, 5])
def test_cifar10_pickles(tmp_path, protocol):
    write_cifar10(tmp_path, 100, 20, protocol)
    for source in (tmp_path, tmp_path / "cifar-10-batches-py", str(tmp_path)):
        data = read_data("cifar10", source)
        assert data.layout == "CIFAR-10 as Python pickles"
        assert data.train.images.shape == (100, 32, 32, 3)
        assert data.test.images.shape == (20, 32, 32, 3)
        assert data.class_names[3] == "class 3"
        assert data.notes == ()
    rng = np.random.RandomState(0)  # as write_cifar10 draws them
    labels = rng.permutation(np.arange(20) % 10)
    np.testing.assert_array_equal(data.train.labels[:20], labels)
    np.testing.assert_array_equal(data.train.images[:20], class_images(labels, 32, rng, 10))
    np.testing.assert_array_equal(read_all(data.train.images[:3]), data.train.images[:3])


def test_cifar100_by_class_and_by_super_class(tmp_path):
    write_cifar100(tmp_path, 200, 100)
    fine, coarse = read_data("cifar100", tmp_path), read_data("cifar100-20", tmp_path)
    np.testing.assert_array_equal(coarse.train.labels, fine.train.labels // 5)
    assert fine.class_names[99] == "fine 99"
    assert coarse.class_names[19] == "coarse 19"
    assert coarse.n_classes == 20
    np.testing.assert_array_equal(fine.test.images, coarse.test.images)


@pytest.mark.parametrize("n_classes", [10, 100])
def test_binary_files_of_cifar(tmp_path, n_classes):
    write_cifar_binary(tmp_path, n_classes)
    data = read_data(f"cifar{n_classes}", tmp_path)
    assert len(data.train) == 50
    assert len(data.test) == 20
    assert data.n_classes == n_classes
    assert data.class_names[1] in ("c1", "f1")
    rng = np.random.RandomState(2)
    labels = rng.permutation(np.arange(50 if n_classes == 100 else 10) % n_classes)
    np.testing.assert_array_equal(data.train.labels[: len(labels)], labels)
    expected = class_images(labels, 32, rng, n_classes)
    np.testing.assert_array_equal(data.train.images[: len(labels)], expected)
    if n_classes == 100:
        coarse = read_data("cifar100-20", tmp_path)
        np.testing.assert_array_equal(coarse.train.labels, data.train.labels // 5)
        assert coarse.class_names[1] == "s1"


def test_stl10(tmp_path):
    write_stl10(tmp_path, 30, 20, 10)
    data = read_data("stl10", tmp_path)
    assert data.train.images.shape == (30, 96, 96, 3)
    rng = np.random.RandomState(3)
    labels = rng.permutation(np.arange(30) % 10)
    np.testing.assert_array_equal(data.train.labels, labels)
    np.testing.assert_array_equal(data.train.images, class_images(labels, 96, rng, 10))
    assert data.further.shape == (10, 96, 96, 3)
    assert data.n_pretext == 40
    pretext = data.pretext_images
    np.testing.assert_array_equal(pretext[:30], data.train.images)
    np.testing.assert_array_equal(pretext[30:], data.further)
    np.testing.assert_array_equal(read_all(data.test.images[:2]), data.test.images[:2])
    assert data.notes == ()


def test_stl10_without_unlabelled_images_says_so(tmp_path):
    write_stl10(tmp_path, 30, 20, 0)
    (tmp_path / "stl10_binary" / "class_names.txt").unlink()
    data = read_data("stl10", tmp_path / "stl10_binary")
    assert data.further is None
    assert data.n_pretext == 30
    assert "unlabeled_X.bin is missing: the pretext task learns from the 30" in data.notes[0]
    assert data.class_names == tuple("0123456789")


def test_stl10_is_mapped_not_loaded(tmp_path):
    write_stl10(tmp_path, 30, 20, 10)
    further = read_data("stl10", tmp_path).further
    while not isinstance(further, np.memmap) and further.base is not None:
        further = further.base
    assert isinstance(further, np.memmap)


@pytest.mark.parametrize("size", [50, 100, 200])
def test_subset_lists_of_imagenet(size):
    wnids = imagenet_subset(size)
    assert len(set(wnids)) == size
    assert wnids == sorted(wnids)
    text = "".join(f"{wnid}\n" for wnid in wnids)
    assert hashlib.md5(text.encode()).hexdigest() == SUBSET_MD5[size]
    assert set(wnids) <= set(imagenet_subset(200))


def test_imagenet_subset_leaves_other_classes_to_the_pretext_task(tmp_path):
    write_imagenet(tmp_path, 50, 2, 1, side=16)
    write_pictures(tmp_path / "train" / "n99999999", 3)
    data = read_data("imagenet50", tmp_path)
    assert data.n_classes == 50
    assert len(data.train) == 100
    assert len(data.test) == 50
    assert len(data.further) == 3
    assert data.n_pretext == 103
    assert data.class_names == tuple(imagenet_subset(50))
    for path, label in zip(data.train.images, data.train.labels, strict=True):
        assert Path(path).parent.name == data.class_names[label]
    assert read_all(data.test.images[:2]).shape == (2, 16, 16, 3)


def test_whole_imagenet_takes_the_classes_it_finds(tmp_path):
    write_imagenet(tmp_path, 7, 2, 1, side=16)
    data = read_data("imagenet", tmp_path)
    assert data.n_classes == 7
    assert data.further is None


def test_class_folders_and_zips_with_a_folder_above(tmp_path):
    write_class_folders(tmp_path / "pets" / "small", ["dog", "cat", "ant"], 3, 2, 16)
    folder = tmp_path / "pets"
    archive = shutil.make_archive(str(tmp_path / "above"), "zip", folder)
    flat = shutil.make_archive(str(tmp_path / "flat"), "zip", folder / "small")
    read = [read_data("cifar10", source) for source in (folder, folder / "small", archive, flat)]
    for data in read:
        assert data.class_names == ("ant", "cat", "dog")
        np.testing.assert_array_equal(data.train.labels, np.repeat([0, 1, 2], 3))
        np.testing.assert_array_equal(data.test.labels, np.repeat([0, 1, 2], 2))
        np.testing.assert_array_equal(read_all(data.train.images), read_all(read[0].train.images))


def test_val_stands_in_for_test(tmp_path):
    write_class_folders(tmp_path, ["a", "b"], 2, 1, 8, test_name="val")
    assert len(read_data("stl10", tmp_path).test) == 2


def test_subsample_is_a_draw_of_every_split(tmp_path):
    write_stl10(tmp_path, 60, 40, 20)
    data = read_data("stl10", tmp_path)

    def draw(share):
        sizes = (60, 20, 40)
        return data.subsample(lambda n: int(share * n), sizes, np.random.RandomState(0))

    part = draw(0.5)
    assert (len(part.train), len(part.test), len(part.further)) == (30, 20, 10)
    np.testing.assert_array_equal(part.train.images, draw(0.5).train.images)
    same = (data.train.images[:, None] == part.train.images[None]).all(axis=(2, 3, 4))
    rows = same.argmax(axis=0)
    np.testing.assert_array_equal(data.train.labels[rows], part.train.labels)
    assert len(draw(10).train) == 60


# ------------------------------------------------------------------ what is refused


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder or zip"):
        read_data("cifar10", tmp_path / "missing")
    with pytest.raises(ValueError, match="layout must be one of"):
        read_data("mnist", tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no cifar-10-batches-py, cifar-10-batches-bin or train"):
        read_data("cifar10", tmp_path)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Unpack cifar-10-python\.tar\.gz first"):
        read_data("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("write", "layout", "name"),
    [
        (write_cifar10, "cifar10", "cifar-10-batches-py/data_batch_3"),
        (write_cifar10, "cifar10", "cifar-10-batches-py/test_batch"),
        (write_cifar100, "cifar100-20", "cifar-100-python/test"),
        (write_stl10, "stl10", "stl10_binary/train_y.bin"),
        (write_stl10, "stl10", "stl10_binary/test_X.bin"),
    ],
)
def test_missing_and_cut_files_are_named(tmp_path, write, layout, name):
    write(tmp_path, 50, 20)
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 1])
    with pytest.raises(ValueError, match=path.name) as error:
        read_data(layout, tmp_path)
    assert "cut short" in str(error.value)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{path.name}|{path.name[:-5]}"):
        read_data(layout, tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"incomplete: {path.name} is missing"):
        read_data(layout, tmp_path)


@pytest.mark.parametrize("n_classes", [10, 100])
def test_cut_binary_files_are_named(tmp_path, n_classes):
    write_cifar_binary(tmp_path, n_classes)
    path = next(tmp_path.glob("*/*test*.bin"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a whole number of images"):
        read_data(f"cifar{n_classes}", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((4, 10), np.uint8)}, r"'data' is uint8 of shape \(4, 10\)"),
        ({"data": np.zeros((4, 3072), np.int64)}, "'data' is int64"),
        ({"data": [1, 2]}, "'data' is list"),
        ({"labels": [1, 2]}, "images and 2 labels"),
        ({"labels": ["a"]}, "no list of whole numbers"),
        ({"labels": [11] * 20}, "labels go from"),
        ({"labels": None}, "no list of whole numbers"),
    ],
)
def test_batches_that_hold_something_else(tmp_path, change, message):
    write_cifar10(tmp_path, 50, 20)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    batch = {k.decode(): v for k, v in pickle.loads(path.read_bytes()).items()}
    path.write_bytes(pickle.dumps({**batch, **change}))
    with pytest.raises(ValueError, match=message):
        read_data("cifar10", tmp_path)


def test_batches_of_another_data_set(tmp_path):
    write_cifar100(tmp_path, 100, 100)
    folder = tmp_path / "cifar-10-batches-py"
    shutil.move(tmp_path / "cifar-100-python", folder)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        shutil.copy(folder / "test", folder / name)
    with pytest.raises(ValueError, match="no 'labels' in it"):
        read_data("cifar10", tmp_path)
    (folder / "data_batch_1").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match="holds a list"):
        read_data("cifar10", tmp_path)


def test_labels_of_stl10_out_of_range(tmp_path):
    write_stl10(tmp_path, 30, 20, 0)
    labels = np.fromfile(tmp_path / "stl10_binary" / "test_y.bin", np.uint8)
    (labels - 1).tofile(tmp_path / "stl10_binary" / "test_y.bin")
    with pytest.raises(ValueError, match="labels go from 0 to 9; taken are 1 to 10"):
        read_data("stl10", tmp_path)


def test_classes_missing_of_a_subset(tmp_path):
    write_imagenet(tmp_path, 50, 1, 1, side=8)
    with pytest.raises(ValueError, match="50 of the 100 classes of ImageNet-100 have no images"):
        read_data("imagenet100", tmp_path)
    shutil.rmtree(tmp_path / "val" / imagenet_subset(50)[7])
    with pytest.raises(ValueError, match=r"1 of the 50 classes .* in 'val'"):
        read_data("imagenet50", tmp_path)
    with pytest.raises(ValueError, match="the splits have other classes"):
        read_data("imagenet", tmp_path)


def test_flat_and_missing_test_splits(tmp_path):
    write_class_folders(tmp_path, ["a", "b"], 2, 1, 8)
    (tmp_path / "test" / "b").rename(tmp_path / "b")
    image = next((tmp_path / "b").iterdir())
    image.rename(tmp_path / "test" / image.name)
    with pytest.raises(ValueError, match=r"sort the images into test/<class>/"):
        read_data("cifar10", tmp_path)
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(ValueError, match="none for the test images"):
        read_data("cifar10", tmp_path)


def test_one_class_is_refused(tmp_path):
    write_class_folders(tmp_path, ["a"], 2, 1, 8)
    with pytest.raises(ValueError, match="one class only"):
        read_data("cifar10", tmp_path)


def test_a_folder_with_two_data_sets_is_refused(tmp_path):
    for name in ("one", "two"):
        write_class_folders(tmp_path / name, ["a", "b"], 1, 1, 8)
    with pytest.raises(ValueError, match="several data sets, one, two; give the folder of one"):
        read_data("cifar10", tmp_path)
