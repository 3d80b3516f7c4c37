"""Shards on joblib's own processes, on Dask and on Ray."""

import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
from image_factory import write_pictures
from numpy.testing import assert_array_equal
from sharded_extractors import KillsItsWorkerOnce
from sklearn.preprocessing import FunctionTransformer

from skscan import (
    JoinedFeatureExtractor,
    NeighborMiner,
    PixelFeatureExtractor,
    SCANClusterer,
)
from skscan.exceptions import SkippedImagesWarning, SkscanWarning
from skscan.sharding import extract_shards, mine_shards, predict_proba_shards


@contextmanager
def loky():
    with joblib.parallel_config("loky", n_jobs=2):
        yield


@contextmanager
def dask():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        yield


@contextmanager
def ray():
    engine = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.util.joblib import register_ray

    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    try:
        engine.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )
        register_ray()
        with joblib.parallel_config("ray", n_jobs=2):
            yield
    finally:
        engine.shutdown()


ENGINES = [
    loky,
    pytest.param(dask, marks=pytest.mark.slow),
    pytest.param(ray, marks=pytest.mark.slow),
]


@pytest.fixture
def paths(tmp_path):
    return write_pictures(tmp_path / "photos", 20)


@pytest.mark.parametrize("engine", ENGINES)
def test_shards_give_what_one_process_gives(engine, paths, tmp_path):
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no picture")
    paths = [*paths, str(tmp_path / "photos" / "damaged.png")]
    extractor = JoinedFeatureExtractor(
        [PixelFeatureExtractor(8), PixelFeatureExtractor(4, channels="rgb")]
    ).fit(paths)
    with engine(), pytest.warns(SkippedImagesWarning, match=r"^1 of 21 images") as caught:
        features, skipped = extract_shards(extractor, paths, tmp_path / "memory", n_shards=6)
    assert len([each for each in caught if each.category is SkippedImagesWarning]) == 1
    assert [image.index for image in skipped] == [20]
    assert_array_equal(features[:20], extractor.transform(paths[:20]))
    assert np.isnan(features[20]).all()
    assert len(list((tmp_path / "memory").glob("features/*/*.index"))) >= 2


@pytest.mark.parametrize("engine", ENGINES)
def test_the_shards_of_a_killed_worker_are_done_again(engine, paths, tmp_path):
    extractor = KillsItsWorkerOnce(str(tmp_path / "killed"), os.getpid(), image_size=8)
    expected = PixelFeatureExtractor(8).transform(paths)
    with engine(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features, _ = extract_shards(extractor, paths, tmp_path / "memory", n_shards=5)
    told = ["a worker process ended unexpectedly" in str(each.message) for each in caught]
    assert any(told) == (engine is not dask)  # which does it again by itself
    assert (tmp_path / "killed").exists()
    assert_array_equal(features, expected)


def test_workers_that_always_end(paths, tmp_path):
    extractor = KillsItsWorkerOnce(str(tmp_path / "no" / "folder"), os.getpid(), image_size=8)
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.warns(SkscanWarning),
        pytest.raises(RuntimeError, match=r"3 times, the last time with \d of 3 shards to do"),
    ):
        extract_shards(extractor, paths, tmp_path / "memory", n_shards=3)


def test_what_is_kept_is_not_computed_again(paths, tmp_path, monkeypatch):
    extractor = PixelFeatureExtractor(8)
    expected, _ = extract_shards(extractor, paths, tmp_path / "memory", n_shards=2)
    monkeypatch.setattr(PixelFeatureExtractor, "_compute", None)
    found, _ = extract_shards(extractor, paths, tmp_path / "memory", n_shards=3)
    assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_prediction(engine, paths, tmp_path):
    clusterer = SCANClusterer(
        2, feature_extractor=PixelFeatureExtractor(8), effort="fast", random_state=0
    ).fit(paths)
    with engine():
        found = predict_proba_shards(clusterer, paths, tmp_path / "memory", n_shards=3)
    assert_array_equal(found, clusterer.predict_proba(paths))
    assert clusterer.memory is None


@pytest.mark.parametrize("engine", ENGINES)
def test_mining(engine):
    X = np.random.RandomState(0).rand(300, 16).astype(np.float32)
    X[50:60] = X[0]  # duplicates: a row is its own neighbour all the same
    expected = NeighborMiner(5).fit_transform(X)
    with engine():
        graph = mine_shards(NeighborMiner(5), X, n_shards=7)
    assert_array_equal(graph.indptr, expected.indptr)
    apart = np.setdiff1d(np.arange(300), [0, *range(50, 60)])
    assert_array_equal(graph[apart].indices, expected[apart].indices)
    assert_array_equal(graph.data, expected.data)
    assert_array_equal(graph.indices.reshape(300, 6)[:, 0], np.arange(300))


def test_foreign_extractors_are_refused(paths, tmp_path):
    with pytest.raises(TypeError, match="extractor got FunctionTransformer"):
        extract_shards(FunctionTransformer(), paths, tmp_path)


def test_wrong_numbers_of_shards(paths, tmp_path):
    with pytest.raises(ValueError, match="n_shards must be an integer from 1 on, got 0"):
        extract_shards(PixelFeatureExtractor(8), paths, tmp_path, n_shards=0)


def test_an_estimator_fitted_on_features_is_refused(tmp_path):
    X = np.random.RandomState(0).rand(60, 4)
    clusterer = SCANClusterer(2, effort="fast", random_state=0).fit(X)
    with pytest.raises(ValueError, match="was fitted on features"):
        predict_proba_shards(clusterer, X, tmp_path)
