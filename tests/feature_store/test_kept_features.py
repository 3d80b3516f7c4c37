"""Features that a memory keeps: of extractors, of estimators and of commands."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_factory import encoded, picture, pixel_arrays, write_pictures, write_zip
from numpy.testing import assert_array_equal

from skscan import (
    DefaultFeatureExtractor,
    JoinedFeatureExtractor,
    PixelFeatureExtractor,
    SCANClusterer,
    TimmFeatureExtractor,
)
from skscan.exceptions import SkippedImagesWarning, SkscanWarning
from skscan.images.batches import load
from skscan.images.recognition import as_collection


@pytest.fixture
def computed(monkeypatch):
    """Number of images that pixels are computed for, by side."""
    counts: dict[int, int] = {}
    original = PixelFeatureExtractor._compute

    def counting(self):
        compute = original(self)

        def count(pixels):
            counts[self.image_size] = counts.get(self.image_size, 0) + len(pixels)
            return compute(pixels)

        return count

    monkeypatch.setattr(PixelFeatureExtractor, "_compute", counting)
    return counts


def make(**params):
    defaults = {"feature_extractor": PixelFeatureExtractor(image_size=8), "effort": "fast"}
    return SCANClusterer(2, random_state=0, **{**defaults, **params})


def test_only_new_and_changed_images_are_computed(tmp_path, computed):
    paths = write_pictures(tmp_path / "photos", 30)
    clusterer = make(memory=str(tmp_path / "memory")).fit(paths)
    assert computed == {8: 30}
    assert_array_equal(clusterer.predict(paths), clusterer.labels_)
    assert computed == {8: 30}
    picture(50).save(paths[3])
    os.utime(paths[3], (1, 1))
    picture(51).save(tmp_path / "photos" / "new.png")
    more = [*paths, str(tmp_path / "photos" / "new.png")]
    again = make(memory=str(tmp_path / "memory")).fit(more)
    assert computed == {8: 32}
    assert_array_equal(again.labels_, make().fit(more).labels_)


def test_arrays_and_entries_of_zips_are_known_too(tmp_path, computed):
    pixels = pixel_arrays(8)
    extractor = PixelFeatureExtractor(8)
    extractor.extract(pixels, memory=tmp_path / "memory")
    found, _ = extractor.extract(pixels[::-1], memory=tmp_path / "memory")
    assert computed == {8: 8}
    assert_array_equal(found, extractor.transform(pixels)[::-1])
    entries = {f"{i}.png": encoded(picture(i), "PNG") for i in range(4)}
    for n in (3, 4):
        path = write_zip(tmp_path / "photos.zip", dict(list(entries.items())[:n]))
        computed.clear()
        extractor.extract(path, memory=tmp_path / "memory")
        assert computed == {8: 3 if n == 3 else 1}


def test_other_parameters_are_another_store(tmp_path, computed):
    pixels = pixel_arrays(4)
    memory = tmp_path / "memory"
    grey, _ = PixelFeatureExtractor(8).extract(pixels, memory=memory)
    colours, _ = PixelFeatureExtractor(8, channels="rgb").extract(pixels, memory=memory)
    assert (grey.shape, colours.shape) == ((4, 64), (4, 192))
    PixelFeatureExtractor(8, batch_size=2, n_jobs=1).extract(pixels, memory=memory)
    assert computed == {8: 8}


def test_unreadable_images_are_looked_at_again(tmp_path, computed):
    paths = write_pictures(tmp_path / "photos", 4)
    whole = Path(paths[1]).read_bytes()
    status = os.stat(paths[1])
    with open(paths[1], "r+b") as file:
        file.write(bytes(60))
    for _ in range(2):
        with pytest.warns(SkippedImagesWarning, match="1 of 4"):
            PixelFeatureExtractor(8).extract(paths, memory=tmp_path / "memory")
    Path(paths[1]).write_bytes(whole)  # as if a disk had failed for a moment
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    features, skipped = PixelFeatureExtractor(8).extract(paths, memory=tmp_path / "memory")
    assert skipped == []
    assert np.isfinite(features).all()


def test_a_network_and_its_views_are_kept(tmp_path):
    paths = write_pictures(tmp_path / "photos", 5)
    extractor = TimmFeatureExtractor(image_size=32, n_views=2, batch_size=2, device="cpu")
    expected, each = extractor.transform(paths), extractor.extract_views(paths)[0]
    extractor.extract(paths[:3], memory=tmp_path / "memory")
    found, _ = extractor.extract(paths, memory=tmp_path / "memory")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    views, _ = extractor.extract_views(paths, memory=tmp_path / "memory")
    np.testing.assert_allclose(views, each, atol=1e-5)
    assert_array_equal(views.mean(axis=1), found)


def test_the_choice_of_a_representation_is_kept_with_it(tmp_path, monkeypatch):
    paths = write_pictures(tmp_path / "photos", 4)
    clusterer = make(feature_extractor="default", memory=str(tmp_path / "memory")).fit(paths)
    monkeypatch.setattr(DefaultFeatureExtractor, "_read", None)
    again = make(feature_extractor="default", memory=str(tmp_path / "memory")).fit(paths)
    assert again.feature_extractor_.reason_ == clusterer.feature_extractor_.reason_
    assert_array_equal(again.labels_, clusterer.labels_)


def test_a_full_disk_costs_nothing_but_the_store(tmp_path, monkeypatch):
    pixels = pixel_arrays(6)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("skscan.feature_store.shards._write", full)
    extractor = PixelFeatureExtractor(8, batch_size=2)
    with pytest.warns(SkscanWarning, match="the work goes on without") as caught:
        features, _ = extractor.extract(pixels, memory=tmp_path)
    assert len(caught) == 1
    assert_array_equal(features, extractor.transform(pixels))


SLOW_EXTRACTION = """
import sys, time
from skscan import PixelFeatureExtractor

class Slow(PixelFeatureExtractor):
    def _compute(self):
        compute = super()._compute()
        def slowly(pixels):
            time.sleep(0.05)
            return compute(pixels)
        return slowly

Slow.__module__, Slow.__qualname__ = PixelFeatureExtractor.__module__, "PixelFeatureExtractor"
Slow(8, batch_size=2).extract(sys.argv[1], memory=sys.argv[2])
"""


def test_a_killed_extraction_goes_on(tmp_path, computed):
    write_pictures(tmp_path / "photos", 200)
    arguments = [tmp_path / "photos", tmp_path / "memory"]
    process = subprocess.Popen([sys.executable, "-c", SLOW_EXTRACTION, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while sum(file.stat().st_size for file in arguments[1].glob("features/*/*.index")) < 20 * 20:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    features, _ = PixelFeatureExtractor(8).extract(arguments[0], memory=arguments[1])
    assert 0 < computed[8] <= 200 - 19
    assert_array_equal(features, PixelFeatureExtractor(8).transform(arguments[0]))


def test_extractors_decode_once(tmp_path, monkeypatch):
    paths = write_pictures(tmp_path / "photos", 6)
    sides = []
    collection = type(as_collection(paths))
    original = collection.read

    def noting(self, i, min_side=None):
        sides.append(min_side)
        return original(self, i, min_side)

    pair = JoinedFeatureExtractor([PixelFeatureExtractor(20), PixelFeatureExtractor(16)])
    expected = pair.fit_transform(paths)
    monkeypatch.setattr(collection, "read", noting)
    clusterer = make(feature_extractor=pair).fit(paths)
    assert sides == [20] * 6
    assert clusterer.feature_extractor_.widths_ == (400, 256)
    assert expected.shape == (6, 656)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("height", [60, 300])
def test_pixels_at_several_sides_are_those_of_each(tmp_path, file_format, height):
    paths = []
    for i in range(5):
        paths.append(str(tmp_path / f"{i}.{file_format.lower()}"))
        picture(i, height, 2 * height).save(paths[-1])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    images = as_collection([*paths[:2], str(tmp_path / "bad.png"), *paths[2:]])
    batch = load(images, (64, 30, 16), range(6))
    assert len(batch.skipped) == 1
    for side in (64, 30, 16):
        alone = load(images, side, range(6))
        assert_array_equal(batch.pixels_of(side), alone.pixels)
        assert_array_equal(batch.rows, alone.rows)


def test_what_lies_in_one_file_is_mapped(tmp_path, monkeypatch):
    pixels = pixel_arrays(12)
    extractor = PixelFeatureExtractor(8)
    expected, _ = extractor.extract(pixels, memory=tmp_path)
    monkeypatch.setattr("skscan.extractors.passes._MAX_BYTES_IN_MEMORY", 100)
    found, _ = extractor.extract(pixels, memory=tmp_path)
    assert isinstance(found, np.memmap)
    assert found.filename is not None
    assert_array_equal(found, expected)


def test_a_store_that_is_gone_is_made_anew(tmp_path):
    pixels = pixel_arrays(4)
    expected, _ = PixelFeatureExtractor(8).extract(pixels, memory=tmp_path)
    shutil.rmtree(tmp_path / "features")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _ = PixelFeatureExtractor(8).extract(pixels, memory=tmp_path)
    assert_array_equal(found, expected)
