"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from image_factory import write_pictures

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("skscan", deadline=None)
settings.load_profile("skscan")


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Six pictures in two sub-folders."""
    folder = tmp_path / "photos"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def stl10_zip() -> Path:
    """The STL-10 images, if they are there."""
    folder = os.environ.get("SKSCAN_TEST_DATA")
    if folder is None:
        pytest.skip("SKSCAN_TEST_DATA names no folder with stl10.zip")
    archive = Path(folder) / "stl10.zip"
    if not archive.is_file():
        pytest.skip(f"there is no {archive}")
    return archive
