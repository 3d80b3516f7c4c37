"""Which cells run, what they are given, and what is kept; trainers are replaced by quick ones."""

import json

import numpy as np
import pytest
import torch
from authors_files import small_weights
from recipe_trees import write_cifar10, write_imagenet, write_stl10
from scipy.sparse import csr_matrix

import skscan
from skscan.exceptions import ModelFileError
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.networks.heads import LinearHeads
from skscan.networks.small_resnet import SmallResNet
from skscan.networks.trained import TrainedNetwork
from skscan.recipes import (
    Machine,
    OutputMismatchError,
    layouts,
    load_recipe,
    reproduce,
    reproduction,
    runner,
)
from skscan.recipes.trainers import Clustering, load_pretext

CPU = Machine("cpu")
TINY = {"stem": "cifar", "depth": 10, "width": 4}
PASS = {"epoch": 0, "steps": 3, "loss": 1.0}


def tiny_extractor() -> NetworkFeatureExtractor:
    torch.manual_seed(0)
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    network = TrainedNetwork.from_modules(TINY, 16, mean, std, SmallResNet(**TINY))
    return NetworkFeatureExtractor(network, device="cpu")


class Recorder:
    """Stands for the trainers: keeps what they are given, and fails when told to."""

    def __init__(self):
        self.calls = []
        self.fail_at = None

    def _record(self, name, **given):
        if self.fail_at == len(self.calls):
            raise RuntimeError("killed")
        self.calls.append((name, given))

    def train_pretext(self, stage, images, *, seed, checkpoint_dir, machine):
        self._record("pretext", images=images, checkpoint_dir=checkpoint_dir)
        return tiny_extractor(), [PASS]

    def train_clusters(
        self, stage, extractor, images, features, neighbors, n_clusters, *,
        validation_images, seed, checkpoint_dir, machine,
    ):  # fmt: skip
        self._record(
            "scan", images=images, features=features, neighbors=neighbors, seed=seed,
            n_clusters=n_clusters, validation_images=validation_images,
            checkpoint_dir=checkpoint_dir,
        )  # fmt: skip
        rng = np.random.RandomState(seed)
        tuned = NetworkFeatureExtractor(extractor.network_, device="cpu")
        shape = (stage.n_heads, n_clusters, tuned.network.n_features())
        heads = LinearHeads(rng.randn(*shape).astype("f"), np.zeros(shape[:2], "f"))
        return Clustering(heads, 0, tuned, [PASS, PASS])

    def train_self_label(
        self, stage, clustering, images, features, neighbors, *, seed, checkpoint_dir, machine
    ):
        self._record(
            "self-label", images=images, features=features, seed=seed,
            weights=clustering.heads.weights, checkpoint_dir=checkpoint_dir,
        )  # fmt: skip
        remarks = {"accepted": True, "reason": "because"}
        heads = clustering.heads.select(clustering.best_head)
        return Clustering(heads, 0, clustering.extractor, [PASS], remarks)

    @property
    def names(self):
        return [
            name if "seed" not in given else f"{name} {given['seed']}" for name, given in self.calls
        ]


def replace_trainers(patch):
    recorder = Recorder()
    for name in ("train_pretext", "train_clusters", "train_self_label"):
        patch.setattr(runner, name, getattr(recorder, name))
    return recorder


@pytest.fixture
def trainers(monkeypatch):
    return replace_trainers(monkeypatch)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar")
    write_cifar10(folder, 200, 100)
    return folder


@pytest.fixture(scope="module")
def uncut(cifar, tmp_path_factory):
    """The result of a run that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        replace_trainers(patch)
        return run(cifar, tmp_path_factory.mktemp("uncut"))


def run(data, out, name="cifar10", **options):
    options = {"scale": 0.001, "n_seeds": 2, "machine": CPU, **options}
    return reproduce(name, data, out, **options)


ALL = ["pretext", *["scan 0", "self-label 0", "scan 0", "self-label 0"]]
ALL += ["scan 1", "self-label 1", "scan 1", "self-label 1"]


def test_pretext_runs_once_and_the_rest_for_each_seed(cifar, trainers, tmp_path):
    result = run(cifar, tmp_path / "out")
    assert trainers.names == ALL
    assert result["stages"] == sorted(
        ["pretext", "mining"]
        + [f"{stage}-seed-{i}" for stage in ("scan", "self-label", "overcluster") for i in (0, 1)]
    )
    [accuracy] = [
        row
        for row in result["rows"]
        if (row["stage"], row["score"], row["by"]) == ("self-label", "accuracy", "")
    ]
    assert accuracy["n"] == 2
    assert 0 < accuracy["mean"] <= 1
    scans = [given for name, given in trainers.calls if name == "scan"]
    assert [given["n_clusters"] for given in scans] == [10, 20, 10, 20]
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["rows"] == result["rows"]
    scan = written["cells"]["scan-seed-0"]
    assert scan["n_steps"] == 6
    assert np.shape(scan["confusion"]) == (10, 10)
    assert len(scan["class_of_cluster"]) == len(scan["prototypes"]) == 10
    assert len(scan["k_means_scores"]["accuracy"]) == 10
    assert written["cells"]["self-label-seed-1"]["reason"] == "because"
    overcluster = written["cells"]["overcluster-seed-0"]
    assert overcluster["n_clusters"] == 20
    assert "accuracy" not in overcluster["scores"]


def test_finished_cells_do_not_run_again(cifar, trainers, tmp_path):
    first = run(cifar, tmp_path / "out", n_seeds=1, stage="self-label")
    again = run(cifar, tmp_path / "out", n_seeds=1, stage="self-label")
    assert trainers.names == ["pretext", "scan 0", "self-label 0"]
    assert again == first
    run(cifar, tmp_path / "out", n_seeds=2, stage="self-label")  # more seeds go on from there
    assert trainers.names[3:] == ["scan 1", "self-label 1"]


@pytest.mark.parametrize("fail_at", [0, 1, 2, 4, 7])
def test_a_run_that_is_cut_off_goes_on_with_the_next_cell(
    cifar, uncut, trainers, tmp_path, fail_at
):
    trainers.fail_at = fail_at
    with pytest.raises(RuntimeError, match="killed"):
        run(cifar, tmp_path)
    trainers.fail_at = None
    again = run(cifar, tmp_path)
    # an over-clustering that is cut off begins with its SCAN stage, which has its own checkpoint
    repeated = 1 if fail_at == 4 else 0
    assert len(trainers.calls) == len(ALL) + repeated
    assert trainers.names[fail_at:] == ALL[fail_at - repeated :]
    assert again["rows"] == uncut["rows"]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("pretext", ["pretext"]),
        ("mining", ["pretext"]),
        ("scan", ["pretext", "scan 0"]),
        ("self-label", ["pretext", "scan 0", "self-label 0"]),
        ("overcluster", ["pretext", "scan 0", "self-label 0"]),
    ],
)
def test_a_stage_runs_with_what_it_needs(cifar, trainers, tmp_path, stage, expected):
    result = run(cifar, tmp_path, stage=stage, n_seeds=1)
    assert trainers.names == expected
    assert any(name.startswith(stage) for name in result["stages"])


def test_labels_reach_no_trainer(cifar, trainers, tmp_path, monkeypatch):
    """With other labels, trainers are given the very same."""
    run(cifar, tmp_path / "a", n_seeds=1, stage="self-label")
    seen = trainers.calls
    trainers.calls = []
    read = layouts.read_data

    def read_shuffled(layout, source):
        data = read(layout, source)
        for split in (data.train, data.test):
            np.random.RandomState(0).shuffle(split.labels)
        return data

    monkeypatch.setattr(reproduction, "read_data", read_shuffled)
    run(cifar, tmp_path / "b", n_seeds=1, stage="self-label")
    assert len(trainers.calls) == len(seen)
    for (name, given), (other_name, other) in zip(seen, trainers.calls, strict=True):
        assert name == other_name
        assert given.keys() == other.keys()
        for key, value in given.items():
            if key == "checkpoint_dir":
                continue
            if isinstance(value, csr_matrix):
                assert (value != other[key]).nnz == 0
            else:
                np.testing.assert_array_equal(value, other[key])


def test_variants_choose_by_train_or_by_test_images(cifar, trainers, tmp_path):
    run(cifar, tmp_path / "sound", stage="scan", n_seeds=1)
    run(cifar, tmp_path / "faithful", stage="scan", n_seeds=1, variant="faithful")
    sound, faithful = (given for name, given in trainers.calls if name == "scan")
    assert sound["validation_images"] is None
    assert faithful["validation_images"].shape == (100, 32, 32, 3)

    def is_own_neighbor(graph):
        return [i in graph.indices[graph.indptr[i] : graph.indptr[i + 1]] for i in range(200)]

    assert all(is_own_neighbor(faithful["neighbors"]))
    assert not any(is_own_neighbor(sound["neighbors"]))


def test_pretext_sees_unlabelled_images_and_later_stages_do_not(trainers, tmp_path):
    write_stl10(tmp_path / "data", 200, 50, 150)
    run(tmp_path / "data", tmp_path / "out", "stl10", n_seeds=1, stage="scan")
    pretext, scan = (given for _, given in trainers.calls)
    assert len(pretext["images"]) == 350
    assert len(scan["images"]) == len(scan["features"]) == 200


def test_unreadable_images_are_left_out_of_features_and_scores(trainers, tmp_path):
    write_imagenet(tmp_path / "data", 12, 20, 5, side=16)
    broken = sorted((tmp_path / "data").glob("*/*/*_0000.JPEG"))
    for path in broken[:3]:
        path.write_bytes(b"no image")
    n_train = sum("train" in path.parts for path in broken[:3])
    with pytest.warns(UserWarning, match="could not be read"):
        run(tmp_path / "data", tmp_path / "out", "imagenet1000", n_seeds=1)
    scan = trainers.calls[-1][1]
    assert len(scan["images"]) == 240
    assert len(scan["features"]) == scan["neighbors"].shape[0] == 240 - n_train
    cell = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]["scan-seed-0"]
    assert cell["n_test"] == 60 - (3 - n_train)


def test_few_labels_run_beside_scan(trainers, tmp_path):
    write_imagenet(tmp_path / "data", 12, 20, 5, side=16)
    result = run(tmp_path / "data", tmp_path / "out", "imagenet1000-few-labels", n_seeds=2)
    assert trainers.names == ["pretext", "scan 0", "scan 1"]
    [row] = [
        row
        for row in result["rows"]
        if (row["stage"], row["score"]) == ("few-labels", "top_k_accuracy")
    ]
    assert row["n"] == 2
    assert row["published"][0]["value"] == 0.858


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 0.002}, r"scale: 0\.001 there, 0\.002 now"),
        ({"variant": "faithful"}, "recipe variant: 'sound' there, 'faithful' now"),
        ({"machine": Machine("cpu", "bf16")}, "precision: 'no' there, 'bf16' now"),
    ],
)
def test_other_parameters_in_the_same_folder_are_refused(
    cifar, trainers, tmp_path, change, message
):
    run(cifar, tmp_path, stage="pretext")
    with pytest.raises(OutputMismatchError, match=message):
        run(cifar, tmp_path, stage="pretext", **change)
    assert trainers.names == ["pretext"]


def test_other_data_in_the_same_folder_are_refused(cifar, trainers, tmp_path):
    run(cifar, tmp_path / "out", stage="pretext")
    write_cifar10(tmp_path / "other", 200, 50)
    with pytest.raises(OutputMismatchError, match=r"data: '[0-9a-f]+' there"):
        run(tmp_path / "other", tmp_path / "out", stage="pretext")


def test_wrong_arguments(cifar, tmp_path):
    with pytest.raises(ValueError, match=r"stage must be one of pretext, .*, got 'few-labels'"):
        run(cifar, tmp_path, stage="few-labels")
    with pytest.raises(ValueError, match="n_seeds must be at least 1, got 0"):
        run(cifar, tmp_path, n_seeds=0)
    with pytest.raises(ValueError, match="there is no recipe 'mnist'"):
        run(cifar, tmp_path, "mnist")
    assert list(tmp_path.iterdir()) == []


def test_a_given_network_takes_the_place_of_the_pretext_task(cifar, trainers, tmp_path):
    torch.save(small_weights("pretext"), tmp_path / "simclr.pth.tar")
    options = {"weights": tmp_path / "simclr.pth.tar", "stage": "scan", "n_seeds": 1}
    run(cifar, tmp_path / "out", **options)
    assert trainers.names == ["scan 0"]
    # its width is that of the file, whatever the scale; features are those after the projection
    assert trainers.calls[0][1]["features"].shape == (200, 8)
    state = skscan.load(tmp_path / "out" / "cells" / "pretext")
    assert state.network.architecture["width"] == 4
    cells = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    assert cells["pretext"]["n_steps"] == 0
    with pytest.raises(OutputMismatchError, match=r"weights: '[0-9a-f]+' there, None now"):
        run(cifar, tmp_path / "out", stage="scan", n_seeds=1)


def test_a_file_of_another_network_is_refused(cifar, trainers, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"no network")
    with pytest.raises(ModelFileError, match=r"x\.pth"):
        run(cifar, tmp_path / "out", weights=tmp_path / "x.pth")


@pytest.mark.parametrize(("width", "kind"), [(8, "pretext"), (64, "scan")])
def test_a_given_network_of_another_kind_is_refused(tmp_path, width, kind):
    architecture = {"stem": "cifar", "depth": 18, "width": width}
    with torch.random.fork_rng():
        weights = SmallResNet(**architecture).state_dict()
    weights = {f"backbone.{name}": value for name, value in weights.items()}
    d, path = 8 * width, tmp_path / "file.pth.tar"
    if kind == "pretext":
        shapes = {"0.weight": (d, d), "0.bias": (d,), "2.weight": (128, d), "2.bias": (128,)}
        head = {f"contrastive_head.{name}": torch.zeros(shape) for name, shape in shapes.items()}
        torch.save({**weights, **head}, path)
    else:
        head = {"cluster_head.0.weight": torch.zeros(10, d), "cluster_head.0.bias": torch.zeros(10)}
        torch.save({"model": {**weights, **head}, "head": 0}, path)
    with pytest.raises(ModelFileError, match="does not serve this recipe"):
        load_pretext(load_recipe("cifar10").pretext, path, Machine())
