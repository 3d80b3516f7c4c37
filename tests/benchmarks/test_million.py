"""The benchmark of a million samples, on a few: stages, plan and comparison reach the page."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "million.py"


def test_two_small_sizes(tmp_path):
    pytest.importorskip("matplotlib", reason="draws a plot")
    page = tmp_path / "million.md"
    command = [sys.executable, SCRIPT, "--folder", tmp_path / "runs", "--page", page]
    command += ["--sizes", 1000, 3000, "--clusters", 10, "--heads", 2, "--limit-gib", 4]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    text = page.read_text()
    for stage in ("scaling", "mining", "starts", "heads", "selection", "evidence", "all"):
        assert f"| {stage} | " in text
    assert "| 3,000 | " in text
    assert "exact, 1.000" in text
    assert page.with_suffix(".svg").read_text().startswith("<?xml")

    # what is there is not computed again
    begun = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    assert begun == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
