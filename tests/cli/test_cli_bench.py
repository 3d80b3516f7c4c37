"""``skscan bench``: what it prints and refuses."""

import json

import pytest

from skscan import benchmarking


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(benchmarking, "N_SAMPLES", 300)
    monkeypatch.setattr(benchmarking, "_SECONDS_OF_ROUND", 0.01)


def test_stages_limits_and_shares_are_printed(skscan, shared_digits):
    run = skscan("bench", shared_digits, "-n", 40, "--image-size", 32)
    assert run.exit_code == 0, run.stderr
    for word in ("machine", "GFLOP/s", "engines", "waiting", "decoding", "mining", "report"):
        assert word in run.stdout
    assert "200 images" in run.stdout  # all of the folder
    assert "sample     40 images" in run.stdout


def test_json_is_one_object(skscan):
    run = skscan("bench", "-n", 32, "--image-size", 32, "--json", "--quiet")
    assert run.exit_code == 0, run.stderr
    printed = json.loads(run.stdout)
    assert printed["folder"] is None
    assert printed["n_images"] == 10_000
    assert {"stages", "shares", "engines", "advice", "gflops"} <= set(printed)
    assert "tuned" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["missing"], "no such folder or zip"), (["-n", 3], "-n"), (["--image-size", 0], "--image")],
)
def test_wrong_use_is_refused(skscan, arguments, said):
    run = skscan("bench", *arguments)
    assert run.exit_code == 2
    assert said in run.stderr
