"""How long and how the training loop trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["PRECISIONS", "LoopSettings"]

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class LoopSettings:
    """How long and how a task is trained.

    Parameters
    ----------
    n_epochs : int
    batch_size : int
        Rows in a step, over all processes; rows that fill no batch wait for the next epoch.
    learning_rate : callable
        From the epoch to the learning rate.
    seed : int
    device : str
        Of this process, when it is the only one.
    precision : {"no", "bf16", "fp16"}
        "no" is float32. Losses are computed in float32 always. "fp16" does not work on the CPU.
    micro_batch_size : int or None
        Rows of this process that go through the network at once; the loss is that of the whole
        batch. Batch normalisation sees the micro batch; its running statistics move once a step, by
        the mean over micro batches.
    compile : bool
        Whether torch compiles the network.
    verbose : int
    log_dir : path or None
        Where scalars for TensorBoard are written, those of each stage in a folder of its name.
    """

    n_epochs: int
    batch_size: int
    learning_rate: Callable[[int], float]
    seed: int
    device: str = "cpu"
    precision: str = "no"
    micro_batch_size: int | None = None
    compile: bool = False
    verbose: int = 0
    log_dir: str | None = None
