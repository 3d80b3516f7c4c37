"""``skscan convert``."""

import json

import numpy as np
import pytest
import torch
from authors_files import parallel, small_weights
from numpy.testing import assert_array_equal
from scipy.sparse import load_npz

import skscan as library
from skscan import NeighborMiner
from skscan.images import list_images
from skscan.interop import save_neighbors

SCAN = {"model": small_weights("cluster"), "head": np.int64(1)}


@pytest.fixture
def checkpoint(tmp_path):
    """A file of the clustering stage."""
    return write(tmp_path / "scan.pth.tar", SCAN)


def write(path, content):
    torch.save(content, path)
    return path


def test_a_checkpoint_becomes_a_model_that_predicts(skscan, checkpoint, shared_digits, tmp_path):
    run = skscan("convert", checkpoint, "-o", tmp_path / "model", "--stem", "cifar")
    assert run.exit_code == 0, run.stderr
    assert "SmallResNet(stem=cifar, depth=18, width=4)" in run.stdout
    assert "32 px, mean 0.4914 0.4822 0.4465, standard deviation 0.2023" in run.stdout
    assert "3 with 10 clusters, the best is number 1" in run.stdout
    assert "120 x backbone, 6 x cluster_head" in run.stdout
    assert f"{tmp_path / 'model'} (SCANClusterer)" in run.stdout
    predicted = skscan("predict", tmp_path / "model", shared_digits, "--json", "--quiet")
    assert predicted.exit_code == 0, predicted.stderr
    clusterer = library.load(tmp_path / "model")
    expected = clusterer.predict(list_images(shared_digits))
    assert [row["cluster"] for row in json.loads(predicted.stdout)["predictions"]] == list(expected)


def test_json_tells_of_each_entry(skscan, tmp_path):
    weights = parallel(small_weights("pretext"))
    gone = "module.backbone.bn1.num_batches_tracked"
    del weights[gone]
    path = write(tmp_path / "checkpoint.pth.tar", {"model": weights, "optimizer": {}, "epoch": 3})
    out = tmp_path / "model"
    options = ["--stem", "stl", "--image-size", 64, "--normalization", "cifar100"]
    run = skscan("convert", path, "-o", out, *options, "--json")
    assert run.exit_code == 0, run.stderr
    printed = json.loads(run.stdout)
    assert printed["kind"] == "pretext"
    assert printed["architecture"] == {"stem": "stl", "depth": 18, "width": 4}
    assert printed["written"] == "SimCLRFeatureExtractor"
    assert (printed["image_size"], printed["mean"][0]) == (64, 0.5071)
    assert printed["n_clusters"] is None
    keys = printed["keys"]
    assert set(keys["loaded"]) == set(weights)
    assert keys["loaded"]["module.contrastive_head.0.bias"] == "projection_head.0.bias"
    assert set(keys["ignored"]) == {"optimizer", "epoch"}
    assert keys["missing"] == ["backbone.bn1.num_batches_tracked"]
    extractor = library.load(out)
    assert extractor.network_.image_size == 64
    shown = skscan("convert", path, "-o", out, *options).stdout
    assert "1 counts of batches, set to 0" in shown
    assert "1 x state of the optimiser" in shown


@pytest.mark.parametrize("to", [[], ["--to", "scan"]])
def test_there_and_back(skscan, checkpoint, tmp_path, to):
    skscan("convert", checkpoint, "-o", tmp_path / "model", "--stem", "cifar")
    back = tmp_path / "back.pth.tar"
    run = skscan("convert", tmp_path / "model", "-o", back, *to)
    assert run.exit_code == 0, run.stderr
    assert "standard deviation 0.2023 0.1994 0.201" in run.stdout
    assert "OUT has no place for what its images are like" in run.stdout
    content = torch.load(back, weights_only=True)
    assert content["head"] == 1
    assert content["model"].keys() == SCAN["model"].keys()
    for name, tensor in SCAN["model"].items():
        assert torch.equal(content["model"][name], tensor)


def test_images_of_ones_own_there_and_back(skscan, checkpoint, tmp_path):
    """A checkpoint says nothing of mean, deviation and size: what is shown brings them back."""
    images = ["--image-size", "40", "--normalization", "0.3,0.31,0.32/0.21,0.22,0.23"]
    skscan("convert", checkpoint, "-o", tmp_path / "model", "--stem", "cifar", *images)
    back = tmp_path / "back.pth.tar"
    shown = skscan("convert", tmp_path / "model", "-o", back).stdout
    assert " ".join(images) in shown
    run = skscan("convert", back, "-o", tmp_path / "again", "--stem", "cifar", *images)
    assert run.exit_code == 0, run.stderr
    first, again = (library.load(tmp_path / name) for name in ("model", "again"))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(first.predict_proba(pictures), again.predict_proba(pictures))


@pytest.mark.parametrize("text", ["cifar", "1,2,3", "1,2/3,4", "0,0,0/1,0,1", "a,b,c/1,1,1"])
def test_wrong_normalizations(skscan, checkpoint, tmp_path, text):
    options = ["--stem", "cifar", "--normalization", text]
    run = skscan("convert", checkpoint, "-o", tmp_path / "model", *options)
    assert run.exit_code == 2
    assert f"got '{text}', takes cifar10, cifar100, imagenet, or mean" in run.stderr


def test_weights_that_are_no_numbers_are_refused(skscan, tmp_path):
    weights = {name: tensor.clone() for name, tensor in SCAN["model"].items()}
    weights["backbone.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save({"model": weights}, tmp_path / "nan.pth.tar")
    run = skscan("convert", tmp_path / "nan.pth.tar", "-o", tmp_path / "model", "--stem", "cifar")
    assert run.exit_code == 1
    assert "'backbone.conv1.weight' are infinite or no numbers" in run.stderr
    assert not (tmp_path / "model").exists()


def test_one_of_the_authors_formats_into_another(skscan, checkpoint, tmp_path):
    out = tmp_path / "selflabel.pth.tar"
    arguments = ["convert", checkpoint, "-o", out, "--stem", "cifar", "--to", "scan"]
    run = skscan(*arguments, "--kind", "self-label", "--quiet")
    assert run.exit_code == 0, run.stderr
    assert run.stdout == ""
    content = torch.load(out, weights_only=True)
    assert torch.equal(content["cluster_head.0.weight"], SCAN["model"]["cluster_head.1.weight"])


def test_results_of_cluster_cannot_become_a_checkpoint(skscan, results, tmp_path):
    run = skscan("convert", results, "-o", tmp_path / "out.pth.tar")
    assert run.exit_code == 1
    assert "heads stand on features of PixelFeatureExtractor" in run.stderr


def test_neighbors_there_and_back(skscan, tmp_path):
    features = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    mined = NeighborMiner(4, metric="cosine").fit_transform(features)
    lists = tmp_path / "topk-train-neighbors.npy"
    save_neighbors(mined, lists)
    np.save(tmp_path / "features.npy", features)
    graph, back = tmp_path / "graph.npz", tmp_path / "back.npy"
    run = skscan("convert", lists, "-o", graph, "--features", tmp_path / "features.npy")
    assert run.exit_code == 0, run.stderr
    assert "150 for 30 samples" in run.stdout
    np.testing.assert_allclose(load_npz(graph).toarray(), mined.toarray(), atol=1e-6)
    assert skscan("convert", lists, "-o", graph).exit_code == 0
    assert set(load_npz(graph).data) == {0, 1, 2, 3, 4}
    printed = json.loads(skscan("convert", graph, "-o", back, "--json").stdout)
    assert printed["n_samples"] == 30
    assert_array_equal(np.load(back), np.load(lists))


def test_wrong_use(skscan, checkpoint, results, tmp_path):
    skscan("convert", checkpoint, "-o", tmp_path / "model", "--stem", "cifar")
    save_neighbors(NeighborMiner(2).fit_transform(np.eye(5)), tmp_path / "topk.npy")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    out, to_cifar = tmp_path / "out", ["--stem", "cifar"]
    cases = [
        ([tmp_path / "none.pth.tar", "-o", out], "no such file or folder"),
        ([checkpoint, "-o", out], "cannot tell whether stem is .* (option --stem)"),
        ([checkpoint, "-o", out, *to_cifar, "--kind", "scan"], "--kind means nothing with --to"),
        ([checkpoint, "-o", out, *to_cifar, "--features", checkpoint], "--features means nothing"),
        ([checkpoint, "-o", tmp_path / "full", *to_cifar], "is not empty and holds no model"),
        ([checkpoint, "-o", checkpoint, *to_cifar], "is a file; a model is written to a folder"),
        ([tmp_path / "model", "-o", out, *to_cifar], "--stem means nothing with a folder"),
        ([tmp_path / "model", "-o", out, "--to", "skscan"], "is a model of skscan already"),
        ([tmp_path / "model", "-o", tmp_path], "is a folder; give the name of a file"),
        ([tmp_path / "topk.npy", "-o", out], "the name must end in .npz"),
        ([tmp_path / "topk.npy", "-o", out, "--to", "scan"], "is a file of scan already"),
        ([tmp_path / "topk.npy", "-o", out, *to_cifar], "--stem means nothing with a list"),
        ([checkpoint, "-o", out, "--image-size", "0"], "got 0, takes a whole number from 1"),
    ]
    for arguments, message in cases:
        run = skscan("convert", *arguments)
        assert run.exit_code == 2, (arguments, run.stderr)
        for part in message.split(" .* "):
            assert part in " ".join(run.stderr.split()), run.stderr
    assert not out.exists()


def test_files_that_are_no_checkpoints(skscan, tmp_path):
    path = tmp_path / "model.pth.tar"
    path.write_text("404: Not Found")
    run = skscan("convert", path, "-o", tmp_path / "out", "--stem", "cifar")
    assert run.exit_code == 1
    assert run.stderr.startswith(f"Error: '{path}' ")
    assert "Traceback" not in run.stderr
    write(path, {"backbone.conv1.weight": torch.zeros(2)})
    run = skscan("convert", path, "-o", tmp_path / "out", "--stem", "cifar")
    assert "holds another network" in run.stderr
    assert not (tmp_path / "out").exists()


def test_models_without_a_network_cannot_be_written(skscan, tmp_path):
    library.save(NeighborMiner(), tmp_path / "model")
    run = skscan("convert", tmp_path / "model", "-o", tmp_path / "out.pth.tar")
    assert run.exit_code == 1
    assert "model is a NeighborMiner without a trained network" in run.stderr


def test_help_has_examples(skscan):
    run = skscan("convert", "--help")
    assert run.exit_code == 0
    assert "  skscan convert " in run.stdout.split("Examples:")[1]
