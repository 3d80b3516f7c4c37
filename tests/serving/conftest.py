"""A server of made-up results, and a client that knows its address."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from results_factory import write_photos, write_results

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from starlette.testclient import TestClient

from skscan import PixelFeatureExtractor
from skscan.report.files import run_id
from skscan.serving import ReportServer


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def results(tmp_path: Path, photos: list[str]) -> Path:
    """A run that sorted twelve pictures into three clusters of four."""
    summary = {"folder": str(tmp_path / "photos")}
    clusters = np.arange(12) % 3
    return write_results(tmp_path / "out", photos, clusters, n_clusters=3, summary=summary)


@pytest.fixture
def results_with_model(tmp_path: Path, photos: list[str]) -> Path:
    """The same, with a model that looks at pixels: images that are red belong to cluster 2."""
    extractor = PixelFeatureExtractor(image_size=16).fit(photos)
    features = extractor.transform(photos)
    return write_results(
        tmp_path / "out",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        summary={"folder": str(tmp_path / "photos")},
        **sorting_by_redness(extractor, features),
    )


def sorting_by_redness(extractor, features: np.ndarray) -> dict:
    from skscan import FeatureScaler
    from skscan.networks.heads import LinearHeads

    scaler = FeatureScaler(2).fit(features)
    weights = np.zeros((1, 3, scaler.transform(features).shape[1]), np.float32)
    weights[0, :, 0] = [-5, 0, 5]
    return {
        "feature_extractor_": extractor,
        "feature_scaler_": scaler,
        "heads_": LinearHeads(weights, np.zeros((1, 3), np.float32)),
        "n_features_in_": features.shape[1],
    }


@pytest.fixture
def serve() -> Iterator[Callable[..., ReportServer]]:
    opened = []

    def serve(*args, **kwargs) -> ReportServer:
        opened.append(ReportServer(*args, **kwargs))
        return opened[-1]

    yield serve
    for server in opened:
        server.close()


@pytest.fixture
def server(serve, results: Path) -> ReportServer:
    return serve(results)


def client_of(server: ReportServer) -> TestClient:
    return TestClient(server.app, base_url=server.address, raise_server_exceptions=True)


@pytest.fixture
def client(server: ReportServer) -> TestClient:
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
