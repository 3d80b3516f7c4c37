"""A chain of trainings that is killed at any moment and started again ends as one never killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

SCRIPT = Path(__file__).parent / "killed_chain.py"
STAGES = ["simclr", "scan", "self-label"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.mark.parametrize("n_kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_change_nothing(tmp_path, n_kills):
    environment = {
        **os.environ,
        "PYTHONPATH": str(SCRIPT.parent.parent),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), str(n_kills)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    n_killed = json.loads((tmp_path / "kills.json").read_text())
    assert n_killed == n_kills

    history = json.loads((tmp_path / "whole.json").read_text())
    whole = np.load(tmp_path / "whole.npz")
    assert len(set(whole["labels"])) > 1
    for name in ("killed", "again"):
        assert json.loads((tmp_path / f"{name}.json").read_text()) == history
        other = np.load(tmp_path / f"{name}.npz")
        assert set(other) == set(whole)
        for key in whole:
            assert_array_equal(other[key], whole[key], err_msg=f"{name} {key}")

    loads = [json.loads(line) for line in (tmp_path / "killed.log").read_text().splitlines()]
    assert {stage for stage, place in loads if place is None} == set(STAGES)
    assert any(place and place[1] > 0 for _, place in loads), "no kill within an epoch"
    # Started again after its end, it makes no step.
    again = [json.loads(line) for line in (tmp_path / "again.log").read_text().splitlines()]
    assert again == [[stage, [4, 0]] for stage in STAGES]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        f"{stage}.checkpoint" for stage in STAGES
    }
