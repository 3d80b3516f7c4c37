"""Results of a small run, and decisions on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from results_factory import write_photos, write_results

from skscan.report.files import run_id


@pytest.fixture
def write_run() -> Callable[..., Path]:
    return write_results


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Twelve small pictures in two folders, the same file names in both."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def results(tmp_path: Path, photos: list[str]) -> Path:
    """A run that sorted the pictures into three clusters of four."""
    return write_results(
        tmp_path / "out",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        summary={"folder": str(tmp_path / "photos")},
    )


def decide(results: Path, photos: list[str]) -> dict:
    """Cluster 0 is named, 2 is merged into 1, one image is moved, one is rejected."""
    images = [
        {"path": path, "cluster": number % 3, "class": "0" if number % 3 == 0 else "1"}
        for number, path in enumerate(photos)
    ]
    images[4] |= {"class": "0", "moved": True}
    images[5] |= {"rejected": True}
    return {
        "format": "skscan decisions",
        "format_version": 1,
        "run": run_id(results),
        "complete": True,
        "classes": [
            {"id": "0", "name": "cats", "named": True, "reviewed": True, "clusters": [0]},
            {"id": "1", "name": "Cluster 1", "named": False, "reviewed": False, "clusters": [1, 2]},
        ],
        "images": images,
    }


@pytest.fixture
def document(results: Path, photos: list[str]) -> dict:
    """What the report exports of decisions on `results`."""
    return decide(results, photos)


@pytest.fixture
def decided() -> Callable[[Path, list[str]], dict]:
    """The same decisions on other results with twelve images."""
    return decide
