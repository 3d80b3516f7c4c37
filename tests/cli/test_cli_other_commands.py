"""``skscan evaluate``, ``extract`` and ``info``."""

import csv
import json
import shutil

import numpy as np
import pytest

from skscan.images import list_images
from skscan.metrics import clustering_report


def read_clusters(results):
    with (results / "clusters.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_labels(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return path


def test_evaluate_by_folder_names(skscan, results):
    rows = read_clusters(results)
    classes = [row["path"].split("/")[-2] for row in rows]
    expected = clustering_report(classes, [int(row["cluster"]) for row in rows])
    run = skscan("evaluate", results, "--json")
    assert run.exit_code == 0, run.stderr
    printed = json.loads(run.stdout)
    assert {name: printed[name] for name in expected} == pytest.approx(expected)
    assert printed["n_images"] == 200
    assert printed["n_classes"] == 4
    shown = skscan("evaluate", results).stdout
    for title in ("accuracy", "many-to-one accuracy", "NMI", "ARI", "AMI"):
        assert title in shown


def test_evaluate_by_a_table(skscan, results, tmp_path):
    rows = read_clusters(results)
    labels = write_labels(tmp_path / "truth.csv", [(row["path"], row["cluster"]) for row in rows])
    printed = json.loads(skscan("evaluate", results, "--labels", labels, "--json").stdout)
    assert printed["accuracy"] == printed["nmi"] == printed["ari"] == 1


def test_evaluate_by_file_names_of_some_images(skscan, results, tmp_path):
    rows = read_clusters(results)[:50]
    names = [(row["path"].split("/")[-1], row["cluster"]) for row in rows]
    labels = write_labels(tmp_path / "truth.csv", names)
    printed = json.loads(skscan("evaluate", results, "--labels", labels, "--json").stdout)
    assert printed["accuracy"] == 1
    assert printed["n_images"] == 50
    assert printed["n_without_label"] == 150


def test_evaluate_leaves_out_blank_labels(skscan, results, tmp_path):
    rows = read_clusters(results)
    given = [(row["path"], row["cluster"] if i < 50 else " ") for i, row in enumerate(rows)]
    labels = write_labels(tmp_path / "truth.csv", given)
    printed = json.loads(skscan("evaluate", results, "--labels", labels, "--json").stdout)
    assert (printed["n_images"], printed["n_without_label"], printed["accuracy"]) == (50, 150, 1)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "has no column 'path'; its columns are []"),
        ("path,class\na.png,1\n", "label"),
        ("path,label\nother.png,1\n", "none of the images"),
        ("path,label\na.png,1\na.png,2\n", "'a.png' has two labels, '1' and '2'"),
    ],
)
def test_evaluate_with_a_table_that_does_not_fit(skscan, results, tmp_path, content, word):
    labels = tmp_path / "truth.csv"
    labels.write_text(content)
    run = skscan("evaluate", results, "--labels", labels)
    assert run.exit_code == 1
    assert word in run.stderr
    assert str(labels) in run.stderr


def test_evaluate_needs_classes(skscan, results, tmp_path):
    out = shutil.copytree(results, tmp_path / "out")
    rows = (out / "clusters.csv").read_text().replace("/1/", "/0/").replace("/2/", "/0/")
    (out / "clusters.csv").write_text(rows.replace("/3/", "/0/"))
    run = skscan("evaluate", out)
    assert run.exit_code == 2
    assert "--labels" in run.stderr


def test_extract_npy_and_its_table(skscan, digits_folder, tmp_path):
    (digits_folder / "empty.png").write_bytes(b"")
    target = tmp_path / "features.npy"
    run = skscan("extract", digits_folder, "-o", target, "--backbone", "pixels", "--quiet")
    assert run.exit_code == 0, run.stderr
    features = np.load(target)
    rows = list(csv.DictReader((tmp_path / "features.paths.csv").open(newline="")))
    assert [row["path"] for row in rows] == list_images(digits_folder)
    assert features.shape[0] == 201
    assert features.dtype == np.float32
    unread = np.isnan(features).any(axis=1)
    assert unread.sum() == 1
    assert [bool(row["reason"]) for row in rows] == unread.tolist()


def test_extract_npz(skscan, shared_digits, tmp_path):
    target = tmp_path / "features.npz"
    run = skscan("extract", shared_digits, "-o", target, "--backbone", "pixels", "--json", "-q")
    printed = json.loads(run.stdout)
    with np.load(target) as arrays:
        assert arrays["features"].shape == (200, printed["n_features"])
        assert arrays["paths"].tolist() == list_images(shared_digits)


def test_extract_with_the_embedded_backbone(skscan, shared_digits, tmp_path):
    target = tmp_path / "features.npy"
    run = skscan("extract", shared_digits / "0", "-o", target, "--image-size", 32)
    assert run.exit_code == 0, run.stderr
    assert np.load(target).shape[1] == 1280
    assert "trained with ImageNet labels" in run.stdout


def test_extract_refuses_other_formats(skscan, shared_digits, tmp_path):
    run = skscan("extract", shared_digits, "-o", tmp_path / "features.txt")
    assert run.exit_code == 2
    assert ".npy or .npz" in run.stderr


def test_info_names_versions_and_the_labels_behind_the_backbone(skscan):
    printed = json.loads(skscan("info", "--json").stdout)
    assert {"skscan", "python", "torch", "timm", "device", "threads", "backbone"} <= set(printed)
    assert "ImageNet labels" in skscan("info").stdout


def test_info_on_results(skscan, results):
    printed = json.loads(skscan("info", results, "--json").stdout)
    assert printed["n_clusters"] == 4
    assert printed["images"] == 200
    assert printed["features_from"] == "pixels"
    assert "pixels" in skscan("info", results).stdout


@pytest.mark.parametrize("command", ["cluster", "predict", "evaluate", "extract", "info"])
def test_help_has_examples(skscan, command):
    run = skscan(command, "--help")
    assert run.exit_code == 0
    assert f"  skscan {command} " in run.stdout.split("Examples:")[1]


def test_info_on_a_saved_extractor(skscan, tmp_path):
    import torch

    from skscan import NetworkFeatureExtractor, save
    from skscan.networks.architecture import build_backbone
    from skscan.networks.trained import TrainedNetwork

    small = {"stem": "cifar", "depth": 10, "width": 4}
    with torch.random.fork_rng():
        network = TrainedNetwork.from_modules(
            small, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), build_backbone(small)
        )
    save(NetworkFeatureExtractor(network), tmp_path / "model")
    printed = json.loads(skscan("info", tmp_path / "model", "--json").stdout)
    assert printed["kind"] == "NetworkFeatureExtractor"
    assert "SmallResNet (stem cifar, depth 10, width 4) at 16 px" in printed["features_from"]
