"""``skscan extract`` by several workers, and part by part on several machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skscan.cli import workers
from skscan.cli.shard import Shard

PIXELS = ["--backbone", "pixels"]


def extracted(run, target):
    assert run.exit_code == 0, run.stderr
    return np.load(target)


@pytest.fixture(scope="module")
def expected(shared_digits):
    from skscan import PixelFeatureExtractor
    from skscan.images import list_images

    return PixelFeatureExtractor().transform(list_images(shared_digits))


def do_shards(skscan, folder, memory, numbers):
    for number in numbers:
        run = skscan("extract", folder, "--memory", memory, "--shard", f"{number}/3", *PIXELS)
        assert run.exit_code == 0, run.stderr
        assert f"part {number} of 3 of 200" in run.stdout


def test_parts_and_what_puts_them_together(skscan, shared_digits, expected, tmp_path, monkeypatch):
    memory, target = tmp_path / "memory", tmp_path / "features.npy"
    do_shards(skscan, shared_digits, memory, [2, 1, 3])
    assert len(list(memory.glob("features/*/*.index"))) == 3
    monkeypatch.setattr("skscan.extractors.pixels.PixelFeatureExtractor._compute", None)
    run = skscan("extract", shared_digits, "--memory", memory, "-o", target, *PIXELS)
    assert_array_equal(extracted(run, target), expected)
    assert "features of 200 of 200 images are known" in run.stderr


def test_a_part_that_is_missing_and_one_that_is_damaged(skscan, shared_digits, expected, tmp_path):
    memory, target = tmp_path / "memory", tmp_path / "features.npy"
    do_shards(skscan, shared_digits, memory, [1, 3])
    kept = sorted(memory.glob("features/*/*.features"))[0]
    content = bytearray(kept.read_bytes())
    content[40] ^= 1
    kept.write_bytes(content)
    command = ["extract", shared_digits, "--memory", memory, "-o", target, *PIXELS]
    # as the user sees it
    run = subprocess.run(
        [sys.executable, "-m", "skscan", *map(str, command)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert_array_equal(np.load(target), expected)
    assert "Damaged features" in run.stderr
    assert "features of 132 of 200 images are known" in run.stderr


def test_workers(skscan, shared_digits, expected, tmp_path):
    target = tmp_path / "features.npy"
    run = skscan(
        *("extract", shared_digits, "-o", target, "--memory", tmp_path / "memory"),
        *("--workers", 2, "--json", "--quiet", *PIXELS),
    )
    assert_array_equal(extracted(run, target), expected)
    assert json.loads(run.stdout)["n_images"] == 200
    assert len(list(tmp_path.glob("memory/features/*/*.index"))) >= 2


@pytest.mark.slow
def test_workers_of_dask(shared_digits, expected, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster:
        check_workers_of(cluster.scheduler_address, shared_digits, expected, tmp_path)


@pytest.mark.slow
def test_workers_of_ray(shared_digits, expected, tmp_path):
    engine = pytest.importorskip("ray", reason="Ray is not installed")
    path = str(Path(workers.__file__).parents[2])
    try:
        engine.init(
            num_cpus=2,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )
        os.environ.setdefault("PYTHONPATH", path)
        check_workers_of("ray", shared_digits, expected, tmp_path)
    finally:
        engine.shutdown()


def check_workers_of(place, folder, expected, tmp_path):
    command = ["extract", folder, "-o", tmp_path / "features.npy", *PIXELS]
    command += ["--memory", tmp_path / "memory", "--workers", place]
    run = subprocess.run(
        [sys.executable, "-m", "skscan", *map(str, command)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert_array_equal(np.load(tmp_path / "features.npy"), expected)
    assert len(list(tmp_path.glob("memory/features/*/*.index"))) >= 2


@pytest.mark.slow
def test_no_scheduler_answers(skscan, shared_digits, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(workers, "_SECONDS_TO_CONNECT", 1)
    run = skscan(
        *("extract", shared_digits, "-o", tmp_path / "a.npy", "--workers", "tcp://127.0.0.1:9"),
        *PIXELS,
    )
    assert run.exit_code == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in run.stderr


@pytest.mark.parametrize(
    ("place", "package", "extra"), [("tcp://a:1", "distributed", "dask"), ("ray", "ray", "ray")]
)
def test_an_engine_that_is_not_installed(
    skscan, shared_digits, tmp_path, monkeypatch, place, package, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    run = skscan("extract", shared_digits, "-o", tmp_path / "a.npy", "--workers", place, *PIXELS)
    assert run.exit_code == 2
    assert f"pip install 'skscan[{extra}]'" in run.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "missing -o"),
        (["--shard", "1/2"], "needs --memory"),
        (["--shard", "1/2", "--memory", "m", "-o", "a.npy"], "takes no -o"),
        (["--shard", "3/2", "--memory", "m"], "takes I/N with I from 1 to N"),
        (["--shard", "0/2", "--memory", "m"], "takes I/N with I from 1 to N"),
        (["--shard", "half", "--memory", "m"], "takes I/N with I from 1 to N"),
        (["--shard", "4/400", "--memory", "file"], "is no folder"),
        (["--shard", "201/400", "--memory", "m"], "there are only 200 images"),
        (["-o", "a.npy", "--workers", "2", "--jobs", "2"], "takes no --jobs"),
        (["-o", "a.npy", "--workers", "0"], "the address of a cluster"),
        (["-o", "a.npy", "--workers", "http://a:1"], "the address of a cluster"),
    ],
)
def test_wrong_use(skscan, shared_digits, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    run = skscan("extract", shared_digits, *options, *PIXELS)
    assert run.exit_code == 2
    assert told in " ".join(run.stderr.replace("│", " ").split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_part_that_cannot_be_kept(skscan, shared_digits, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "features").touch()
    run = skscan(
        *("extract", shared_digits, "--memory", tmp_path / "memory", "--shard", "1/2", *PIXELS)
    )
    assert run.exit_code == 1
    assert "features of 100 of 100 images could not be kept" in run.stderr


@pytest.mark.parametrize(("n", "of"), [(10, 3), (3, 3), (5, 4), (200, 7)])
def test_parts_are_all_of_it(n, of):
    paths = [str(i) for i in range(n)]
    parts = [Shard(number + 1, of).of_images(paths) for number in range(of)]
    assert [path for part in parts for path in part] == paths
