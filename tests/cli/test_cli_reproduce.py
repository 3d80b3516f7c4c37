"""``skscan reproduce``: a real run of every stage, small; what it prints, keeps and refuses."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from recipe_trees import (
    write_cifar10,
    write_cifar100,
    write_class_folders,
    write_imagenet,
    write_stl10,
)
from typer.testing import CliRunner

from skscan.cli import app
from skscan.exceptions import TrainingDivergedError
from skscan.recipes import runner

SMALL = ["--scale", 0.001, "--seeds", 1, "--device", "cpu"]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar")
    write_cifar10(folder, 200, 100)
    return folder


@pytest.fixture(scope="module")
def reproduced(cifar, tmp_path_factory):
    """The folder of one run of every stage, and what it printed as JSON."""
    out = tmp_path_factory.mktemp("reproduced") / "out"
    arguments = ["reproduce", "cifar10", "--data", cifar, "-o", out, "--json", *SMALL]
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.stderr
    return out, json.loads(outcome.stdout)


def check_training(cells, recipe):
    """Every stage that trains made at least 20 steps of the optimiser, and its loss fell."""
    histories = {}
    for name, cell in cells.items():
        if "history" in cell:
            histories[name] = cell["history"]
        if "scan" in cell:
            histories[f"{name}, SCAN"] = cell["scan"]["history"]
    assert histories
    for name, history in histories.items():
        # a pass without any confident image makes no step
        passes = [entry for entry in history if "loss" in entry]
        assert sum(entry["steps"] for entry in passes) >= 20, name
        # until the queue is full of keys, MoCo's task is easier
        first = passes[1 if name == "pretext" and recipe.startswith("imagenet") else 0]
        best = min(entry["loss"] for entry in passes[2:])
        assert best < first["loss"], (name, [entry["loss"] for entry in passes])
        assert passes[-1]["loss"] < first["loss"], (name, [entry["loss"] for entry in passes])


def test_every_stage_trains(reproduced):
    out, _ = reproduced
    cells = json.loads((out / "results.json").read_text())["cells"]
    assert set(cells) == {
        "pretext",
        "mining",
        "scan-seed-0",
        "self-label-seed-0",
        "overcluster-seed-0",
    }
    check_training(cells, "cifar10")
    # Above chance: 0.17 for one hundred images in ten random clusters would be much. So few steps
    # end anywhere from 0.24 to 0.5, by the instructions of the processor and the number of threads.
    assert np.mean(cells["pretext"]["scores"]["accuracy"]) > 0.4
    assert cells["mining"]["scores"]["purity_train"] > 0.5
    assert cells["scan-seed-0"]["scores"]["accuracy"] > 0.2
    assert os.listdir(out / "checkpoints") == []


def test_models_of_cells_predict(skscan, cifar, reproduced, tmp_path):
    out, _ = reproduced
    write_class_folders(tmp_path / "images", ["cat", "dog"], 2, 2, 32)
    run = skscan("predict", out / "cells" / "scan-seed-0", tmp_path / "images", "--json")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["n_skipped"] == 0
    run = skscan("convert", out / "cells" / "pretext", "-o", tmp_path / "simclr.pth.tar")
    assert run.exit_code == 0, run.stderr


def test_json_is_one_object_with_ours_beside_the_papers(reproduced):
    out, printed = reproduced
    assert printed["recipe"] == "cifar10"
    assert printed["variant"] == "sound"
    assert printed["out"] == str(out / "results.json")
    [row] = [
        row
        for row in printed["rows"]
        if (row["stage"], row["score"], row["by"]) == ("self-label", "accuracy", "")
    ]
    assert 0 < row["mean"] <= 1
    assert [(p["row"], p["value"]) for p in row["published"]] == [
        ("average", 0.876),
        ("best", 0.883),
    ]


def test_the_same_command_again_only_prints(skscan, cifar, reproduced):
    out, _ = reproduced
    cells = json.loads((out / "results.json").read_text())["cells"]
    run = skscan("reproduce", "cifar10", "--data", cifar, "-o", out, *SMALL)
    assert run.exit_code == 0, run.stderr
    assert json.loads((out / "results.json").read_text())["cells"] == cells
    assert "..." not in run.stderr  # no stage began
    lines = [" ".join(line.split()) for line in run.stdout.splitlines()]
    assert lines[0] == "CIFAR-10 (sound), test split, per cent"
    assert any(line.startswith("stage score ours published") for line in lines)
    self_label = next(line for line in lines if line.startswith("self-label"))
    assert " ACC " in self_label
    assert "87.6 ± 0.4" in self_label
    undone = not cells["self-label-seed-0"]["accepted"]
    assert ("self-label†" in self_label) == undone
    assert any(line.startswith("† self-label: in 1 of 1 runs") for line in lines) == undone
    assert "note: 200 train images instead of 50,000" in lines
    assert any("not comparable with the paper's figures" in line for line in lines)
    assert lines[-1] == f"results: {out / 'results.json'}"


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--scale", 0.002], "scale: 0.001 there, 0.002 now"),
        (["--variant", "faithful"], "recipe variant: 'sound' there, 'faithful' now"),
        (["--precision", "bf16"], "precision: 'no' there, 'bf16' now"),
    ],
)
def test_other_parameters_in_the_same_folder_are_refused(
    skscan, cifar, reproduced, options, difference
):
    out, _ = reproduced
    before = (out / "results.json").read_bytes()
    run = skscan("reproduce", "cifar10", "--data", cifar, "-o", out, *SMALL, *options)
    assert run.exit_code == 2
    assert difference in run.stderr
    assert (out / "results.json").read_bytes() == before


def test_quiet_says_nothing(skscan, cifar, reproduced):
    out, _ = reproduced
    run = skscan("reproduce", "cifar10", "--data", cifar, "-o", out, *SMALL, "--quiet")
    assert run.exit_code == 0
    assert run.output == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "there is no recipe 'mnist'; there are cifar10,"),
        (["cifar-10"], "Did you mean 'cifar10'?"),
        (["cifar10", "--stage", "few-labels"], "cifar10 has no stage few-labels; it has pretext"),
        (["cifar10", "--scale", "2"], "--scale takes a number above 0 and at most 1, got 2"),
        (["cifar10", "--scale", "nan"], "--scale takes a number above 0 and at most 1, got nan"),
        (["cifar10", "--seeds", "0"], "got 0, takes a whole number of at least 1"),
        (["cifar10", "--weights", "none.pth"], "no such file: --weights none.pth"),
        (["cifar10", "--variant", "loud"], "'loud' is not one of 'sound', 'faithful'"),
    ],
)
def test_wrong_use(skscan, cifar, tmp_path, arguments, message):
    run = skscan("reproduce", *arguments, "--data", cifar, "-o", tmp_path / "out")
    assert run.exit_code == 2
    assert message in run.stderr
    assert not (tmp_path / "out").exists()


def test_help_has_examples(skscan):
    run = skscan("reproduce", "--help")
    assert run.exit_code == 0
    assert "  skscan reproduce cifar10 " in run.stdout.split("Examples:")[1]


def test_a_training_that_diverges_is_explained(skscan, cifar, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise TrainingDivergedError("simclr: the loss is nan in epoch 0")

    monkeypatch.setattr(runner, "train_pretext", diverge)
    run = skscan("reproduce", "cifar10", "--data", cifar, "-o", tmp_path / "out", *SMALL)
    assert run.exit_code == 1
    assert "Error: simclr: the loss is nan in epoch 0" in run.stderr


def test_missing_and_wrong_data(skscan, tmp_path):
    run = skscan("reproduce", "cifar10", "--data", tmp_path / "none", "-o", tmp_path / "out")
    assert run.exit_code == 2
    assert "no such folder or zip" in run.stderr
    write_class_folders(tmp_path / "data", ["a", "b"], 2, 1, 8)
    run = skscan("reproduce", "cifar10", "--data", tmp_path / "data", "-o", tmp_path / "out")
    assert run.exit_code == 1
    assert "the data has 2 classes, CIFAR-10 has 10" in run.stderr
    run = skscan("reproduce", "stl10", "--data", tmp_path, "-o", tmp_path / "out", "--quiet")
    assert run.exit_code == 1
    assert "the data has 2 classes, STL-10 has 10" in run.stderr
    assert not (tmp_path / "out").exists()


# Layout and size of a tree for each row; the classes of small trees are those of the row.
TREES = {
    "cifar10": lambda folder: write_cifar10(folder, 300, 100),
    "cifar100-20": lambda folder: write_cifar100(folder, 300, 100),
    "stl10": lambda folder: write_stl10(folder, 200, 100, 100),
    "imagenet50": lambda folder: write_imagenet(folder, 50, 8, 2),
    "imagenet100": lambda folder: write_imagenet(folder, 100, 8, 2),
    "imagenet200": lambda folder: write_imagenet(folder, 200, 8, 2),
    "imagenet1000": lambda folder: write_imagenet(folder, 12, 30, 5),
    "imagenet1000-few-labels": lambda folder: write_imagenet(folder, 12, 30, 5),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["sound", "faithful"])
@pytest.mark.parametrize("name", TREES)
def test_every_row_runs_at_small_scale(skscan, tmp_path, name, variant):
    TREES[name](tmp_path / "data")
    out = tmp_path / "out"
    run = skscan(
        "reproduce", name, "--data", tmp_path / "data", "-o", out, "--variant", variant, *SMALL
    )
    assert run.exit_code == 0, run.stderr
    check_training(json.loads((out / "results.json").read_text())["cells"], name)


@pytest.mark.slow
def test_killed_runs_end_as_one_that_was_never_killed(cifar, reproduced, tmp_path):
    whole, _ = reproduced
    arguments = ["reproduce", "cifar10", "--data", cifar, "-o", tmp_path, "--quiet", *SMALL]
    command = [sys.executable, "-m", "skscan", *map(str, arguments)]
    rng = np.random.RandomState(0)
    n_kills = 0
    for _ in range(100):
        process = subprocess.Popen(command)
        try:
            process.wait(timeout=rng.uniform(8, 20))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_kills += 1
            continue
        assert process.returncode == 0
        break
    assert n_kills > 0
    ours, expected = (
        json.loads((folder / "results.json").read_text())["cells"] for folder in (tmp_path, whole)
    )
    for cell in [*ours.values(), *expected.values()]:
        del cell["seconds"]
    assert ours == expected
