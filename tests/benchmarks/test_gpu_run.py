"""A whole row in slices, one of them killed: what a person with a lent machine does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recipe_trees import write_cifar10

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"
MOST_SLICES = 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups"),
]


def start(data: Path, state: Path) -> subprocess.Popen:
    options = ["--minutes", "0.75", "--scale", "0.001", "--device", "cpu", "--precision", "no"]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "cifar10", "--data", data, "--state", state, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_slices_complete_the_row(tmp_path):
    write_cifar10(tmp_path / "data", 200, 100)
    state = tmp_path / "state"
    killed = start(tmp_path / "data", state)
    time.sleep(35)
    os.killpg(killed.pid, 9)
    killed.communicate()
    for _ in range(MOST_SLICES):
        run = start(tmp_path / "data", state)
        said, _ = run.communicate(timeout=180)
        assert run.returncode == 0, said
        assert sum(path.stat().st_size for path in state.iterdir()) < 60 * 2**20
        if "The row is complete." in said:
            break
    assert "The row is complete." in said, said
    assert "nothing was rounded or left out" in said
    for title in ("pretext + k-means", "SCAN", "self-label", "overcluster"):
        assert title in said
