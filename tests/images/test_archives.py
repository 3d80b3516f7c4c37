import pickle
import stat
import zipfile

import numpy as np
import pytest
from image_factory import encoded, picture, write_zip
from numpy.testing import assert_array_equal

from skscan.exceptions import ImageReadError
from skscan.images import archives, as_collection, list_images
from skscan.images.archives import ImageArchive, split_archive_path

PNG = encoded(picture(), "PNG")


def reason_of(archive: ImageArchive, entry: str) -> str:
    with pytest.raises(ImageReadError) as caught:
        archive.read(entry)
    return caught.value.reason


def test_reads_in_place(tmp_path):
    path = write_zip(tmp_path / "photos.zip", {"cats/1.png": PNG})
    before = sorted(tmp_path.rglob("*"))
    images = as_collection(path)
    assert images.names == [f"{path}/cats/1.png"]
    assert_array_equal(np.asarray(images.read(0)), np.asarray(picture()))
    assert sorted(tmp_path.rglob("*")) == before


def test_listed_paths_can_be_picked_from(tmp_path):
    path = write_zip(tmp_path / "photos.zip", {"a.png": b"broken", "b.png": PNG})
    images = as_collection([list_images(path)[1]])
    assert images.read(0).size == (32, 24)


@pytest.mark.parametrize(
    "name",
    ["../1.png", "a/../../1.png", "/etc/1.png", "..\\1.png", "C:\\1.png", "\\\\host\\s\\1.png"],
)
def test_names_that_lead_out_are_refused_one_by_one(tmp_path, name):
    path = write_zip(tmp_path / "evil.zip", {name: PNG, "good.png": PNG})
    archive = ImageArchive(str(path))
    assert len(archive.entries) == 2
    (evil,) = set(archive.entries) - {"good.png"}
    assert reason_of(archive, evil) == "refused: its name leads out of the zip"
    assert archive.read("good.png").size == (32, 24)


def test_links_are_refused(tmp_path):
    path = tmp_path / "link.zip"
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "refused: a link" in reason_of(ImageArchive(str(path)), "link.png")


def test_bombs_are_refused_by_ratio_and_by_size(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "bomb.zip", {"bomb.png": bytes(2**26), "good.png": PNG})
    archive = ImageArchive(str(path))
    assert "times its size, as zip bombs do" in reason_of(archive, "bomb.png")
    monkeypatch.setattr(archives, "_MAX_BYTES", 2**25)
    assert reason_of(archive, "bomb.png") == "refused: unpacks to 64 MiB (at most 32 MiB)"
    assert archive.read("good.png").size == (32, 24)


def test_entry_that_lies_about_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "liar.zip", {"liar.bmp": encoded(picture(), "BMP")})
    content = path.read_bytes()
    # The size before packing, in the central directory at the end of the file.
    at = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + (100).to_bytes(4, "little") + content[at + 4 :])
    assert "damaged in the zip" in reason_of(ImageArchive(str(path)), "liar.bmp")


def test_damaged_entry(tmp_path):
    path = write_zip(tmp_path / "damaged.zip", {"1.png": PNG})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    assert "damaged in the zip" in reason_of(ImageArchive(str(path)), "1.png")


def test_encrypted_entry(tmp_path):
    path = write_zip(tmp_path / "secret.zip", {"1.png": PNG})
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    assert "encrypted" in reason_of(ImageArchive(str(path)), "1.png")


def test_unknown_compression(tmp_path):
    path = write_zip(tmp_path / "odd.zip", {"1.png": PNG})
    content = bytearray(path.read_bytes())
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + method] = 97
    path.write_bytes(content)
    assert "cannot be unpacked" in reason_of(ImageArchive(str(path)), "1.png")


def test_later_entry_of_a_name_supersedes_the_earlier(tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", b"broken")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.png", PNG)
    archive = ImageArchive(str(path))
    assert archive.entries == ["1.png"]
    assert archive.read("1.png").size == (32, 24)


def test_what_is_no_zip(tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(b"PK\x03\x04 and nothing that belongs there")
    with pytest.raises(ValueError, match=r"'.*photos\.zip' is neither a folder nor a readable zip"):
        ImageArchive(str(path))


def test_copies_in_other_processes_open_the_zip_anew(tmp_path):
    archive = ImageArchive(str(write_zip(tmp_path / "photos.zip", {"1.png": PNG})))
    archive.read("1.png")
    assert pickle.loads(pickle.dumps(archive)).read("1.png").size == (32, 24)


def test_missing_entry(tmp_path):
    path = write_zip(tmp_path / "photos.zip", {"1.png": PNG})
    with pytest.raises(ImageReadError, match="not in the zip"):
        as_collection([f"{path}/2.png"]).read(0)


def test_split_archive_path(tmp_path):
    archive = write_zip(tmp_path / "A.ZIP", {"1.png": PNG})
    (tmp_path / "folder.zip").mkdir()
    assert split_archive_path(f"{archive}/b.zip/1.png") == (str(archive), "b.zip/1.png")
    assert split_archive_path(f"{tmp_path}/folder.zip/1.png") is None
    assert split_archive_path("photos/1.png") is None
    nested = write_zip(tmp_path / "folder.zip" / "inner.zip", {"1.png": PNG})
    assert split_archive_path(f"{nested}/1.png") == (str(nested), "1.png")
