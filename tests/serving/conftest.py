"""A server of made-up results, and a client that knows its address."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from results_factory import write_photos, write_results
from sklearn.datasets import load_digits

from skscan import FeatureScaler, PixelFeatureExtractor
from skscan.networks.heads import LinearHeads
from skscan.report.files import run_id


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> tuple[Path, list[str]]:
    """A run that sorted twelve pictures into three clusters of four."""
    folder = tmp_path_factory.mktemp("run")
    photos = write_photos(folder / "photos")
    summary = {"folder": str(folder / "photos")}
    clusters = np.arange(12) % 3
    return write_results(folder / "out", photos, clusters, n_clusters=3, summary=summary), photos


@pytest.fixture
def write_run() -> Callable[..., Path]:
    return write_results


@pytest.fixture
def photos(made_once) -> list[str]:
    return made_once[1]


@pytest.fixture
def results(tmp_path: Path, made_once) -> Path:
    return shutil.copytree(made_once[0], tmp_path / "out")


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory, made_once) -> Iterator:
    """One for tests that leave it as it was."""
    from serving_client import ReportServer

    with ReportServer(shutil.copytree(made_once[0], tmp_path_factory.mktemp("one") / "out")) as one:
        yield one
        assert one.decisions.version == 0


@pytest.fixture
def results_with_model(tmp_path: Path) -> Path:
    """A run on twelve digits, with a model that looks at pixels."""
    photos = []
    (tmp_path / "digits").mkdir()
    for number, image in enumerate(load_digits().images[:12]):
        photos.append(str(tmp_path / "digits" / f"{number}.png"))
        Image.fromarray((image * 15).astype(np.uint8)).save(photos[-1])
    extractor = PixelFeatureExtractor(image_size=16).fit(photos)
    features = extractor.transform(photos)
    scaler = FeatureScaler(4).fit(features)
    weights = np.random.RandomState(0).normal(0, 3, (1, 3, 4)).astype(np.float32)
    return write_results(
        tmp_path / "out",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        summary={"folder": str(tmp_path / "digits")},
        feature_extractor_=extractor,
        feature_scaler_=scaler,
        heads_=LinearHeads(weights, np.zeros((1, 3), np.float32)),
        n_features_in_=features.shape[1],
    )


@pytest.fixture
def serve() -> Iterator[Callable]:
    from serving_client import ReportServer

    opened = []

    def serve(*args, **kwargs):
        opened.append(ReportServer(*args, **kwargs))
        return opened[-1]

    yield serve
    for server in opened:
        server.close()


@pytest.fixture
def server(serve, results: Path):
    return serve(results)


@pytest.fixture
def client(server):
    from serving_client import client_of

    return client_of(server)


@pytest.fixture
def document(results: Path) -> dict:
    """What the page sends: cluster 0 is named, everything else is as it was."""
    names = ["cats", "Cluster 1", "Cluster 2"]
    change = {"label": "Named cats", "changes": [["name", "0", None, "cats"]]}
    return {
        "format": "skscan decisions",
        "format_version": 1,
        "run": run_id(results),
        "complete": False,
        "classes": [
            {"id": str(i), "name": name, "named": i == 0, "reviewed": False, "clusters": [i]}
            for i, name in enumerate(names)
        ],
        "images": [],
        "review": {"version": 1, "run": run_id(results), "log": [change], "cursor": 1},
    }
