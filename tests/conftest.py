"""Fixtures that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from image_factory import write_pictures

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("skscan", deadline=None)
settings.load_profile("skscan")


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of these tests, so that nothing depends on earlier runs, or is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKSCAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
