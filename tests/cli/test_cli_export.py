import json

import numpy as np
import pytest
from image_factory import pixel_arrays, write_pictures
from typer.testing import CliRunner

import skscan
from skscan import PixelFeatureExtractor, SCANClassifier, SCANClusterer
from skscan.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    images = pixel_arrays(40, 16, 16)
    clusterer = SCANClusterer(
        3, feature_extractor=PixelFeatureExtractor(8), effort="fast", random_state=0
    ).fit(images)
    folder = tmp_path_factory.mktemp("export") / "model"
    skscan.save(clusterer, folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_file_is_written_and_described(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path / "sorter.onnx"
    photos = tmp_path / "photos"
    photos.mkdir()
    write_pictures(photos, 5)
    result = run(model, "-o", out, "--check", photos, "--json")
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["file"] == str(out)
    assert described["n_checked"] == 5
    assert described["label_agreement"] == 1
    assert described["largest_difference"] < described["tolerance"]
    assert described["milliseconds"] > 0
    session = onnxruntime.InferenceSession(str(out))
    found = session.run(None, {"images": np.zeros((2, 9, 9, 3), np.uint8)})[0]
    assert found.shape == (2, 3)


def test_a_classifier_is_exported_and_predict_says_that_it_takes_none(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    images = pixel_arrays(40, 16, 16)
    y = np.full(len(images), "-1", dtype=object)
    y[:6] = ["dark", "light"] * 3
    classifier = SCANClassifier(
        feature_extractor=PixelFeatureExtractor(8), effort="fast", random_state=0
    ).fit(images, y)
    skscan.save(classifier, tmp_path / "model")
    result = run(tmp_path / "model", "-o", tmp_path / "sorter.onnx", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["class_names"] == ["dark", "light"]
    photos = tmp_path / "photos"
    photos.mkdir()
    write_pictures(photos, 5)
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(photos)])
    assert result.exit_code == 1
    assert "is a SCANClassifier, which `skscan export` takes" in " ".join(result.output.split())


def test_summary_is_shown(model, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    result = run(model, "-o", tmp_path / "sorter.onnx")
    assert result.exit_code == 0, result.output
    titles = [line.split()[0] for line in result.stdout.splitlines()]
    assert titles == ["check", "speed", "classes", "results"]
    assert run(model, "-o", tmp_path / "sorter.onnx", "--quiet").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "sorter.pt"], "must end in .onnx"),
        (["-o", "nowhere/sorter.onnx"], "there is no folder"),
        (["-o", "sorter.onnx", "--check", "nowhere"], "no such folder or zip"),
    ],
)
def test_wrong_use(model, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = run(model, *arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_no_model(tmp_path):
    result = run(tmp_path, "-o", tmp_path / "sorter.onnx")
    assert result.exit_code == 2
    assert "holds no model" in result.output
