"""``skscan predict``: new images with the model of an earlier run."""

import csv
import io
import json
import os
import shutil

import timm
from safetensors.torch import save_file

from skscan import JoinedFeatureExtractor, PixelFeatureExtractor, SCANClusterer
from skscan.cli.predict import use_settings
from skscan.extractors.default import DefaultFeatureExtractor
from skscan.serving.new_images import NewImages


def rows_of_clusters(table: bytes) -> list[list[str]]:
    """The columns that clusters.csv has, of a table of predictions or of that one."""
    rows = list(csv.reader(io.StringIO(table.decode())))
    assert rows[0][:4] == ["path", "cluster", "confidence", "second_cluster"]
    return [row[:4] for row in rows]


def sorted_into(results) -> list[list[str]]:
    return rows_of_clusters((results / "clusters.csv").read_bytes())


def test_same_images_get_the_same_clusters(skscan, shared_digits, results, tmp_path):
    table = tmp_path / "again.csv"
    run = skscan("predict", results, shared_digits, "-o", table)
    assert run.exit_code == 0, run.stderr
    assert rows_of_clusters(table.read_bytes()) == sorted_into(results)
    assert str(table) in run.stdout
    assert (tmp_path / "again.skipped.csv").read_text() == "path,reason\n"
    assert sorted(os.listdir(tmp_path)) == ["again.csv", "again.skipped.csv"]


def test_table_goes_to_stdout_without_a_file(skscan, shared_digits, results):
    run = skscan("predict", results, shared_digits, "--quiet")
    assert run.exit_code == 0, run.stderr
    assert rows_of_clusters(run.stdout_bytes) == sorted_into(results)


def test_json_holds_the_predictions(skscan, shared_digits, results):
    run = skscan("predict", results, shared_digits, "--json", "--quiet")
    printed = json.loads(run.stdout)
    assert printed["n_images"] == 200
    assert printed["n_clusters"] == 4
    assert sum(printed["cluster_sizes"]) == 200
    first = printed["predictions"][0]
    assert list(first) == ["path", "cluster", "confidence", "second_cluster", "outlier_score"]
    assert isinstance(first["outlier_score"], float)
    assert isinstance(first["cluster"], int)
    assert isinstance(first["confidence"], float)


def test_unreadable_files_are_listed(skscan, digits_folder, results, tmp_path):
    (digits_folder / "empty.png").write_bytes(b"")
    run = skscan("predict", results, digits_folder, "-o", tmp_path / "new.csv")
    assert run.exit_code == 0, run.stderr
    assert "(1 skipped)" in run.stdout
    rows = list(csv.DictReader((tmp_path / "new.skipped.csv").open()))
    assert [row["path"] for row in rows] == [str(digits_folder / "empty.png")]
    assert "empty" in rows[0]["reason"]
    run = skscan("predict", results, digits_folder, "--quiet")
    assert len(list(csv.reader(io.StringIO(run.stdout)))) == 201
    assert "empty.png" in run.stderr


def test_missing_folders_are_wrong_use(skscan, shared_digits, results, tmp_path):
    for out, new in ((tmp_path / "no", shared_digits), (results, tmp_path / "no")):
        run = skscan("predict", out, new)
        assert run.exit_code == 2
        assert str(tmp_path / "no") in run.stderr


def test_a_damaged_summary_does_not_hide_the_model(skscan, shared_digits, results, tmp_path):
    damaged = shutil.copytree(results, tmp_path / "damaged")
    (damaged / "summary.json").write_text("{")
    assert skscan("predict", damaged, shared_digits).exit_code == 0


def test_output_folder_must_exist(skscan, shared_digits, results, tmp_path):
    run = skscan("predict", results, shared_digits, "-o", tmp_path / "no" / "new.csv", "-q")
    assert run.exit_code == 2
    assert str(tmp_path / "no") in run.stderr


def test_weights_of_ones_own_are_found_again(skscan, shared_digits, tmp_path, monkeypatch):
    network = timm.create_model("tf_efficientnet_lite0")
    weights = tmp_path / "my weights.safetensors"
    save_file(network.state_dict(), weights)
    monkeypatch.chdir(tmp_path)
    run = skscan(
        *("cluster", shared_digits, "-k", 4, "-o", "out", "--weights", weights.name),
        *("--image-size", 32, "--effort", "fast", "--json"),
    )
    assert run.exit_code == 0, run.stderr
    assert "my weights.safetensors" in json.loads(run.stdout)["features"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = skscan("predict", tmp_path / "out", shared_digits, "--quiet")
    assert rows_of_clusters(run.stdout_bytes) == sorted_into(tmp_path / "out")
    weights.unlink()
    run = skscan("predict", tmp_path / "out", shared_digits, "--quiet")
    assert run.exit_code == 1
    assert "my weights.safetensors" in run.stderr


def test_each_of_several_extractors_gets_the_settings_of_this_run():
    parts = [DefaultFeatureExtractor(n_jobs=2), PixelFeatureExtractor(n_jobs=2)]
    clusterer = SCANClusterer()
    clusterer.feature_extractor_ = JoinedFeatureExtractor(parts).fitted_with(parts, (1280, 64))
    use_settings(clusterer, device="cpu", n_jobs=3)
    assert [part.n_jobs for part in parts] == [3, 3]
    assert parts[0].device == "cpu"
    NewImages(clusterer)  # serves one image at a time
    assert [part.n_jobs for part in parts] == [1, 1]
