"""Folders of small images, and the command line as a function."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner, Result

from skscan.cli import app

N_CLUSTERS = 4
QUICK = ["--effort", "fast", "--backbone", "pixels", "--quiet"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the cache of the command out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKSCAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def skscan() -> Callable[..., Result]:
    """Run a command in this process: exit_code, stdout and stderr of its result."""

    def run(*arguments: object) -> Result:
        with warnings.catch_warnings(action="ignore"):  # what they look like: test_cli_process.py
            return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture(scope="session")
def digit_images() -> list[tuple[int, Image.Image]]:
    """Two hundred images of the digits 0 to 3, each with its class."""
    digits = load_digits(n_class=N_CLUSTERS)
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return [
        (int(digit), Image.fromarray(image))
        for image, digit in zip(pixels[:200], digits.target[:200], strict=True)
    ]


@pytest.fixture(scope="session")
def write_digits() -> Callable[[Path, list[tuple[int, Image.Image]]], Path]:
    """Write images into a sub-folder for each class."""
    return write_folder


@pytest.fixture
def digits_folder(tmp_path: Path, digit_images: list[tuple[int, Image.Image]]) -> Path:
    """A folder with a sub-folder for each class."""
    return write_folder(tmp_path / "digits", digit_images)


@pytest.fixture(scope="session")
def shared_digits(
    tmp_path_factory: pytest.TempPathFactory, digit_images: list[tuple[int, Image.Image]]
) -> Path:
    """The same folder, for tests that do not write into it."""
    return write_folder(tmp_path_factory.mktemp("shared") / "digits", digit_images)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, shared_digits: Path) -> Path:
    """The results of one run on `shared_digits`, for tests that only read them."""
    out = tmp_path_factory.mktemp("results") / "out"
    arguments = ["cluster", str(shared_digits), "-k", str(N_CLUSTERS), "-o", str(out), *QUICK]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.stderr
    return out


def write_folder(folder: Path, images: list[tuple[int, Image.Image]]) -> Path:
    for number, (digit, image) in enumerate(images):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        image.save(folder / str(digit) / f"{number:04d}.png")
    return folder
