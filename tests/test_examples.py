"""The example scripts run offline and say what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAID = {
    "few_labels.py": ("SCANClassifier on the same", "pair that does not"),
    "digits_from_arrays.py": ("SCANClusterer on images", "KMeans on pixels"),
    "pipeline_and_grid_search.py": ("cluster_trainer__entropy_weight", "SpectralClustering"),
    "sort_a_folder.py": ("cluster 9:", "200 new images"),
}


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_example(name, tmp_path):
    run = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    for words in SAID[name]:
        assert words in run.stdout
