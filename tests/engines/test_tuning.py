"""Which engine is found to be the fastest, and what is kept of it."""

import json
import time

import numpy as np
import pytest

from skscan.engines import choice, opening, tuning
from skscan.engines.choice import choose_engine
from skscan.engines.tuning import forget_choice, stored_choice, tune

SECONDS = {"torch": 0.04, "onnx": 0.005, "openvino": 0.02}


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch, tmp_path):
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "_ROUNDS", 3)
    monkeypatch.setattr(tuning, "_SECONDS_OF_ROUND", 0.01)


@pytest.fixture
def sleeping(monkeypatch):
    """Engines that take known times; "compile" cannot be made ready."""

    def make(source, name, precision, device):
        if name == "compile":
            raise RuntimeError("no compiler was found\nand more lines of it")

        def run(pixels):
            time.sleep(SECONDS[name])
            return np.zeros((len(pixels), 4), dtype=np.float32)

        return run

    monkeypatch.setattr(opening, "make_engine", make)
    monkeypatch.setattr(choice, "is_installed", lambda name: name != "openvino")


def test_the_fastest_is_kept_until_it_is_forgotten(sleeping):
    assert stored_choice() is None
    result = tune(image_size=16)
    assert result.chosen == stored_choice() == "onnx"
    assert choose_engine("auto", "float32", "cpu").engine == "onnx"
    kept = json.loads(result.path.read_text())
    assert kept["image_size"] == 16
    assert [speed["engine"] for speed in kept["speeds"]] == list(tuning.ENGINES)
    assert forget_choice()
    assert stored_choice() is None
    assert not forget_choice()


def test_another_fastest_changes_what_auto_takes(sleeping, monkeypatch):
    monkeypatch.setitem(SECONDS, "onnx", 0.2)
    assert tune().chosen == "torch"
    assert choose_engine("auto", "float32", "cpu").engine == "torch"


def test_engines_that_do_not_run_say_why(sleeping):
    speeds = {speed.engine: speed for speed in tune().speeds}
    assert speeds["compile"].reason == "no compiler was found"
    assert speeds["openvino"].reason == "not installed"
    assert speeds["compile"].images_per_second is None
    torch = speeds["torch"]
    assert torch.slowest <= torch.images_per_second <= torch.fastest <= 32 / SECONDS["torch"]
    assert torch.reason == ""


def test_no_engine_that_runs_is_told(sleeping):
    with pytest.raises(RuntimeError, match="runs here: compile: no compiler was found; openvino"):
        tune(engines=("compile", "openvino"))
    assert stored_choice() is None


def test_the_embedded_network_is_measured():
    result = tune(image_size=32, engines=("torch",))
    assert result.chosen == "torch"
    assert result.speeds[0].images_per_second > 1
