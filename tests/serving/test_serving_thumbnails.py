"""Thumbnails are kept, but not without end."""

from concurrent.futures import ThreadPoolExecutor

from image_factory import pixel_arrays

from skscan.images import as_collection
from skscan.report.thumbnails import make_thumbnail
from skscan.serving.thumbnails import ThumbnailCache


def counting(monkeypatch):
    made = []

    def make(images, number):
        made.append(number)
        return make_thumbnail(images, number)

    monkeypatch.setattr("skscan.serving.thumbnails.make_thumbnail", make)
    return made


def test_a_thumbnail_is_made_once(monkeypatch):
    made = counting(monkeypatch)
    images = as_collection(pixel_arrays(5))
    cache = ThumbnailCache(images)
    assert [cache.get(3) for _ in range(3)] == [make_thumbnail(images, 3)] * 3
    assert made == [3]


def test_what_was_asked_for_last_is_kept(monkeypatch):
    made = counting(monkeypatch)
    images = as_collection(pixel_arrays(4))
    sizes = [len(make_thumbnail(images, number)) for number in range(4)]
    cache = ThumbnailCache(images, max_bytes=sum(sizes[:3]))
    for number in (0, 1, 2, 0, 3):  # 1 has to go, and 2 if 3 is large
        cache.get(number)
        assert cache.n_bytes <= sum(sizes[:3])
    assert made == [0, 1, 2, 3]
    cache.get(3)
    cache.get(0)
    assert made == [0, 1, 2, 3]
    cache.get(1)
    assert made == [0, 1, 2, 3, 1]


def test_one_that_is_larger_than_all_memory_is_still_given():
    cache = ThumbnailCache(as_collection(pixel_arrays(2)), max_bytes=1)
    assert cache.get(0) is not None
    assert cache.n_bytes == 0


def test_numbers_outside_of_the_collection_are_nothing():
    cache = ThumbnailCache(as_collection(pixel_arrays(2)))
    assert [cache.get(number) for number in (-1, 2, 10**20)] == [None] * 3


def test_many_threads_get_the_same(monkeypatch):
    images = as_collection(pixel_arrays(20))
    cache = ThumbnailCache(images, max_bytes=5_000)
    wanted = list(range(20)) * 20
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(cache.get, wanted))
    right = [make_thumbnail(images, number) for number in range(20)]
    assert found == [right[number] for number in wanted]
    assert cache.n_bytes <= 5_000
