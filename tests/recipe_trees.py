"""Small data sets of generated images, in the layouts in which the published ones come."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from skscan.recipes.class_folders import imagenet_subset


def class_images(
    labels: np.ndarray, side: int, random_state: np.random.RandomState, n_classes: int
) -> np.ndarray:
    """Images whose class shows in color and stripes: (n, side, side, 3), uint8."""
    labels = np.asarray(labels)
    turn = 2 * np.pi * labels / n_classes
    color = 0.5 + 0.35 * np.stack([np.cos(turn), np.sin(turn), np.cos(2 * turn)], axis=1)
    y, x = np.mgrid[:side, :side] / side
    waves = 2 * np.pi * (1 + labels % 4)[:, None, None]
    phase = random_state.uniform(0, 2 * np.pi, (len(labels), 1, 1))
    along = np.where((labels % 2)[:, None, None] == 0, x, y)
    stripes = 0.15 * np.sin(waves * along + phase)
    pixels = color[:, None, None, :] + stripes[..., None]
    pixels = pixels + random_state.normal(0, 0.04, pixels.shape)
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def balanced_labels(n: int, n_classes: int, random_state: np.random.RandomState) -> np.ndarray:
    return random_state.permutation(np.arange(n) % n_classes)


def _planes(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def write_cifar10(folder: Path, n_train: int = 500, n_test: int = 100, protocol: int = 2) -> None:
    """Python pickles of CIFAR-10 in ``folder/cifar-10-batches-py``."""
    rng = np.random.RandomState(0)
    root = folder / "cifar-10-batches-py"
    root.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        n = n_test if name == "test_batch" else n_train // 5
        labels = balanced_labels(n, 10, rng)
        batch = {
            b"batch_label": name.encode(),
            b"data": _planes(class_images(labels, 32, rng, 10)),
            b"labels": labels.tolist(),
        }
        (root / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (root / "batches.meta").write_bytes(pickle.dumps(meta, protocol=protocol))


def write_cifar100(folder: Path, n_train: int = 500, n_test: int = 100) -> None:
    """Python pickles of CIFAR-100 in ``folder/cifar-100-python``; classes show by super-class."""
    rng = np.random.RandomState(1)
    root = folder / "cifar-100-python"
    root.mkdir(parents=True)
    for name, n in (("train", n_train), ("test", n_test)):
        fine = balanced_labels(n, 100, rng)
        coarse = fine // 5
        batch = {
            "data": _planes(class_images(coarse, 32, rng, 20)),
            "fine_labels": fine.tolist(),
            "coarse_labels": coarse.tolist(),
        }
        (root / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {
        "fine_label_names": [f"fine {i}" for i in range(100)],
        "coarse_label_names": [f"coarse {i}" for i in range(20)],
    }
    (root / "meta").write_bytes(pickle.dumps(meta, protocol=2))


def write_cifar_binary(folder: Path, n_classes: int, n_train: int = 50, n_test: int = 20) -> None:
    """Binary files of CIFAR-10 or CIFAR-100."""
    rng = np.random.RandomState(2)
    root = folder / ("cifar-10-batches-bin" if n_classes == 10 else "cifar-100-binary")
    root.mkdir(parents=True)
    train = [f"data_batch_{i}.bin" for i in range(1, 6)] if n_classes == 10 else ["train.bin"]
    test = "test_batch.bin" if n_classes == 10 else "test.bin"
    for name in [*train, test]:
        n = n_test if name == test else n_train // len(train)
        labels = balanced_labels(n, n_classes, rng)
        columns = [labels] if n_classes == 10 else [labels // 5, labels]
        records = np.column_stack([*columns, _planes(class_images(labels, 32, rng, n_classes))])
        (root / name).write_bytes(records.astype(np.uint8).tobytes())
    if n_classes == 10:
        (root / "batches.meta.txt").write_text("\n".join(f"c{i}" for i in range(10)) + "\n\n")
    else:
        (root / "fine_label_names.txt").write_text("\n".join(f"f{i}" for i in range(100)))
        (root / "coarse_label_names.txt").write_text("\n".join(f"s{i}" for i in range(20)))


def write_stl10(
    folder: Path, n_train: int = 200, n_test: int = 100, n_unlabeled: int = 100
) -> None:
    """Binary files of STL-10 in ``folder/stl10_binary``."""
    rng = np.random.RandomState(3)
    root = folder / "stl10_binary"
    root.mkdir(parents=True)
    for name, n in (("train", n_train), ("test", n_test), ("unlabeled", n_unlabeled)):
        if not n:
            continue
        labels = balanced_labels(n, 10, rng)
        images = class_images(labels, 96, rng, 10)
        (root / f"{name}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        if name != "unlabeled":
            (root / f"{name}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (root / "class_names.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n")


def write_class_folders(
    folder: Path,
    classes: list[str],
    n_train: int,
    n_test: int,
    side: int,
    test_name: str = "test",
    suffix: str = ".png",
) -> None:
    """``train/<class>/`` and a test split, each with so many images of each class."""
    rng = np.random.RandomState(4)
    for split, n in (("train", n_train), (test_name, n_test)):
        for number, name in enumerate(classes):
            images = class_images(np.full(n, number), side, rng, len(classes))
            (folder / split / name).mkdir(parents=True)
            for i, image in enumerate(images):
                path = folder / split / name / f"{name}_{i:04d}{suffix}"
                Image.fromarray(image).save(path, "PNG" if suffix == ".png" else "JPEG")


def write_imagenet(
    folder: Path, n_classes: int, n_train: int = 4, n_test: int = 2, side: int = 64
) -> None:
    """``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG`` with the classes of one subset."""
    classes = imagenet_subset(n_classes) if n_classes >= 50 else imagenet_subset(50)[:n_classes]
    write_class_folders(folder, classes, n_train, n_test, side, "val", ".JPEG")
