"""Thumbnails: made while images are decoded, kept in one file, and read instead of the images."""

import io
import os
import pickle
import threading
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from skscan.exceptions import ImageReadError, SkscanWarning
from skscan.images.collection import FileImages
from skscan.images.subset import subset
from skscan.report.remembering import RememberingImages
from skscan.report.thumbnail_store import ThumbnailStore
from skscan.report.thumbnail_store import thumbnail_keys as keys_of_images
from skscan.report.thumbnails import SIDE, encode_thumbnail, make_thumbnail


@pytest.fixture
def store(tmp_path):
    store = ThumbnailStore(tmp_path / "cache" / "thumbnails.sqlite")
    yield store
    store.close()


@pytest.fixture
def pictures(tmp_path):
    """Five pictures of several sizes, as paths."""
    random = np.random.RandomState(0)
    paths = []
    for number, (width, height) in enumerate([(400, 300), (300, 400), (128, 90), (40, 20), (8, 8)]):
        small = random.randint(0, 255, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        paths.append(str(tmp_path / f"{number}.png"))
        image.save(paths[-1])
    return paths


def thumbnail_keys(paths):
    return keys_of_images(FileImages(paths))


def opened(thumbnail):
    return Image.open(io.BytesIO(thumbnail))


@pytest.mark.parametrize(
    ("size", "expected"), [((400, 300), (SIDE, 96)), ((90, 128), (90, 128)), ((8, 8), (8, 8))]
)
def test_the_longer_side_is_cut_down_and_small_images_stay(size, expected):
    image = Image.new("RGB", size, (200, 40, 90))
    thumbnail = opened(encode_thumbnail(image))
    assert thumbnail.size == expected
    assert image.size == size
    assert thumbnail.format == "JPEG"
    assert np.abs(np.asarray(thumbnail, dtype=int) - (200, 40, 90)).max() <= 4


def test_small_images_lose_next_to_nothing():
    pixels = np.random.RandomState(0).randint(0, 255, (32, 32, 3), dtype=np.uint8)
    found = np.asarray(opened(encode_thumbnail(Image.fromarray(pixels))), dtype=int)
    assert np.abs(found - pixels).mean() < 3


def test_reading_leaves_the_thumbnail_that_the_report_would_make(pictures, store):
    images = RememberingImages(pictures, store)
    for row in range(len(pictures)):
        image = images.read(row, min_side=SIDE)
        plain = FileImages(pictures).read(row, min_side=SIDE)
        assert np.array_equal(np.asarray(image), np.asarray(plain))
    images.flush()
    kept = store.get(thumbnail_keys(pictures))
    made = [make_thumbnail(FileImages(pictures), row) for row in range(len(pictures))]
    assert [kept[key] for key in thumbnail_keys(pictures)] == made


def test_images_are_not_read_again(pictures, store, monkeypatch):
    images = RememberingImages(pictures, store)
    first = list(images.thumbnails([4, 0, 2]))
    images.read(1, min_side=SIDE)

    def refuse(self, path, min_side=None):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(FileImages, "read_path", refuse)
    again = RememberingImages(pictures, ThumbnailStore(store.path))
    images.flush()
    assert list(again.thumbnails([4, 0, 2])) == first
    assert opened(next(again.thumbnails([1]))).size == (96, SIDE)
    assert again.small().read(0, min_side=120).size == (SIDE, 96)


def test_what_was_decoded_for_smaller_pictures_is_no_thumbnail(tmp_path, store):
    """A JPEG is decoded straight to a smaller size: too small a one, here."""
    path = str(tmp_path / "large.jpg")
    Image.new("RGB", (256, 256), "red").save(path)
    images = RememberingImages([path], store)
    assert images.read(0, min_side=32).size == (32, 32)
    images.flush()
    assert store.get(thumbnail_keys([path])) == {}
    assert opened(next(images.thumbnails([0]))).size == (SIDE, SIDE)


def test_unreadable_images_have_none(pictures, store, tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    images = RememberingImages(pictures, store)
    with pytest.raises(ImageReadError):
        images.read(1, min_side=SIDE)
    found = list(images.thumbnails(range(5)))
    assert [thumbnail is None for thumbnail in found] == [False, True, False, False, False]


def test_changed_images_have_new_keys(pictures, tmp_path):
    before = thumbnail_keys(pictures)
    assert len(set(before)) == 5
    Image.new("RGB", (50, 50)).save(pictures[2])
    os.utime(pictures[3], ns=(1, 1))
    (tmp_path / "4.png").unlink()
    after = thumbnail_keys(pictures)
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        *(True, True),
        *(False, False, False),
    ]


def test_paths_mean_the_same_from_everywhere(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert thumbnail_keys([os.path.basename(path) for path in pictures]) == thumbnail_keys(pictures)


def test_images_in_a_zip_keep_their_keys_when_others_come(pictures, tmp_path, store):
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pictures[:4]:
            file.write(path, os.path.basename(path))
    paths = [f"{archive}/{i}.png" for i in range(4)]
    before = thumbnail_keys(paths)
    assert len(set(before)) == 4
    with zipfile.ZipFile(archive, "a") as file:
        file.write(pictures[4], "4.png")
    assert thumbnail_keys(paths) == before
    assert opened(next(RememberingImages(paths, store).thumbnails([0]))).size == (SIDE, 96)
    assert thumbnail_keys([*paths, f"{archive}/none.png"])[4] == b""


def test_copies_in_other_processes_write_to_the_same_store(pictures, store):
    copy = pickle.loads(pickle.dumps(RememberingImages(pictures, store)))
    copy.read(0, min_side=SIDE)
    copy.flush()
    assert set(store.get(thumbnail_keys(pictures))) == set(thumbnail_keys(pictures[:1]))


def test_a_part_of_the_images_leaves_thumbnails_too(pictures, store):
    images = RememberingImages(pictures, store)
    part = subset(images, np.array([3, 1]))
    assert part.names == [pictures[3], pictures[1]]
    part.read(1, min_side=SIDE)
    images.flush()
    assert set(store.get(thumbnail_keys(pictures))) == set(thumbnail_keys(pictures[1:2]))


def test_many_may_write_at_once(store):
    def write(number):
        own = ThumbnailStore(store.path)
        for i in range(20):
            own.put([(bytes([number, i]), bytes([i] * 100))])
        own.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.get([bytes([n, i]) for n in range(4) for i in range(20)])) == 80


def test_the_oldest_go_first(store):
    store.put([(bytes([i]), os.urandom(50_000)) for i in range(40)])
    store.prune(10**7)
    assert len(store.get([bytes([i]) for i in range(40)])) == 40
    store.prune(500_000)
    assert set(store.get([bytes([i]) for i in range(40)])) == {bytes([i]) for i in range(30, 40)}


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"this is no database" * 100),
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "overwritten": lambda path: path.write_bytes(
        path.read_bytes()[:4096].ljust(path.stat().st_size, b"x")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("method", ["get", "put", "prune"])
def test_a_damaged_store_is_put_aside_and_begun_anew(damage, method, tmp_path, pictures):
    path = tmp_path / "thumbnails.sqlite"
    first = ThumbnailStore(path)
    first.put([(bytes([i]), os.urandom(50_000)) for i in range(20)])
    first.close()
    DAMAGES[damage](path)
    damaged = path.read_bytes()
    arguments = {
        "get": [[bytes([i]) for i in range(20)]],
        "put": [[(bytes([i]), b"image") for i in range(20)]],
        "prune": [500_000],
    }[method]
    store = ThumbnailStore(path)
    with pytest.warns(SkscanWarning, match=r"sqlite' are damaged .* put aside") as told:
        getattr(store, method)(*arguments)
    assert len(told) == 1
    assert "Make room" not in str(told[0].message)
    assert (tmp_path / "thumbnails.sqlite.damaged").read_bytes() == damaged
    with warnings.catch_warnings(action="error"):
        made = list(RememberingImages(pictures, store).thumbnails(range(5)))
        store.close()
        again = ThumbnailStore(path)
        assert list(again.get(thumbnail_keys(pictures)).values())
        assert list(RememberingImages(pictures, again).thumbnails(range(5))) == made
    again.close()


def test_two_that_find_the_same_damage_begin_one_new_store(tmp_path):
    path = tmp_path / "thumbnails.sqlite"
    keys = [bytes([i]) for i in range(20)]
    one, other = ThumbnailStore(path), ThumbnailStore(path)
    one.put([(key, os.urandom(50_000)) for key in keys])
    one.close()
    other.get(keys[:1])
    DAMAGES["overwritten"](path)
    with pytest.warns(SkscanWarning, match="damaged"):
        one.put([(b"new", b"image")])
    with warnings.catch_warnings(action="error"):
        other.get(keys)
        assert other.get([b"new"]) == {b"new": b"image"}
    one.close()
    other.close()


def test_a_store_that_cannot_be_used_is_told_of_once_and_stops_nothing(tmp_path, pictures):
    store = ThumbnailStore(tmp_path)  # a folder
    images = RememberingImages(pictures, store)
    with pytest.warns(SkscanWarning, match=r"cannot be kept in .* read and written to") as told:
        found = [list(images.thumbnails(range(5))) for _ in range(2)]
    assert all(found[0])
    assert len(told) == 1


def test_a_full_disk_has_its_own_advice(tmp_path, pictures, monkeypatch):
    store = ThumbnailStore(tmp_path / "thumbnails.sqlite")
    store.put([(b"key", b"image")])
    store._open().execute("PRAGMA max_page_count = 4")  # SQLite then says that the disk is full
    with pytest.warns(SkscanWarning, match=r"full\).* Make room there\."):
        store.put([(b"large", bytes(100_000))])
    store.close()
    assert all(RememberingImages(pictures, store).thumbnails(range(5)))
