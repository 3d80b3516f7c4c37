"""Where extractors keep features: a folder, or nowhere."""

import pytest

from skscan import PixelFeatureExtractor


@pytest.mark.parametrize("name", ["file", "file/within"])
def test_a_memory_that_is_no_folder_is_refused(photo_folder, tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"memory='.*' cannot be used .*takes a folder"):
        PixelFeatureExtractor(8).extract(photo_folder, memory=tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_memory_that_is_not_there_is_made(photo_folder, tmp_path):
    PixelFeatureExtractor(8).extract(photo_folder, memory=tmp_path / "new" / "memory")
    assert list((tmp_path / "new" / "memory").glob("features/*/*.features"))
