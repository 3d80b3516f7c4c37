"""The examples run offline and say what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
QUICK = {
    "how_many_classes.py": ("proposals: (10,",),
    "out_of_distribution.py": ("AUROC", "are ambiguous"),
    "uneven_classes.py": ("uniform, as in the paper", "kept"),
}
SLOW = {
    "few_labels.py": ("SCANClassifier on the same", "pair that does not"),
    "first_clusters.py": ("SCANClusterer", "k-means"),
    "heads_and_objectives.py": ("TEMI, linear", "TURTLE"),
    "patches_of_photos.py": ("(270, 80, 80, 3)",),
    "pipeline_and_grid_search.py": ("cluster_trainer__entropy_weight", "SpectralClustering"),
    "review_and_apply.py": ("my favorites", "two in one", "'-1': "),
    "save_and_use.py": ("skipped damaged.png", "cluster 9:", "path,cluster,confidence"),
    "simclr_from_scratch.py": ("neighbors of the same class",),
}


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*QUICK, *SLOW}


def run(name, said, folder):
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    for words in said:
        assert words in result.stdout


@pytest.mark.parametrize("name", QUICK)
def test_quick_example(name, tmp_path):
    run(name, QUICK[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_slow_example(name, tmp_path):
    run(name, SLOW[name], tmp_path)
