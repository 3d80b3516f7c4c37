"""The folder of a reproduction: whole after every kill, and never another run's."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from recipe_trees import write_cifar10, write_class_folders, write_stl10

from skscan.networks.heads import LinearHeads
from skscan.recipes import OutputMismatchError, read_data
from skscan.recipes.store import Store, cell_name, fingerprint

IDENTITY = {"recipe": {"name": "x", "scan": {"n_epochs": 5}}, "scale": 0.5, "data": "abc"}


def heads() -> LinearHeads:
    return LinearHeads(np.ones((1, 2, 3), np.float32), np.zeros((1, 2), np.float32))


def test_finished_cells_are_there_again(tmp_path):
    out = tmp_path / "new" / "out"
    result = {"stage": "scan", "scores": {"accuracy": np.float32(0.5)}, "loss": float("nan")}
    with Store(out, IDENTITY) as store:
        (store.checkpoint_dir("scan-seed-0")).mkdir(parents=True)
        store.finish(cell_name("scan", 0), result, {"heads": heads(), "best_head": 0})
        assert not store.checkpoint_dir("scan-seed-0").exists()
    with Store(out, IDENTITY) as store:
        assert store.cells == {
            "scan-seed-0": {"stage": "scan", "scores": {"accuracy": 0.5}, "loss": None}
        }
        state = store.load_model("scan-seed-0")
        np.testing.assert_array_equal(state["heads"].weights, heads().weights)
        assert store.load_model("scan-seed-1") is None
    assert json.loads((out / "results.json").read_text())["format"] == "skscan reproduction"


def test_another_run_is_refused_by_what_differs(tmp_path):
    with Store(tmp_path, IDENTITY) as store:
        store.finish("mining", {"stage": "mining"}, None)
    other = {**IDENTITY, "scale": 1.0, "recipe": {"name": "x", "scan": {"n_epochs": 6}}}
    message = r"another run \(recipe scan n_epochs: 5 there, 6 now; scale: 0\.5 there, 1\.0 now\)"
    with pytest.raises(OutputMismatchError, match=message), Store(tmp_path, other):
        pass
    with pytest.raises(OutputMismatchError, match="data: 'abc' there, 'abd' now"):
        Store(tmp_path, {**IDENTITY, "data": "abd"}).__enter__()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}', '{"format": 1, "x": 2}'])
def test_damaged_and_foreign_results_are_refused(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(OutputMismatchError, match="damaged or no results file"):
        Store(tmp_path, IDENTITY).__enter__()
    assert (tmp_path / "results.json").read_text() == content


def test_folders_with_other_files_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputMismatchError, match=r"'thesis.tex' is in it"):
        Store(tmp_path, IDENTITY).__enter__()
    with pytest.raises(OutputMismatchError, match="is a file, no folder"):
        Store(tmp_path / "thesis.tex", IDENTITY).__enter__()


def test_lost_files_of_a_finished_cell_are_told(tmp_path):
    with Store(tmp_path, IDENTITY) as store:
        store.finish("pretext", {"stage": "pretext"}, {"heads": heads()})
    for path in (tmp_path / "cells" / "pretext").iterdir():
        path.unlink()
    with (
        Store(tmp_path, IDENTITY) as store,
        pytest.raises(OutputMismatchError, match="'pretext' is finished, but its files are"),
    ):
        store.load_model("pretext")


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (
        Store(tmp_path, IDENTITY),
        pytest.raises(OutputMismatchError, match="another process is writing"),
    ):
        Store(tmp_path, IDENTITY).__enter__()
    with Store(tmp_path, IDENTITY):
        pass


WRITER = """
import sys
from skscan.recipes.store import Store
with Store(sys.argv[1], {"a": 1}) as store:
    for i in range(100_000):
        store.finish(f"cell-{i}", {"stage": "x", "history": [i] * 2000}, None)
        print(i, flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_results(tmp_path):
    rng = np.random.RandomState(0)
    n_before = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        told = process.communicate()[0].split()
        with Store(tmp_path, {"a": 1}) as store:  # readable, and the lock is gone
            n_cells = len(store.cells)
        assert n_cells >= max(n_before, len(told))
        n_before = n_cells


def test_a_failed_write_leaves_the_last_results(tmp_path, monkeypatch):
    with Store(tmp_path, IDENTITY) as store:
        store.finish("mining", {"stage": "mining"}, None)
        before = (tmp_path / "results.json").read_bytes()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            store.finish("scan-seed-0", {"stage": "scan"}, None)
        assert error.value.filename == str(tmp_path / "results.json")
    assert (tmp_path / "results.json").read_bytes() == before


def test_fingerprint_knows_pixels_labels_and_files(tmp_path):
    write_cifar10(tmp_path / "a", 50, 20)
    data = read_data("cifar10", tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "moved")
    assert fingerprint(read_data("cifar10", tmp_path / "moved")) == fingerprint(data)
    changed = read_data("cifar10", tmp_path / "moved")
    changed.train.images[7, 3, 3, 0] ^= 1
    assert fingerprint(changed) != fingerprint(data)
    changed = read_data("cifar10", tmp_path / "moved")
    changed.test.labels[0] ^= 1
    assert fingerprint(changed) != fingerprint(data)


def test_fingerprint_of_files_and_of_unlabelled_images(tmp_path):
    write_class_folders(tmp_path / "a", ["x", "y"], 2, 1, 8)
    first = fingerprint(read_data("cifar10", tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert fingerprint(read_data("cifar10", tmp_path / "b")) == first
    with next((tmp_path / "b" / "train" / "x").iterdir()).open("ab") as file:
        file.write(b"more")
    assert fingerprint(read_data("cifar10", tmp_path / "b")) != first
    write_stl10(tmp_path / "with", 10, 10, 10)
    write_stl10(tmp_path / "without", 10, 10, 0)
    data = [read_data("stl10", tmp_path / name) for name in ("with", "without")]
    assert fingerprint(data[0]) != fingerprint(data[1])
