import os
import warnings
from pathlib import Path

import pytest
from image_factory import encoded, picture, write_pictures, write_zip

from skscan.exceptions import ImagesNotFoundError, SkscanWarning
from skscan.images import as_collection, list_images, printable

PNG = encoded(picture(), "PNG")


def write(path: Path, content: bytes = PNG) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_lists_sub_folders_in_sorted_order(tmp_path):
    # Written out of order, so that the order of the file system does not help.
    expected = [write(tmp_path / name) for name in ("z/1.png", "a.png", "b/c/d.jpg", "b.png")]
    assert list_images(tmp_path) == sorted(expected)
    assert list_images(str(tmp_path)) == list_images(tmp_path)


def test_paths_begin_as_the_folder_was_given(photo_folder, monkeypatch):
    monkeypatch.chdir(photo_folder.parent)
    assert list_images("photos")[0] == os.path.join("photos", "class 0", "000.png")


def test_hidden_and_system_files_do_not_count(photo_folder):
    expected = list_images(photo_folder)
    for name in (".DS_Store", ".trash/1.png", "__MACOSX/1.png", "Thumbs.db", "class 0/._000.png"):
        write(photo_folder / name)
    assert list_images(photo_folder) == expected


def test_a_hidden_root_is_fine(tmp_path):
    expected = write(tmp_path / ".cache" / "1.png")
    assert list_images(tmp_path / ".cache") == [expected]


def test_other_files_are_listed_to_be_skipped_with_a_reason(photo_folder):
    notes = write(photo_folder / "notes.txt", b"not an image")
    assert notes in list_images(photo_folder)


def test_one_name_in_two_folders_stays_two_images(tmp_path):
    paths = [write(tmp_path / folder / "same.png") for folder in ("a", "b")]
    assert list_images(tmp_path) == paths


@pytest.mark.parametrize(
    "name", [b"line\nbreak.png", b"not utf-8 \xff\xfe.png", b" blank .png", "grün ☃.png".encode()]
)
def test_odd_names_lead_back_to_their_files(tmp_path, name):
    raw = os.path.join(os.fsencode(tmp_path), name)
    with open(raw, "wb") as file:
        file.write(PNG)
    (listed,) = list_images(tmp_path)
    assert os.fsencode(listed) == raw
    images = as_collection([listed])
    assert images.names == [listed]
    assert images.read(0).size == (32, 24)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("plain ☃.png", "plain ☃.png"), ("a\nb\x1b", "a\\nb\\x1b"), ("\udcff", "\\udcff")],
)
def test_printable_names_fit_on_a_line_of_any_terminal(name, shown):
    assert printable(name) == shown
    printable(name).encode("utf-8")


def test_links_that_lead_in_circles_end(tmp_path):
    expected = write(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert list_images(tmp_path) == [expected, str(tmp_path / "itself")]


def test_linked_folder_counts_once_under_its_own_name(tmp_path):
    expected = write(tmp_path / "m" / "own" / "1.png")
    (tmp_path / "a link").symlink_to(tmp_path / "m" / "own")
    assert list_images(tmp_path) == [expected]


def test_links_to_elsewhere_are_followed(tmp_path):
    write(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "one.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    names = [Path(path).name for path in list_images(tmp_path / "photos")]
    assert names == ["1.png", "one.png"]


def test_pipes_are_no_images(photo_folder):
    expected = list_images(photo_folder)
    os.mkfifo(photo_folder / "pipe.png")
    assert list_images(photo_folder) == expected


def test_unreadable_sub_folder_is_reported_and_stands_for_its_images(photo_folder, monkeypatch):
    scandir = os.scandir

    def deny_one(folder):
        if Path(folder).name == "class 1":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", deny_one)
    with pytest.warns(SkscanWarning, match=r"class 1.*Permission denied.*left out"):
        listed = list_images(photo_folder)
    images = [path for path in listed if Path(path).is_file()]
    assert {Path(path).parent.name for path in images} == {"class 0"}
    assert set(listed) - set(images) == {str(photo_folder / "class 1")}
    with pytest.raises(ValueError, match="cannot read folder"):
        list_images(photo_folder / "class 1")


def test_missing_folder(tmp_path):
    with pytest.raises(ImagesNotFoundError, match=r"no folder or zip '.*missing'"):
        list_images(tmp_path / "missing")
    assert issubclass(ImagesNotFoundError, FileNotFoundError)
    assert issubclass(ImagesNotFoundError, ValueError)


def test_empty_folder(tmp_path):
    (tmp_path / "nothing here").mkdir()
    with pytest.raises(ValueError, match="is empty"):
        list_images(tmp_path)


def test_folder_without_images(tmp_path):
    write(tmp_path / "notes.txt", b"not an image")
    with pytest.raises(ValueError, match=r"no image in folder .*1 files are others, .*notes\.txt"):
        list_images(tmp_path)


def test_images_without_extension_are_found_by_content(tmp_path):
    paths = [write(tmp_path / "a", b"not an image"), write(tmp_path / "b")]
    assert list_images(tmp_path) == paths


def test_single_file_is_neither_folder_nor_zip(tmp_path):
    path = write(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="neither a folder nor a readable zip"):
        list_images(path)


def test_zip_lists_like_the_folder_it_was_made_of(photo_folder, tmp_path):
    entries = {
        str(Path(path).relative_to(photo_folder)): Path(path).read_bytes()
        for path in list_images(photo_folder)
    }
    archive = write_zip(tmp_path / "photos.zip", {**entries, "__MACOSX/x.png": b"", ".h": b""})
    assert list_images(archive) == [f"{archive}/{entry}" for entry in entries]


@pytest.mark.parametrize("entries", [{}, {"folder/": b""}, {".hidden": PNG}])
def test_empty_zip(tmp_path, entries):
    archive = write_zip(tmp_path / "empty.zip", entries)
    with pytest.raises(ValueError, match="is empty"):
        list_images(archive)


def test_zip_without_images(tmp_path):
    archive = write_zip(tmp_path / "texts.zip", {"notes.txt": b"not an image"})
    with pytest.raises(ValueError, match="no image in zip"):
        list_images(archive)


def test_listing_is_silent_and_repeatable(photo_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list_images(photo_folder) == list_images(photo_folder)
    assert write_pictures(photo_folder) == list_images(photo_folder)
