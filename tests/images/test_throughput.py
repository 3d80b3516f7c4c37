import io
import time

import numpy as np
import pytest
from image_factory import pixel_arrays, write_pictures

from skscan import PixelFeatureExtractor
from skscan.images import as_collection
from skscan.images.collection import ArrayImages
from skscan.images.loading import iter_batches
from skscan.images.throughput import LoadingStatistics, record_loading


class Slow(ArrayImages):
    """Images that take their time to be read."""

    def read(self, i, min_side=None):
        time.sleep(0.02)
        return super().read(i, min_side)


def test_everything_that_is_handed_over_is_counted(tmp_path):
    paths = write_pictures(tmp_path, 9)
    (tmp_path / "empty.png").write_bytes(b"")
    statistics = LoadingStatistics()
    images = as_collection([*paths, str(tmp_path / "empty.png")])
    list(iter_batches(images, 16, 4, statistics=statistics))
    assert (statistics.n_images, statistics.n_skipped) == (10, 1)
    assert statistics.n_bytes == 9 * 16 * 16 * 3
    assert statistics.seconds_decoding > 0
    assert 0 < statistics.seconds_waiting <= statistics.seconds
    assert statistics.images_per_second == pytest.approx(10 / statistics.seconds)


def test_nothing_was_loaded_yet():
    assert str(LoadingStatistics()) == "0 images/s, waiting 0%"


def test_a_slow_source_is_waited_for():
    statistics = LoadingStatistics()
    list(iter_batches(Slow(pixel_arrays(10)), 16, 2, statistics=statistics))
    assert statistics.share_waiting > 0.9
    assert statistics.seconds > 0.15


def test_a_slow_user_waits_little():
    statistics = LoadingStatistics()
    for _ in iter_batches(as_collection(pixel_arrays(10)), 16, 2, statistics=statistics):
        time.sleep(0.2)
    assert statistics.share_waiting < 0.3
    assert statistics.seconds > 0.99


def test_leaving_early_keeps_what_was_counted():
    statistics = LoadingStatistics()
    batches = iter_batches(as_collection(pixel_arrays(10)), 16, 2, statistics=statistics)
    next(batches)
    time.sleep(0.05)
    batches.close()
    assert statistics.n_images == 2
    assert statistics.seconds - statistics.seconds_waiting > 0.04


def test_records_hold_what_is_loaded_within_them():
    extractor = PixelFeatureExtractor()
    images = pixel_arrays(4)
    with record_loading() as both:
        extractor.transform(images)
        with record_loading() as second:
            extractor.transform(images[:3])
    extractor.transform(images)
    assert (both.n_images, second.n_images) == (7, 3)


def test_waiting_is_shown_while_features_are_extracted(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    PixelFeatureExtractor(verbose=1).transform(np.zeros((3, 8, 8), dtype=np.uint8))
    last = log.getvalue().splitlines()[-1]
    assert "3/3" in last
    assert "img/s, waiting for input " in last
    assert last.endswith("%]")
