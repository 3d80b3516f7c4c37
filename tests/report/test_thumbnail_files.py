"""Thumbnails beside the page outlast a report: the next one writes only those that are new."""

import os
import shutil

import pytest
from PIL import Image

from skscan.images.collection import FileImages
from skscan.report import page, write_report
from skscan.report.remembering import RememberingImages
from skscan.report.thumbnail_files import ThumbnailFolder, thumbnails_of
from skscan.report.thumbnail_store import ThumbnailStore


@pytest.fixture
def folder(tmp_path):
    return ThumbnailFolder(str(tmp_path / "thumbnails"))


def files(tmp_path):
    found = (tmp_path / "thumbnails").rglob("*")
    return {path.name: path for path in found if path.is_file()}


def test_only_new_thumbnails_are_written(photos, folder, tmp_path):
    assert folder.complete(thumbnails_of(FileImages(photos[:9]), None), range(9)) == []
    before = {name: path.stat().st_mtime_ns for name, path in files(tmp_path).items()}
    assert len(before) == 9
    asked = []
    grown = thumbnails_of(FileImages([photos[11], *photos[:9]]), None)
    get = grown.get
    object.__setattr__(grown, "get", lambda numbers: asked.extend(numbers) or get(numbers))
    assert folder.complete(grown, range(10)) == []
    assert asked == [0]
    after = {name: path.stat().st_mtime_ns for name, path in files(tmp_path).items()}
    assert after.items() > before.items()
    assert set(after) == {f"{name.hex()}.jpeg" for name in grown.names}


def test_what_is_of_no_image_any_more_goes(photos, folder, tmp_path):
    folder.complete(thumbnails_of(FileImages(photos), None), range(12))
    (tmp_path / "thumbnails" / "0").mkdir()
    (tmp_path / "thumbnails" / "0" / "7.jpeg").write_bytes(b"of an earlier version")
    Image.new("RGB", (30, 30)).save(photos[4])  # another image by the same name
    left = thumbnails_of(FileImages(photos[:5]), None)
    folder.complete(left, range(5))
    folder.remove_others(left)
    assert set(files(tmp_path)) == {f"{name.hex()}.jpeg" for name in left.names}
    assert all(os.listdir(path) for path in (tmp_path / "thumbnails").iterdir())


def test_files_that_a_kill_left_empty_are_written_again(photos, folder, tmp_path):
    source = thumbnails_of(FileImages(photos), None)
    folder.complete(source, range(12))
    damaged = next(iter(files(tmp_path).values()))
    whole = damaged.read_bytes()
    damaged.write_bytes(b"")
    folder.complete(source, range(12))
    assert damaged.read_bytes() == whole


def test_unreadable_images_are_named(photos, folder, tmp_path):
    os.unlink(photos[2])
    with open(photos[5], "wb") as file:
        file.write(b"no picture")
    source = thumbnails_of(FileImages(photos), None)
    assert folder.complete(source, [5, *range(5), *range(6, 12)]) == [2, 5]
    assert len(files(tmp_path)) == 10


def test_files_are_named_alike_with_and_without_a_store(photos, tmp_path):
    remembering = RememberingImages(photos, ThumbnailStore(tmp_path / "thumbnails.sqlite"))
    kept, plain = thumbnails_of(remembering, None), thumbnails_of(FileImages(photos), None)
    assert kept.names == plain.names
    assert list(kept.get([3, 1])) == list(plain.get([3, 1]))


def test_a_report_made_anew_leaves_the_files_as_they_are(results, monkeypatch):
    monkeypatch.setattr(page, "MAX_EMBEDDED", 5)
    write_report(results)
    written = {path: path.stat().st_mtime_ns for path in (results / "report_files").rglob("*.jpeg")}
    assert len(written) == 12
    write_report(results)
    again = {path: path.stat().st_mtime_ns for path in (results / "report_files").rglob("*.jpeg")}
    assert again == written
    shutil.rmtree(results / "report_files")
    write_report(results)
    assert len(list((results / "report_files").rglob("*.jpeg"))) == 12
