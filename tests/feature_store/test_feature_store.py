"""Features on disk: what is written is found again, and damage is no harm."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_factory import encoded, picture, write_pictures, write_zip
from numpy.testing import assert_array_equal

from skscan.exceptions import SkscanWarning
from skscan.feature_store import FeatureStore, image_identities, prune, stored_bytes
from skscan.images import as_collection

WIDTH = 5


def store(folder, key="key", row_shape=(1, WIDTH)):
    return FeatureStore(folder, key, row_shape, {})


def identities(n, seed=0):
    return np.random.RandomState(seed).randint(1, 2**63, (n, 2)).astype(np.uint64)


def rows(n, seed=0):
    return np.random.RandomState(seed).rand(n, 1, WIDTH).astype(np.float32)


def filled(folder, n=20):
    writer = store(folder)
    for start in range(0, n, 8):
        writer.append(identities(n)[start : start + 8], rows(n)[start : start + 8])
    writer.close()
    return next(folder.glob("key/*.features")), next(folder.glob("key/*.index"))


def n_known(folder, n=20):
    return int((store(folder).find(identities(n))[:, 0] >= 0).sum())


def test_rows_are_found_in_any_order(tmp_path):
    filled(tmp_path)
    asked = np.random.RandomState(1).permutation(20)
    reader = store(tmp_path)
    places = reader.find(identities(20)[asked])
    assert_array_equal(reader.read(places), rows(20)[asked])
    assert reader.mapped(places) is None
    in_order = reader.find(identities(20)[3:9])
    assert isinstance(reader.mapped(in_order), np.memmap)
    assert_array_equal(reader.mapped(in_order), rows(20)[3:9])


def test_what_is_new_is_not_found(tmp_path):
    filled(tmp_path)
    mixed = np.concatenate([identities(20), identities(3, seed=1)])
    assert_array_equal(store(tmp_path).find(mixed)[:, 0], [0] * 20 + [-1] * 3)
    assert not list(store(tmp_path / "none").find(mixed)[:, 0] >= 0).count(True)


def test_images_known_by_nothing_are_neither_kept_nor_found(tmp_path):
    nothing = np.zeros((2, 2), dtype=np.uint64)
    writer = store(tmp_path)
    writer.append(nothing, rows(2))
    assert not writer.folder.exists()
    writer.append(np.concatenate([nothing, identities(1)]), rows(3))
    assert_array_equal(writer.find(nothing), -1)
    places = writer.find(identities(1))
    assert_array_equal(writer.read(places), rows(3)[2:])


@pytest.mark.parametrize("lost", [1, 4 * WIDTH, 4 * WIDTH + 3])
def test_features_cut_short(tmp_path, lost):
    features, _ = filled(tmp_path)
    os.truncate(features, features.stat().st_size - lost)
    assert n_known(tmp_path) == 20 - -(-lost // (4 * WIDTH))


@pytest.mark.parametrize(("lost", "left"), [(1, 19), (20, 19), (21, 18)])
def test_index_cut_short(tmp_path, lost, left):
    _, index = filled(tmp_path)
    os.truncate(index, index.stat().st_size - lost)
    assert n_known(tmp_path) == left


def test_a_damaged_row_is_not_known(tmp_path):
    features, _ = filled(tmp_path)
    content = bytearray(features.read_bytes())
    content[4 * WIDTH * 7 + 2] ^= 1
    features.write_bytes(content)
    assert_array_equal(np.flatnonzero(store(tmp_path).find(identities(20))[:, 0] < 0), [7])


def test_a_row_without_a_record_is_not_known(tmp_path):
    """As a kill between the two leaves it; the next process writes a shard of its own."""
    _, index = filled(tmp_path)
    os.truncate(index, index.stat().st_size - 20 * 5)
    later = store(tmp_path)
    missing = later.find(identities(20))[:, 0] < 0
    later.append(identities(20)[missing], rows(20)[missing])
    assert n_known(tmp_path) == 20
    assert_array_equal(later.read(later.find(identities(20))), rows(20))


@pytest.mark.parametrize("name", ["features", "index"])
def test_a_missing_or_empty_file(tmp_path, name):
    path = dict(zip(["features", "index"], filled(tmp_path), strict=True))[name]
    path.write_bytes(b"")
    assert n_known(tmp_path) == 0
    path.unlink()
    assert n_known(tmp_path) == 0


def test_another_store_is_told_of_and_not_used(tmp_path):
    filled(tmp_path)
    shutil.copytree(tmp_path / "key", tmp_path / "other")
    for other in (store(tmp_path, "other"), store(tmp_path, row_shape=(1, 4))):
        with pytest.warns(SkscanWarning, match=r"of another extractor, size or version"):
            assert_array_equal(other.find(identities(20)), -1)


def test_a_file_that_is_no_index(tmp_path):
    _, index = filled(tmp_path)
    index.write_bytes(b"something else altogether")
    with pytest.warns(SkscanWarning, match="not written by this version.* has been removed"):
        assert n_known(tmp_path) == 0
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["about.json"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told of once
        assert n_known(tmp_path) == 0


def test_a_file_that_cannot_be_removed_is_told_of_again(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    _, index = filled(tmp_path)
    index.write_bytes(b"something else altogether")
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    for _ in range(2):
        with pytest.warns(SkscanWarning, match="cannot be used .* Delete it"):
            assert n_known(tmp_path) == 0


def test_two_writers_at_once(tmp_path):
    first, second = store(tmp_path), store(tmp_path)
    for start in range(0, 20, 4):
        some = slice(start, start + 4)
        (first if start % 8 else second).append(identities(20)[some], rows(20)[some])
    reader = store(tmp_path)
    assert_array_equal(reader.read(reader.find(identities(20))), rows(20))


def test_a_full_disk(tmp_path, monkeypatch):
    writer = store(tmp_path)
    writer.append(identities(20)[:8], rows(20)[:8])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("skscan.feature_store.shards._write", full)
    with pytest.warns(SkscanWarning, match="No space left on device"):
        writer.append(identities(20)[8:16], rows(20)[8:16])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.append(identities(20)[16:], rows(20)[16:])
    assert n_known(tmp_path) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_file_that_may_not_grow(tmp_path):
    """The system takes a part of a row only."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = store(tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * WIDTH * 10 + 7, limits[1]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for start in range(0, 20, 4):
                writer.append(identities(20)[start : start + 4], rows(20)[start : start + 4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [warning.category for warning in caught] == [SkscanWarning]
    assert 0 < n_known(tmp_path) <= 10


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "key").write_text("a file")
    with pytest.warns(SkscanWarning, match="could not be kept"):
        store(tmp_path).append(identities(1), rows(1))


WRITES_UNTIL_KILLED = """
import sys
import numpy as np
from skscan.feature_store import FeatureStore
store = FeatureStore(sys.argv[1], "key", (1, 5), {})
identities = np.random.RandomState(0).randint(1, 2**63, (100_000, 2)).astype(np.uint64)
for i in range(100_000):
    store.append(identities[i : i + 1], np.full((1, 1, 5), i, dtype=np.float32))
    print(i, flush=True)
"""


def test_what_a_killed_process_wrote_is_known(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, tmp_path], stdout=subprocess.PIPE
    )
    written = [int(process.stdout.readline()) for _ in range(200)][-1]
    process.kill()
    process.communicate()
    reader = store(tmp_path)
    places = reader.find(identities(100_000))
    known = np.flatnonzero(places[:, 0] >= 0)
    assert len(known) > written
    assert_array_equal(reader.read(places[known])[:, 0, 0], known)


def test_pruning_drops_what_was_not_used_for_longest(tmp_path):
    for number, key in enumerate("abc"):
        writer = store(tmp_path, key)
        writer.append(identities(20), rows(20))
        for path in (tmp_path / key).glob("*.index"):
            os.utime(path, (time.time() - 10_000 * (3 - number),) * 2)
    one = stored_bytes(tmp_path) // 3
    store(tmp_path, "a").find(identities(20))  # used a moment ago
    assert prune(tmp_path, 2 * one) == one
    assert [n for n in "abc" if list((tmp_path / n).glob("*.features"))] == ["a", "c"]
    assert prune(tmp_path, 0) == one
    assert list((tmp_path / "a").glob("*.features"))  # in use


class TestIdentities:
    def test_files(self, tmp_path, monkeypatch):
        paths = write_pictures(tmp_path / "photos", 4)
        before = image_identities(as_collection(paths))
        assert before.shape == (4, 2)
        assert len({tuple(row) for row in before}) == 4
        picture(9).save(paths[1])
        os.utime(paths[2], (1, 1))
        after = image_identities(as_collection(paths))
        assert_array_equal((before != after).any(axis=1), [False, True, True, False])
        monkeypatch.chdir(tmp_path)
        relative = [os.path.relpath(path) for path in paths]
        assert_array_equal(image_identities(as_collection(relative)), after)

    def test_a_zip_that_grows(self, tmp_path):
        entries = {f"{i}.png": encoded(picture(i), "PNG") for i in range(3)}
        path = write_zip(tmp_path / "photos.zip", entries)
        before = image_identities(as_collection(path))
        entries |= {"1.png": encoded(picture(7), "PNG"), "3.png": encoded(picture(3), "PNG")}
        write_zip(path, entries)
        after = image_identities(as_collection(path))
        assert_array_equal((before == after[:3]).all(axis=1), [True, False, True])

    def test_content(self):
        pixels = np.stack([np.asarray(picture(i)) for i in range(3)])
        found = image_identities(as_collection(pixels))
        assert_array_equal(image_identities(as_collection(pixels[::-1])), found[::-1])
        pixels[1, 0, 0, 0] ^= 1
        changed = image_identities(as_collection(pixels))
        assert_array_equal((found == changed).all(axis=1), [True, False, True])

    def test_unreadable_images_are_known_by_nothing(self, tmp_path):
        images = as_collection([picture(0), str(tmp_path / "none.png")])
        assert_array_equal(image_identities(images).any(axis=1), [True, False])


def test_the_folder_says_what_it_holds(tmp_path):
    writer = FeatureStore(tmp_path, "key", (1, WIDTH), {"extractor": "Mine"})
    writer.append(identities(1), rows(1))
    assert '"extractor": "Mine"' in Path(tmp_path / "key" / "about.json").read_text()
