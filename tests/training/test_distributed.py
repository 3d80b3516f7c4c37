"""Several processes give the losses of one."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from loop_tasks import VARIANTS, make_loop, make_task, make_variant, stop_after, weights_of
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from two_processes import STEPS_BEFORE_STOP

from skscan.training.checkpoints import Checkpoint
from skscan.training.distributed import gather_rows, of_main_process, synchronized_batch_norm

SCRIPT = Path(__file__).parent / "two_processes.py"
TORCHRUN = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port"]
# Without GPUs this only says that there are several processes; the loop says that they use CPUs.
ACCELERATE = [
    *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--gradient_accumulation_steps", "3"),
    "--main_process_port",
]
N_STEPS = 6


def launch(launcher: list[str], folder: Path) -> None:
    """Run the script by two processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent.parent)])
    subprocess.run(
        [sys.executable, "-m", *launcher, str(port), str(SCRIPT), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )


def begin_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skscan.training.checkpoints.CHECKPOINT_SECONDS", 0.0)
    task = make_task("simclr")
    stop_after(task, STEPS_BEFORE_STOP)
    with suppress(InterruptedError):
        make_loop(task, Checkpoint(folder / "one", "simclr", {})).run()


class Run:
    """What the two processes left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = [json.loads((folder / f"{i}.json").read_text()) for i in range(2)]
        self.weights = [dict(np.load(folder / f"{i}.npz")) for i in range(2)]

    def check(self, name: str, task, n_steps: int = N_STEPS) -> None:
        """Compare losses and weights with those of a task that one process has trained."""
        for result, weights in zip(self.results, self.weights, strict=True):
            assert len(result["losses"][name]) == n_steps
            assert_allclose(result["losses"][name], task.losses[:n_steps], rtol=0, atol=1e-5)
            if n_steps == N_STEPS:
                for key, value in weights_of(task.network).items():
                    found = weights[f"{name}/{key}"]
                    assert_allclose(found, value, rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as monkeypatch:
        begin_by_one(folder, monkeypatch)
    launch(TORCHRUN, folder)
    return Run(folder)


def trained_by_one(name: str):
    task, settings = make_variant(name)
    make_loop(task, **settings).run()
    return task


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_give_the_losses_and_weights_of_one(run, name):
    task = trained_by_one(name)
    assert len(set(task.losses)) == N_STEPS
    run.check(name, task)


def test_both_processes_hold_the_same_weights(run):
    first, second = run.weights
    assert first.keys() == second.keys()
    for name in first:
        assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("name", ["begun by one", "gone on with by two"])
def test_two_processes_go_on_with_what_one_or_two_began(run, name):
    run.check(name, trained_by_one("simclr"))


def test_one_process_goes_on_with_what_two_began(run):
    run.check("left by two", trained_by_one("pairs"), STEPS_BEFORE_STOP)
    task = make_task("pairs")
    make_loop(task, Checkpoint(run.folder / "two", "pairs", {})).run()
    run.check("left by two", task, STEPS_BEFORE_STOP)
    assert_allclose(task.losses, trained_by_one("pairs").losses, rtol=0, atol=1e-5)


def test_only_the_main_process_writes_checkpoints(run):
    # After each step and each epoch: two trainings are begun, and end in their second epoch; two
    # are gone on with, from there to its end.
    begun, gone_on_with = STEPS_BEFORE_STOP + 1, N_STEPS - STEPS_BEFORE_STOP + 1
    n_saves = [result["n_saves"] for result in run.results]
    assert n_saves == [2 * begun + 2 * gone_on_with, 0]
    assert {path.name for path in (run.folder / "two").iterdir()} == {
        "simclr.checkpoint",
        "pairs.checkpoint",
    }


def test_only_the_main_process_writes_scalars(run):
    folders = sorted((run.folder / "log").iterdir())
    assert [folder.name for folder in folders] == ["pairs", "scan", "self-labelling", "simclr"]
    assert all(list(folder.iterdir()) for folder in folders)


def test_batches_that_processes_cannot_share_are_refused(run):
    for result in run.results:
        assert "batch_size=7 must be a multiple of the number of processes, 2" in result["error"]


@pytest.mark.slow
def test_accelerate_launch(tmp_path, monkeypatch):
    begin_by_one(tmp_path, monkeypatch)
    launch(ACCELERATE, tmp_path)
    run = Run(tmp_path)
    for name in ("simclr", "pairs"):
        run.check(name, trained_by_one(name))


def test_one_process_needs_no_group():
    rows = torch.ones(2, requires_grad=True)
    assert gather_rows(rows).tolist() == [1, 1]
    assert not gather_rows(rows).requires_grad
    assert of_main_process(lambda: 3) == 3


def test_layers_are_what_they_were_afterwards(monkeypatch):
    monkeypatch.setattr("skscan.training.distributed.n_processes", lambda: 2)
    layers = nn.Sequential(
        nn.BatchNorm2d(3), nn.BatchNorm1d(3), nn.GroupNorm(1, 3), nn.Linear(3, 3)
    )
    kinds = [type(layer) for layer in layers]
    names = list(layers.state_dict())
    with synchronized_batch_norm(layers):
        assert [type(layer).__name__ for layer in layers] == [
            "SynchronizedBatchNorm2d",
            "SynchronizedBatchNorm1d",
            "GroupNorm",
            "Linear",
        ]
        assert isinstance(layers[0], nn.BatchNorm2d)
        assert list(layers.state_dict()) == names
    assert [type(layer) for layer in layers] == kinds


def test_layers_that_cannot_be_synchronised_are_named(monkeypatch):
    class OwnNorm(nn.BatchNorm2d):
        pass

    monkeypatch.setattr("skscan.training.distributed.n_processes", lambda: 2)
    layers = nn.Sequential(OwnNorm(3))
    message = "OwnNorm normalise by the batch of their own process"
    with pytest.warns(UserWarning, match=message), synchronized_batch_norm(layers):
        assert type(layers[0]) is OwnNorm


@pytest.mark.parametrize("momentum", [0.1, 0.0, None])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (6, 4)), (nn.BatchNorm2d, (6, 4, 3, 3))]
)
@pytest.mark.parametrize("affine", [True, False])
def test_synchronised_layers_compute_what_torch_does(monkeypatch, kind, shape, momentum, affine):
    # Two processes with the same rows have the moments of one of them.
    monkeypatch.setattr("skscan.training.distributed.n_processes", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda values: values.mul_(2))
    generator = torch.Generator().manual_seed(0)
    ours, reference = (kind(4, momentum=momentum, affine=affine) for _ in range(2))
    for _ in range(2):
        inputs = torch.randn(shape, generator=generator) * 3 + 1
        weights = torch.randn(shape, generator=generator)
        here, of_both = (inputs.clone().requires_grad_() for _ in range(2))
        with synchronized_batch_norm(ours):
            outputs = ours(here)
            (outputs * weights).sum().backward()
        expected = reference(torch.cat([of_both, of_both]))
        (expected * torch.cat([weights, weights])).sum().backward()
        assert_allclose(outputs.detach(), expected[: len(inputs)].detach(), rtol=1e-4, atol=1e-5)
        # Both copies of the rows have a part in the gradient.
        assert_allclose(here.grad, of_both.grad / 2, rtol=1e-3, atol=1e-5)
    for name, value in reference.state_dict().items():
        assert_allclose(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
