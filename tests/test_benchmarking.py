"""What `skscan bench` measures, and what it says of it."""

import json

import numpy as np
import pytest
from PIL import Image

from skscan import benchmarking
from skscan.benchmarking import (
    MAX_PLANNED,
    BenchmarkResult,
    Stage,
    generated_images,
    measure,
    sampled,
)
from skscan.exceptions import ImageReadError
from skscan.neighbors import EXACT_LIMIT

STAGES = [
    *("decoding", "network", "extraction", "mining"),
    *("heads", "self-labelling", "scaling and evidence", "report"),
]


def result_with(**changes):
    """A machine where the network takes most of the time and waits for nothing."""
    seconds = {"extraction": 50.0, "mining": 1.0, "heads": 2.0, "report": 3.0}
    seconds |= changes.pop("seconds", {})
    rate = changes.pop("extraction", 190.0)
    stages = [
        Stage("decoding", 900.0, "images/s", 1800.0, "", None),
        Stage("network", 200.0, "images/s", 200.0, "", None),
        Stage("extraction", rate, "images/s", 200.0, "network alone", seconds.pop("extraction")),
        *(Stage(name, 1.0, "images/s", None, "", value) for name, value in seconds.items()),
    ]
    given = {
        "n_images": 10_000,
        "n_sampled": 100,
        "n_cores": 2,
        "gflops": 50.0,
        "share_waiting": 0.0,
        "stages": stages,
        "engines": {"torch": 100.0, "onnx": 200.0},
        "engine": "onnx",
    }
    return BenchmarkResult(**{**given, **changes})


@pytest.fixture(scope="module")
def measured():
    with generated_images(40) as paths, pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarking, "N_SAMPLES", 300)
        patch.setattr(benchmarking, "_SECONDS_OF_ROUND", 0.01)
        return measure(paths, 1000, image_size=32)


def test_every_stage_has_a_rate(measured):
    assert [stage.name for stage in measured.stages] == STAGES
    assert all(stage.rate > 0 for stage in measured.stages)
    assert sum(measured.shares.values()) == pytest.approx(1)
    extraction = measured.stages[2]
    assert extraction.seconds == pytest.approx(1000 / extraction.rate)
    assert measured.engine in measured.engines
    assert measured.gflops > 0.1
    json.dumps(measured.to_dict(), allow_nan=False)


def test_mining_grows_with_the_square_and_heads_with_the_images():
    stages, _ = benchmarking._sorting(2 * benchmarking.N_SAMPLES, 3, gflops=1.0)
    rates = {stage.name: stage for stage in stages}
    n = benchmarking.N_SAMPLES
    work = 2e-9 * (2 * n) ** 2 * benchmarking.N_FEATURES
    assert rates["mining"].seconds == pytest.approx(work / rates["mining"].rate)
    assert rates["heads"].seconds == pytest.approx(2 * n / rates["heads"].rate)


def test_generated_images_are_files_that_go():
    with generated_images(3) as paths:
        sizes = [Image.open(path).size for path in paths]
        first, second = (np.asarray(Image.open(path)) for path in paths[:2])
    assert sizes == [(320, 240)] * 3
    assert (first != second).any()
    with pytest.raises(FileNotFoundError):
        Image.open(paths[0])


def test_the_sample_is_spread_over_all():
    paths = [str(i) for i in range(101)]
    assert sampled(paths, 3) == ["0", "50", "100"]
    assert sampled(paths, 1000) == paths
    assert sampled(paths[:1], 5) == ["0"]


def test_unreadable_images_are_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match="none of the 1 images"):
        measure([str(tmp_path / "a.jpg")], MAX_PLANNED, image_size=32)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "torch"}, "--tune"),
        ({"extraction": 60.0}, "60 images/s where network alone makes 200"),
        ({"share_waiting": 0.3}, "--jobs 2"),
        ({"seconds": {"heads": 100.0}}, "--effort fast"),
        ({"seconds": {"report": 100.0}}, "--no-report"),
        ({}, "--image-size 96"),
    ],
)
def test_what_to_change_follows_from_what_was_measured(changes, said):
    advice = benchmarking._advice(result_with(**changes), 128, None)
    assert any(said in line for line in advice)
    ordinary = benchmarking._advice(result_with(), 128, None)
    assert said == "--image-size 96" or not any(said in line for line in ordinary)


def test_times_are_scaled_as_far_as_neighbors_are_mined_exactly():
    assert MAX_PLANNED == EXACT_LIMIT
