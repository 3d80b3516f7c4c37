"""Hugging Face accelerate as the loop needs it: one run's own, and nothing of it left behind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from skscan.training.distributed import n_processes

if TYPE_CHECKING:
    from skscan.training.loop_settings import LoopSettings

__all__ = ["device_of_run", "make_accelerator", "prepared", "start_log"]

_LEFT_ON_NETWORKS = ("forward", "_original_forward", "_is_accelerate_prepared")


@contextmanager
def make_accelerator(settings: LoopSettings) -> Iterator[Any]:
    """Make an accelerator for the length of a run.

    accelerate keeps its first settings for the life of the process. Here each run has its own, and
    whoever uses accelerate besides finds theirs unchanged.

    Parameters
    ----------
    settings : LoopSettings

    Returns
    -------
    context of Accelerator

    Raises
    ------
    ValueError
        If the precision does not work on the device.
    ImportError
        If scalars are to be written and tensorboard is missing.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import GradientAccumulationPlugin

    if settings.log_dir and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise ImportError(
            f"log_dir={settings.log_dir!r} needs tensorboard: pip install skscan[tensorboard]"
        )
    shared = [state._shared_state for state in (AcceleratorState, GradientState, PartialState)]
    before = [dict(state) for state in shared]
    n_threads = torch.get_num_threads()
    try:
        for state in shared:
            state.clear()
        accelerator = Accelerator(
            device_placement=False,
            cpu=torch.device(settings.device).type == "cpu",
            mixed_precision=settings.precision,
            dynamo_backend="inductor" if settings.compile else "no",
            log_with="tensorboard" if settings.log_dir else None,
            project_dir=settings.log_dir,
            # Parts of a batch are summed here; `accelerate launch` must not divide by their number.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            # Running statistics are the same on each process already.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        # Of several processes on a CPU it changes the threads of each.
        torch.set_num_threads(n_threads)
        if settings.precision == "fp16" and accelerator.device.type == "cpu":
            raise ValueError(
                "precision='fp16' does not work on the CPU; take 'bf16' or 'no' there, or another "
                "device."
            )
        yield accelerator
    finally:
        for state, earlier in zip(shared, before, strict=True):
            state.clear()
            state.update(earlier)


def device_of_run(settings: LoopSettings, accelerator: Any) -> torch.device:
    """Return the device of this process: with several, each has its own."""
    return torch.device(settings.device) if n_processes() == 1 else accelerator.device


@contextmanager
def prepared(
    network: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Any
) -> Iterator[tuple[nn.Module, Any]]:
    """Wrap a network and its optimiser; afterwards the network is what it was.

    Parameters
    ----------
    network : Module
        On the device of the run.
    optimizer : Optimizer
    accelerator : Accelerator

    Returns
    -------
    context of (Module, AcceleratedOptimizer)
    """
    # accelerate writes mixed precision into the network itself.
    own = vars(network)
    before = {name: own[name] for name in _LEFT_ON_NETWORKS if name in own}
    try:
        with warnings.catch_warnings():
            # The argument that is to replace it is not in the oldest torch that skscan takes.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            wrapped = accelerator.prepare(network, optimizer)
        yield wrapped
    finally:
        for name in _LEFT_ON_NETWORKS:
            own.pop(name, None)
        own.update(before)


@contextmanager
def start_log(accelerator: Any, stage: str, first_epoch: int) -> Iterator[None]:
    """Write scalars for TensorBoard, each stage in a folder of its own.

    Parameters
    ----------
    accelerator : Accelerator
    stage : str
    first_epoch : int
        What an earlier run wrote of this epoch and later ones is not shown.
    """
    if not accelerator.log_with:
        yield
        return
    purge = {"tensorboard": {"purge_step": first_epoch}}
    accelerator.init_trackers(stage, init_kwargs=purge)
    try:
        yield
    finally:
        for tracker in accelerator.trackers:  # end_training would end the processes' group too
            tracker.finish()
