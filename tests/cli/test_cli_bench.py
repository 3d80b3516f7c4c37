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


def test_tuned_engine_is_kept_and_forgotten(skscan, monkeypatch, tmp_path):
    from skscan.engines import tuning

    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "_ROUNDS", 1)
    monkeypatch.setattr(tuning, "_SECONDS_OF_ROUND", 0.01)
    monkeypatch.setattr(tuning.tune, "__defaults__", (32, 0, ("torch",)))  # no compiling
    run = skscan("bench", "-n", 32, "--image-size", 32, "--tune", "--json", "--quiet")
    assert run.exit_code == 0, run.stderr
    printed = json.loads(run.stdout)
    assert printed["tuned"]["chosen"] == printed["engine"] == "torch"
    assert tuning.stored_choice() == "torch"
    assert json.loads(skscan("bench", "--forget", "--json").stdout) == {"forgotten": True}
    assert tuning.stored_choice() is None
    assert skscan("bench", "--forget").stdout == "nothing was kept\n"
    assert skscan("bench", "--forget", "--tune").exit_code == 2
