"""Checkpoints: whose they are, what cannot be read, what cannot be written."""

import errno
import functools
import io
import pickle
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from loop_tasks import make_loop, make_task

import skscan
from skscan.exceptions import (
    CheckpointError,
    CheckpointMismatchError,
    SkscanWarning,
    TrainingDivergedError,
)
from skscan.training.checkpoints import Checkpoint
from skscan.training.identity import differences, flatten, hash_arrays
from skscan.training.loop import cosine

STATE = {"weights": torch.arange(1000.0), "position": {"epoch": 3, "losses": [0.5, 0.25]}}
IDENTITY = {"data": "hash", "seed": 1, "backbone": {"stem": "cifar", "depth": 18}}


def saved(folder, identity=None, state=None) -> Checkpoint:
    checkpoint = Checkpoint(folder, "simclr", identity or IDENTITY)
    checkpoint.save(state or STATE)
    return checkpoint


class TestRoundTrip:
    def test_nothing_yet(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "new" / "folder", "simclr", IDENTITY)
        assert checkpoint.load() is None
        assert checkpoint.path == tmp_path / "new" / "folder" / "simclr.checkpoint"

    def test_what_was_saved_last(self, tmp_path):
        saved(tmp_path).save({"weights": torch.ones(2)})
        state = Checkpoint(tmp_path, "simclr", IDENTITY).load()
        assert list(state) == ["weights"]
        assert torch.equal(state["weights"], torch.ones(2))

    def test_plain_data_of_all_kinds(self, tmp_path):
        state = {
            "numbers": (1, 2.5, True, None, "name"),
            "of numpy": {"accuracy": np.float64(0.5), "n": [np.int32(3)]},
            "half": torch.ones(2, dtype=torch.bfloat16),
        }
        loaded = saved(tmp_path, state=state).load()
        assert loaded["numbers"] == state["numbers"]
        assert loaded["of numpy"] == {"accuracy": 0.5, "n": [3]}
        assert type(loaded["of numpy"]["accuracy"]) is float
        assert loaded["half"].dtype == torch.bfloat16

    def test_what_could_not_be_read_back_is_not_saved(self, tmp_path):
        checkpoint = saved(tmp_path)
        with pytest.raises(TypeError, match="cannot hold state extra 1, which is a ndarray"):
            checkpoint.save({"extra": [0, np.ones(2)]})
        assert torch.equal(checkpoint.load()["weights"], STATE["weights"])

    def test_stages_have_files_of_their_own(self, tmp_path):
        saved(tmp_path)
        assert Checkpoint(tmp_path, "scan", IDENTITY).load() is None

    def test_memory_layout_is_kept(self, tmp_path):
        weights = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
        loaded = saved(tmp_path, state={"weights": weights}).load()["weights"]
        assert loaded.stride() == weights.stride()

    def test_when_the_next_save_is_due(self, tmp_path, monkeypatch):
        now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        checkpoint = Checkpoint(tmp_path, "simclr", IDENTITY)
        assert not checkpoint.is_due()
        now = 130.0
        assert checkpoint.is_due()
        checkpoint.save(STATE)
        assert not checkpoint.is_due()

    def test_what_a_killed_run_left_is_removed_and_nothing_else(self, tmp_path):
        checkpoint = saved(tmp_path)
        left = tmp_path / ".skscan-simclr.checkpoint-abc.tmp"
        of_another_stage = tmp_path / ".skscan-scan.checkpoint-abc.tmp"
        for path in (left, of_another_stage):
            path.write_bytes(b"half")
        checkpoint.load()
        assert not left.exists()
        assert of_another_stage.exists()


class TestMismatch:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"data": "other"}, "data: 'hash' there, 'other' now"),
            ({"seed": 2}, "seed: 1 there, 2 now"),
            ({"backbone": {"stem": "stl", "depth": 18}}, "backbone stem: 'cifar' there, 'stl' now"),
            ({"backbone": "resnet18"}, "backbone: 'nothing' there, 'resnet18' now"),
            ({"batch_size": 3}, "batch_size: 'nothing' there, 3 now"),
        ],
    )
    def test_what_differs_is_named(self, tmp_path, change, message):
        checkpoint = saved(tmp_path)
        before = checkpoint.path.read_bytes()
        other = Checkpoint(tmp_path, "simclr", {**IDENTITY, **change})
        with pytest.raises(CheckpointMismatchError, match=message) as caught:
            other.load()
        assert "another checkpoint_dir to keep it, or remove the file" in str(caught.value)
        for name in set(IDENTITY) - set(change):
            assert f"{name}:" not in str(caught.value)
        assert checkpoint.path.read_bytes() == before

    def test_all_differences_are_named(self, tmp_path):
        saved(tmp_path)
        with pytest.raises(CheckpointMismatchError, match=r"\(data: .*; seed: .*\)"):
            Checkpoint(tmp_path, "simclr", {**IDENTITY, "seed": 2, "data": "other"}).load()

    def test_what_can_be_read_comes_before_hashes(self):
        there, now = {"a": "0" * 32, "n": 9, "z": None}, {"a": "1" * 32, "n": 8, "z": 1}
        assert differences(there, now).startswith("n: 9 there, 8 now; z: None there, 1 now; a: ")

    def test_another_version(self, tmp_path, monkeypatch):
        saved(tmp_path)
        monkeypatch.setattr("skscan.training.checkpoints.code_version", lambda: "99.0")
        with pytest.raises(
            CheckpointMismatchError,
            match=rf"skscan version: '{skscan.__version__}, sources \w+' there, '99.0' now",
        ):
            Checkpoint(tmp_path, "simclr", IDENTITY).load()


class Augment:
    def __init__(self, strength):
        self.strength = strength


def augment(size, mean, std):
    return size


def adding(n):
    return lambda x: x + n


class TestIdentity:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (np.float64(0.5), 0.5),
            (np.int64(3), 3),
            ((1, 2), [1, 2]),
            (augment, augment),
            (adding(1), adding(1)),
            (Augment(0.5), Augment(0.5)),
            (Augment, Augment),
            (functools.partial(augment, 1), functools.partial(augment, 1)),
            (np.ones(5000), np.ones(5000)),
            ({"a", "b", "c"}, {"c", "b", "a"}),
        ],
    )
    def test_equal_values_are_equal(self, first, second):
        assert flatten({"value": first}) == flatten({"value": second})

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (1, 2),
            ("1", 1),
            ((1, 2), (1, 3)),
            (adding(1), adding(2)),
            (lambda x: x + 1, lambda x: x + 2),
            (lambda x: x.mean(), lambda x: x.max()),
            (lambda x, n=1: x, lambda x, n=2: x),
            (Augment(0.5), Augment(0.6)),
            (functools.partial(augment, 1), functools.partial(augment, 2)),
            (np.arange(5000), np.arange(5000) % 2500),
            (torch.arange(5000), torch.arange(5000) % 2500),
            (np.zeros(4), np.zeros((2, 2))),
            ({"depth": 18}, {"depth": 10}),
        ],
    )
    def test_different_values_are_different(self, first, second):
        assert flatten({"value": first}) != flatten({"value": second})

    def test_functions_and_objects_are_the_same_in_another_process(self):
        code = (
            "from skscan.training.identity import flatten\n"
            "class Augment:\n"
            "    def __init__(self): self.colors = {'red', 'green', 'blue'}\n"
            "f = lambda x: x in {'a', 'b', 'c', 'd'}\n"
            "print(flatten({'f': f, 'object': Augment(), 'method': Augment().__init__}))"
        )
        printed = {
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
            for _ in range(2)
        }
        assert len(printed) == 1
        assert b"0x" not in printed.pop()

    def test_hashes_of_arrays(self, monkeypatch):
        values = np.arange(24).reshape(6, 4)
        expected = hash_arrays(values)
        assert hash_arrays(np.asfortranarray(values)) == expected
        assert hash_arrays(values.reshape(4, 6)) != expected
        assert hash_arrays(values.astype(np.int32)) != expected
        assert hash_arrays(values[::-1]) != expected
        assert hash_arrays(np.array(3), np.zeros((0, 4)), np.zeros((3, 0))) != hash_arrays(
            np.array(4), np.zeros((0, 4)), np.zeros((3, 0))
        )
        monkeypatch.setattr("skscan.training.identity._CHUNK_BYTES", 50)
        assert hash_arrays(values) == expected


class Evil:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def torch_file(document) -> bytes:
    stream = io.BytesIO()
    torch.save(document, stream)
    return stream.getvalue()


class TestDamage:
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_cut_off(self, tmp_path, share):
        checkpoint = saved(tmp_path)
        content = checkpoint.path.read_bytes()
        checkpoint.path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(CheckpointError, match=r"is damaged or no checkpoint .*; remove it"):
            checkpoint.load()

    def test_a_flipped_bit_in_a_weight(self, tmp_path):
        checkpoint = saved(tmp_path)
        content = bytearray(checkpoint.path.read_bytes())
        at = content.index(torch.arange(1000.0)[500:510].numpy().tobytes())
        content[at] ^= 1
        checkpoint.path.write_bytes(content)
        with pytest.raises(CheckpointError, match="wrong check sum"):
            checkpoint.load()

    def test_malicious_pickles_do_not_run(self, tmp_path):
        target = tmp_path / "written"
        checkpoint = Checkpoint(tmp_path / "checkpoints", "simclr", IDENTITY)
        for content in (
            torch_file({"identity": Evil(target), "state": {}}),
            torch_file({"identity": {}, "state": {"weights": Evil(target)}}),
            pickle.dumps(Evil(target)),
        ):
            checkpoint.path.write_bytes(content)
            with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
                checkpoint.load()
        assert not target.exists()

    @pytest.mark.parametrize(
        "content",
        [
            b"not a file of torch",
            torch_file(3),
            torch_file([1, 2]),
            torch_file({"state": {}}),
            torch_file({"identity": [], "state": {}}),
            torch_file({"identity": {}, "state": 3}),
        ],
    )
    def test_other_files(self, tmp_path, content):
        checkpoint = Checkpoint(tmp_path, "simclr", IDENTITY)
        checkpoint.path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
            checkpoint.load()

    def test_another_zip(self, tmp_path):
        checkpoint = Checkpoint(tmp_path, "simclr", IDENTITY)
        with zipfile.ZipFile(checkpoint.path, "w") as archive:
            archive.writestr("readme.txt", "hello")
        with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
            checkpoint.load()

    def test_a_file_that_cannot_be_read_is_not_called_damaged(self, tmp_path):
        checkpoint = Checkpoint(tmp_path, "simclr", IDENTITY)
        checkpoint.path.mkdir()
        with pytest.raises(IsADirectoryError):
            checkpoint.load()

    @pytest.mark.parametrize(
        "change",
        [
            lambda state: state.pop("optimizer"),
            lambda state: state["network"].pop("1.bias"),
            lambda state: state["network"].update({"1.bias": torch.zeros(77)}),
            lambda state: state["position"].update(steps=3),
            lambda state: state.update(position=4),
        ],
    )
    def test_the_state_of_another_network(self, tmp_path, change):
        checkpoint = Checkpoint(tmp_path, "pairs", {})
        make_loop(make_task("pairs"), checkpoint, n_epochs=1).run()
        state = checkpoint.load()
        change(state)
        checkpoint.save(state)
        with pytest.raises(CheckpointError, match="does not hold the state of this network"):
            make_loop(make_task("pairs"), checkpoint).run()


FILLER = "other people's files"


class TestFullDisk:
    def check(self, folder, fail):
        """A training whose saves fail from the second epoch on ends as if nothing had been."""
        expected = make_task("pairs")
        history = make_loop(expected, n_epochs=3).run()
        task = make_task("pairs")
        checkpoint = Checkpoint(folder, "pairs", {})
        make_loop(task, checkpoint, n_epochs=1, learning_rate=cosine(0.1, 3)).run()
        good = checkpoint.path.read_bytes()
        again = make_task("pairs")
        loop = make_loop(again, checkpoint, n_epochs=3)
        fail()
        with pytest.warns(SkscanWarning, match="could not be written") as caught:
            assert loop.run() == history
        assert "training goes on, and what was saved before is intact" in str(caught[0].message)
        assert again.losses == expected.losses
        assert checkpoint.path.read_bytes() == good
        assert checkpoint.load()["position"]["epoch"] == 1
        assert {path.name for path in folder.iterdir()} - {FILLER} == {"pairs.checkpoint"}
        return str(caught[0].message)

    def test_while_the_file_is_written(self, tmp_path, monkeypatch):
        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        message = self.check(tmp_path, lambda: monkeypatch.setattr("os.fsync", full))
        assert "No space left on device" in message

    def test_files_may_not_grow(self, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            self.check(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_a_small_disk(self, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
        try:
            mounted = subprocess.run(options, capture_output=True).returncode == 0
        except OSError:
            mounted = False
        if not mounted:
            pytest.skip("mounting a file system is not allowed")
        try:
            self.check(disk, lambda: self.fill(disk))
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def fill(self, disk):
        content = bytes(2**20)
        with open(disk / FILLER, "wb", buffering=0) as file:
            while file.write(content) == len(content):
                pass


class TestDivergence:
    def spoil(self, task, step):
        loss, n_steps = task.loss, 0

        def spoiled(outputs):
            nonlocal n_steps
            n_steps += 1
            total, terms = loss(outputs)
            return (total * float("nan") if n_steps == step else total), terms

        task.loss = spoiled

    def test_the_last_good_state_is_named_and_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr("skscan.training.checkpoints.CHECKPOINT_SECONDS", 0.0)
        task, checkpoint = make_task("pairs"), Checkpoint(tmp_path, "pairs", {})
        self.spoil(task, 5)
        with pytest.raises(TrainingDivergedError) as caught:
            make_loop(task, checkpoint).run()
        assert "pairs: the loss became nan in epoch 1, step 1" in str(caught.value)
        assert f"{checkpoint.path} holds the last good state" in str(caught.value)
        position = checkpoint.load()["position"]
        assert (position["epoch"], position["step"]) == (1, 1)
        # It is good: from there, without the fault, training ends as if there had been none.
        again, expected = make_task("pairs"), make_task("pairs")
        make_loop(again, checkpoint).run()
        make_loop(expected).run()
        assert again.losses[-1] == expected.losses[-1]

    def test_before_the_first_save(self, tmp_path):
        task, checkpoint = make_task("pairs"), Checkpoint(tmp_path, "pairs", {})
        self.spoil(task, 1)
        with pytest.raises(TrainingDivergedError, match="so there is no checkpoint"):
            make_loop(task, checkpoint).run()
        assert checkpoint.load() is None

    @pytest.mark.parametrize("where", ["weight", "running_mean", "momentum_buffer"])
    def test_spoiled_states_are_not_saved(self, tmp_path, monkeypatch, where):
        monkeypatch.setattr("skscan.training.checkpoints.CHECKPOINT_SECONDS", 0.0)
        task, checkpoint = make_task("pairs"), Checkpoint(tmp_path, "pairs", {})
        loop = make_loop(task, checkpoint)
        n_steps = 0

        def after_step():
            nonlocal n_steps
            n_steps += 1
            if n_steps == 3:
                momentum = loop._optimizer.state[task.network[1].weight]["momentum_buffer"]
                tensors = {
                    "weight": task.network[1].weight.data,
                    "running_mean": task.network[0].bn1.running_mean,
                    "momentum_buffer": momentum,
                }
                tensors[where][0] = float("nan")

        task.after_step = after_step
        with pytest.raises(TrainingDivergedError, match="holds the last good state"):
            loop.run()
        state = checkpoint.load()
        assert state["position"]["step"] == 2
        assert torch.isfinite(state["network"]["1.weight"]).all()
