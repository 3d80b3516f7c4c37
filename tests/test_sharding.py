"""Shards on joblib's own processes, on Dask and on Ray."""

import os
import pickle
import warnings
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
from image_factory import write_pictures
from numpy.testing import assert_allclose, assert_array_equal
from sharded_extractors import KillsItsWorkerOnce
from sklearn.preprocessing import FunctionTransformer

from skscan import (
    JoinedFeatureExtractor,
    NeighborMiner,
    PixelFeatureExtractor,
    SCANClusterer,
)
from skscan._files import TEMPORARY_PREFIX
from skscan.exceptions import ImageReadError, SkippedImagesWarning, SkscanWarning
from skscan.sharding import extract_shards, mine_shards, predict_proba_shards
from skscan.sharding.mapping import map_shards
from skscan.sharding.sharing import load_shared


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


def test_one_bar_also_where_images_cannot_be_read(paths, tmp_path, capsys):
    (tmp_path / "notes.png").write_text("no image")
    with pytest.warns(SkippedImagesWarning):
        _, skipped = extract_shards(
            PixelFeatureExtractor(8, verbose=1), [*paths, str(tmp_path / "notes.png")], tmp_path
        )
    assert len(skipped) == 1
    shown = capsys.readouterr().err
    n_images = len(paths) + 1
    assert shown.count(f"Extracting features: {n_images}/{n_images}") == 1
    assert "are known" not in shown


def images_in_memory(kind):
    rng = np.random.RandomState(0)
    if kind == "array":
        return rng.randint(0, 256, (30, 12, 12), dtype=np.uint8)
    return [rng.randint(0, 256, (12, 9 + i % 3), dtype=np.uint8) for i in range(30)]


@pytest.mark.parametrize("kind", ["array", "list"])
def test_images_in_memory_are_known_to_workers_as_here(kind, tmp_path, monkeypatch):
    images, extractor = images_in_memory(kind), PixelFeatureExtractor(8)
    sent = []

    def counting(function, tasks, *rest):
        sent.extend(len(pickle.dumps(task)) for task in tasks)
        return map_shards(function, tasks, *rest)

    monkeypatch.setattr("skscan.sharding.extraction.map_shards", counting)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of features that are not found
        features, _ = extract_shards(extractor, images, tmp_path, n_shards=3)
    assert_array_equal(features, extractor.transform(images))
    assert max(sent) < len(pickle.dumps(images)) / 2 + 2000


def test_a_damaged_shard_is_told_of_and_done_again(paths, tmp_path):
    extractor = PixelFeatureExtractor(8)
    expected, _ = extract_shards(extractor, paths, tmp_path / "memory", n_shards=4)
    shards = sorted((tmp_path / "memory").glob("features/*/*.features"))
    content = bytearray(shards[1].read_bytes())
    content[5] ^= 1
    shards[1].write_bytes(content)
    shards[3].unlink()
    with pytest.warns(SkscanWarning, match=r"check sums differ, images: 1\)"):
        found, _ = extract_shards(extractor, paths, tmp_path / "memory", n_shards=4)
    assert_array_equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there is a good copy now
        extract_shards(extractor, paths, tmp_path / "memory")


def test_features_that_do_not_arrive_are_told_of(paths, tmp_path, monkeypatch):
    """As where workers have another folder of this name."""

    def elsewhere(function, tasks, n_jobs, take):
        for i, (extractor, images, _, raises) in enumerate(tasks):
            take(i, function(extractor, images, str(tmp_path / "elsewhere"), raises))

    monkeypatch.setattr("skscan.sharding.extraction.map_shards", elsewhere)
    with pytest.warns(SkscanWarning, match=r"features of 20 images.* not found in memory="):
        found, _ = extract_shards(PixelFeatureExtractor(8), paths, tmp_path / "memory")
    assert_array_equal(found, PixelFeatureExtractor(8).transform(paths))


def test_what_workers_warn_of_is_said_here_once(paths, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "features").write_text("no folder")
    with pytest.warns(SkscanWarning, match="could not be kept") as caught:
        found, _ = extract_shards(PixelFeatureExtractor(8), paths, tmp_path / "memory", n_shards=2)
    told = [str(each.message) for each in caught]
    # by the workers, and by this process, which has to do the work then
    assert sum("could not be kept" in each for each in told) == 2
    assert sum("not found in memory=" in each for each in told) == 1
    assert_array_equal(found, PixelFeatureExtractor(8).transform(paths))


def test_relative_paths_hold_in_workers_that_began_elsewhere(paths, tmp_path, monkeypatch):
    with joblib.parallel_config("loky", n_jobs=2):
        joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(2))
        monkeypatch.chdir(tmp_path)
        relative = [os.path.relpath(path) for path in paths]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, _ = extract_shards(PixelFeatureExtractor(8), relative, "memory", n_shards=2)
    assert_array_equal(found, PixelFeatureExtractor(8).transform(paths))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_that_ends_the_work(engine, paths, tmp_path):
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no picture")
    paths = [*paths, str(tmp_path / "photos" / "damaged.png")]
    with engine(), pytest.raises(ImageReadError, match=r"damaged\.png: damaged, or not an image"):
        extract_shards(
            PixelFeatureExtractor(8, errors="raise"), paths, tmp_path / "memory", n_shards=3
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_prediction(engine, paths, tmp_path, monkeypatch):
    clusterer = SCANClusterer(
        2, feature_extractor=PixelFeatureExtractor(8), effort="fast", random_state=0
    ).fit(paths)
    damaged = [str(tmp_path / "photos" / f"damaged{i}.png") for i in range(8)]
    for path in damaged:
        Path(path).write_bytes(b"no picture")
    paths = [*paths[:13], damaged[0], *paths[13:], *damaged[1:]]  # the last shard is all damaged
    with pytest.warns(SkippedImagesWarning):
        expected = clusterer.predict_proba(paths)
    monkeypatch.setattr(SCANClusterer, "_probabilities", None)  # of this process
    with engine(), pytest.warns(SkippedImagesWarning, match=r"^8 of 28 images.*not an image"):
        found = predict_proba_shards(clusterer, paths, tmp_path / "memory", n_shards=4)
    assert_allclose(found, expected, atol=1e-6)
    assert not list((tmp_path / "memory").glob(f"{TEMPORARY_PREFIX}*"))


@pytest.mark.parametrize("engine", ENGINES)
def test_mining(engine, tmp_path):
    X = np.random.RandomState(0).rand(300, 16).astype(np.float32)
    X[50:60] = X[0]  # duplicates: a row is its own neighbour all the same
    expected = NeighborMiner(5).fit_transform(X)
    with engine():
        graph = mine_shards(NeighborMiner(5), X, tmp_path, n_shards=7)
    assert not list(tmp_path.iterdir())
    assert_array_equal(graph.indptr, expected.indptr)
    apart = np.setdiff1d(np.arange(300), [0, *range(50, 60)])
    assert_array_equal(graph[apart].indices, expected[apart].indices)
    assert_array_equal(graph.data, expected.data)
    assert_array_equal(graph.indices.reshape(300, 6)[:, 0], np.arange(300))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mining_by_an_approximate_index_that_is_built_once(metric):
    pytest.importorskip("faiss", reason="faiss is not installed")
    X = np.random.RandomState(0).rand(600, 8).astype(np.float32)
    miner = NeighborMiner(5, backend="faiss", metric=metric)
    expected = miner.fit_transform(X)
    with joblib.parallel_config("loky", n_jobs=2):
        graph = mine_shards(miner, X, n_shards=4)
    assert graph.dtype == expected.dtype
    assert (graph != expected).nnz == 0


def test_no_task_of_mining_holds_the_features(monkeypatch):
    sent = []

    def counting(function, tasks, *rest):
        sent.extend(len(pickle.dumps(task)) for task in tasks)
        return map_shards(function, tasks, *rest)

    monkeypatch.setattr("skscan.sharding.mining.map_shards", counting)
    mine_shards(NeighborMiner(5), np.random.RandomState(0).rand(300, 16), n_shards=3)
    assert len(sent) == 3
    assert max(sent) < 1000


def test_a_worker_that_does_not_see_the_folder():
    with pytest.raises(FileNotFoundError, match="a worker does not see '/no'; memory must be"):
        load_shared("/no/shared.joblib")


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


def test_a_memory_of_mining_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    X = np.random.RandomState(0).rand(30, 4)
    with pytest.raises(ValueError, match=r"memory='.*file' cannot be used"):
        mine_shards(NeighborMiner(5), X, tmp_path / "file")
