"""Saving and loading: bit for bit, without pickle, never half."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skscan
from skscan import (
    ClusterTrainer,
    FeatureScaler,
    NeighborMiner,
    SCANClusterer,
    TimmFeatureExtractor,
)
from skscan.exceptions import InconsistentVersionWarning, ModelFileError


@pytest.fixture(scope="module")
def X():
    return load_digits(n_class=3, return_X_y=True)[0][:200]


@pytest.fixture(scope="module")
def fitted(X):
    return SCANClusterer(3, effort="fast", random_state=0).fit(X)


def test_a_loaded_model_predicts_bit_for_bit(fitted, X, tmp_path):
    model = skscan.load(skscan.save(fitted, tmp_path / "model"))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(model.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(model.labels_, fitted.labels_)
    assert model.get_params() == fitted.get_params()
    assert model.history_ == fitted.history_
    assert model.timings_ == fitted.timings_
    assert abs(model.neighbors_ - fitted.neighbors_).max() == 0
    assert model.score(X) == fitted.score(X)


def test_another_process_predicts_the_same(fitted, X, tmp_path):
    skscan.save(fitted, tmp_path / "model")
    np.save(tmp_path / "X.npy", X)
    code = """
        import numpy as np, skscan
        model = skscan.load("model")
        np.save("p.npy", model.predict_proba(np.load("X.npy")))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), fitted.predict_proba(X))


def test_no_pickle_on_disk(fitted, tmp_path):
    folder = skscan.save(fitted, tmp_path / "model")
    for path in folder.iterdir():
        with pytest.raises((pickle.UnpicklingError, KeyError, ValueError, EOFError, IndexError)):
            pickle.loads(path.read_bytes())
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


def test_unfitted_with_every_kind_of_parameter(tmp_path):
    model = SCANClusterer(
        3,
        cluster_trainer=ClusterTrainer(n_heads=3, entropy_weight=np.float64(2)),
        memory=str(tmp_path / "cache"),
        random_state=np.random.RandomState(5),
        n_jobs=np.int64(2),
    )
    again = skscan.load(skscan.save(model, tmp_path / "model"))
    assert again.cluster_trainer.get_params() == model.cluster_trainer.get_params()
    assert again.random_state.randint(1000) == model.random_state.randint(1000)
    assert again.n_jobs == 2
    assert not hasattr(again, "labels_")


@pytest.mark.parametrize(
    "part",
    [PCA(5), make_pipeline(StandardScaler(), PCA(4, random_state=0)), FeatureScaler(6)],
    ids=["PCA", "Pipeline", "FeatureScaler"],
)
def test_parts_of_sklearn_are_kept(part, X, tmp_path):
    model = SCANClusterer(3, feature_scaler=part, effort="fast", random_state=0).fit(X)
    again = skscan.load(skscan.save(model, tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("backend", ["exact", "faiss"])
def test_neighbor_miner(backend, X, tmp_path):
    if backend == "faiss":
        pytest.importorskip("faiss", reason="needs the extra skscan[faiss]")
    miner = NeighborMiner(5, backend=backend).fit(X)
    again = skscan.load(skscan.save(miner, tmp_path))
    assert abs(again.transform(X) - miner.transform(X)).max() == 0


def test_feature_names_are_kept(X, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel{i}" for i in range(X.shape[1])])
    again = skscan.load(skscan.save(FeatureScaler(3).fit(frame), tmp_path))
    assert list(again.feature_names_in_) == list(frame.columns)
    again.transform(frame)


class Foreign(BaseEstimator):
    """A transformer that skscan knows nothing about."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def fit_transform(self, X, y=None):
        return X


@pytest.mark.parametrize("part", [Foreign(), FunctionTransformer(lambda X: X)])
def test_foreign_parts_are_refused_by_name(part, tmp_path):
    model = SCANClusterer(3, feature_scaler=part)
    with pytest.raises(TypeError, match=r"SCANClusterer\.feature_scaler"):
        skscan.save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_saving_again_replaces_the_model(fitted, X, tmp_path):
    skscan.save(fitted, tmp_path)
    skscan.save(FeatureScaler(4).fit(X), tmp_path)
    assert isinstance(skscan.load(tmp_path), FeatureScaler)
    assert len(list(tmp_path.glob("arrays-*"))) == 1


def test_changed_weights_are_refused(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"some weights")
    model = TimmFeatureExtractor(weights=str(weights))
    skscan.save(model, tmp_path / "model")
    assert skscan.load(tmp_path / "model").weights == str(weights)
    weights.write_bytes(b"other weights")
    with pytest.raises(ModelFileError, match="another file than when the model was saved"):
        skscan.load(tmp_path / "model")


def test_files_have_the_usual_permissions(fitted, tmp_path):
    umask = os.umask(0o022)
    try:
        folder = skscan.save(fitted, tmp_path)
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_other_files_in_the_folder_are_left_alone(fitted, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    skscan.save(fitted, tmp_path)
    skscan.save(fitted, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("fails_at", range(1, 3))
def test_a_full_disk_leaves_the_earlier_model(fails_at, fitted, X, tmp_path, monkeypatch):
    skscan.save(fitted, tmp_path)
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        skscan.save(FeatureScaler(4).fit(X), tmp_path)
    monkeypatch.undo()
    np.testing.assert_array_equal(skscan.load(tmp_path).labels_, fitted.labels_)
    assert not list(tmp_path.glob(".*"))


def test_a_kill_at_any_write_leaves_the_old_or_the_new_model(tmp_path):
    """Kill the process before each step that touches the disk."""
    code = """
        import os, sys
        import numpy as np, skscan
        from pathlib import Path
        X = np.random.RandomState(0).rand(50, 40)
        models = [skscan.FeatureScaler(k).fit(X) for k in (2, 3)]

        def counted(function):
            def call(*args, **kwargs):
                global steps
                steps += 1
                if steps == fatal:
                    os._exit(9)
                return function(*args, **kwargs)
            return call

        for fatal in range(1, 10):
            folder, steps = Path(sys.argv[1], str(fatal)), 0
            skscan.save(models[0], folder)
            child = os.fork()
            if child == 0:
                for name in ("fdopen", "fsync", "replace", "unlink"):
                    setattr(os, name, counted(getattr(os, name)))
                skscan.save(models[1], folder)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            (folder / "status").write_text(str(os.waitstatus_to_exitcode(status)))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True)
    outcomes = set()
    for folder in tmp_path.iterdir():
        model = skscan.load(folder)
        assert model.components_.shape[0] == model.n_components_ == model.n_components
        outcomes.add(((folder / "status").read_text(), model.n_components))
    assert outcomes == {("9", 2), ("9", 3), ("0", 3)}


class TestDamage:
    """Files that are not what they should be."""

    @pytest.fixture
    def folder(self, fitted, tmp_path):
        return skscan.save(fitted, tmp_path / "model")

    def test_no_model(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"holds no model\.json"):
            skscan.load(tmp_path)

    def test_a_file_is_no_folder(self, fitted, tmp_path):
        path = tmp_path / "features.npy"
        path.write_bytes(b"other things")
        with pytest.raises(FileNotFoundError, match=r"features.npy.* holds no model\.json"):
            skscan.load(path)
        with pytest.raises(FileExistsError, match=r"features.npy.*it is a file"):
            skscan.save(fitted, path)
        assert path.read_bytes() == b"other things"

    @pytest.mark.parametrize("keep", [0, 100, 0.5])
    def test_truncated_json(self, folder, keep):
        path = folder / "model.json"
        text = path.read_text()
        path.write_text(text[: int(keep * len(text)) if keep < 1 else keep])
        with pytest.raises(ModelFileError, match="damaged"):
            skscan.load(folder)

    def test_truncated_arrays(self, folder):
        path = next(folder.glob("arrays-*"))
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ModelFileError, match="damaged"):
            skscan.load(folder)

    def test_missing_arrays(self, folder):
        next(folder.glob("arrays-*")).unlink()
        with pytest.raises(ModelFileError, match="cannot be read"):
            skscan.load(folder)

    def _edit(self, folder, change):
        document = json.loads((folder / "model.json").read_text())
        change(document)
        (folder / "model.json").write_text(json.dumps(document))

    def test_another_release_is_told_of(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            skscan.load(folder)
        self._edit(folder, lambda document: document.update(skscan_version="0.0.1"))
        with pytest.warns(
            InconsistentVersionWarning, match=r"saved by skscan 0\.0\.1, and this is"
        ):
            skscan.load(folder)

    def test_newer_format(self, folder):
        self._edit(folder, lambda document: document.update(format_version=99))
        with pytest.raises(ModelFileError, match="format version 99"):
            skscan.load(folder)

    @pytest.mark.parametrize("name", ["os.system", "Popen", "RandomForestClassifier"])
    def test_only_our_classes(self, folder, name):
        self._edit(folder, lambda document: document["estimator"].update(object=name))
        with pytest.raises(ModelFileError, match=name):
            skscan.load(folder)

    @pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd"])
    def test_only_files_of_the_folder(self, folder, name):
        self._edit(folder, lambda document: document["files"].update(arrays=name))
        with pytest.raises(ModelFileError, match="plain file name"):
            skscan.load(folder)

    @pytest.mark.parametrize("document", ["[]", "null", "{}", '{"format_version": "x"}'])
    def test_other_json(self, folder, document):
        (folder / "model.json").write_text(document)
        with pytest.raises(ModelFileError):
            skscan.load(folder)
