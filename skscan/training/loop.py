"""The one training loop, on Hugging Face accelerate: device, precision, processes, checkpoints.

What is trained and by which loss is a `Task`. Every draw is a function of the seed, the epoch and
the step, so a run that is cut off at any step goes on as if it had not been, and the number of
processes changes nothing but the speed.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skscan._progress import progress
from skscan.exceptions import TrainingDivergedError
from skscan.training.distributed import (
    gather_rows,
    n_processes,
    process_index,
    synchronize_batch_norm,
)

if TYPE_CHECKING:
    from skscan.training.checkpoints import Checkpoint

__all__ = ["Draws", "LoopSettings", "Pass", "Task", "TrainingLoop", "cosine", "make_optimizer"]

Draws = dict[str, Tensor]

PRECISIONS = ("no", "bf16", "fp16")


class Pass(NamedTuple):
    """One forward pass of a step."""

    inputs: Tensor
    """Of shape (rows * k, ...): k views of each row, side by side."""

    with_gradient: bool = True


class Task(ABC):
    """What is trained, on what, by which loss.

    Attributes
    ----------
    network : Module
        Called once for each pass; its trained parameters are those that require a gradient.

    name : str
        The stage, as shown and as in errors.

    n_samples : int
        Rows that are drawn from.

    monitor : callable or None
        Called with its number after each epoch; what it returns goes into the history and nowhere
        else.
    """

    network: nn.Module
    name: str
    n_samples: int
    monitor: Callable[[int], dict[str, float]] | None = None

    @abstractmethod
    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        """Make all random choices of a step, for the rows of all processes.

        Parameters
        ----------
        rows : int64 Tensor of shape (batch,)
        generator : torch.Generator
            On the CPU; the only source.

        Returns
        -------
        draws : dict of str to Tensor of shape (batch, ...)
        """

    @abstractmethod
    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        """Make the inputs of the forward passes of some of the rows, in the order of the passes."""

    @abstractmethod
    def loss(self, outputs: list[Tensor]) -> tuple[Tensor | None, dict[str, float]]:
        """Compute the loss of the whole batch from the outputs of each pass, as float32.

        Returns
        -------
        loss : Tensor scalar or None
            None leaves the step out.
        terms : dict of str to float
            What the history keeps the mean of, besides the loss.
        """

    def set_mode(self) -> None:
        """Bring the network into the mode it is trained in."""
        self.network.train()

    def after_step(self) -> None:  # noqa: B027
        """Do what follows a step of the optimiser."""

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Look at the network after an epoch; what is returned goes into the history."""
        return {} if self.monitor is None else self.monitor(epoch)

    def extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold besides the network and the optimiser."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `extra_state` gave."""


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
        "no" is float32. Losses are computed in float32 always.
    micro_batch_size : int or None
        Rows that go through the network at once; the loss is that of the whole batch.
    compile : bool
        Whether torch compiles the network.
    verbose : int
    log_dir : path or None
        Where scalars for TensorBoard are written.
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


@dataclass
class _Position:
    """Where a run stands."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class TrainingLoop:
    """Trains a task.

    Parameters
    ----------
    task : Task
    optimizer : torch.optim.Optimizer
        Of the task's parameters.
    settings : LoopSettings
    checkpoint : Checkpoint or None
        Where to go on from and to save to.

    Attributes
    ----------
    seconds : dict of str to float
        Time spent making inputs, in the network, and in all; of this process, this run.
    """

    def __init__(
        self,
        task: Task,
        optimizer: torch.optim.Optimizer,
        settings: LoopSettings,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._task = task
        self._optimizer = optimizer
        self._settings = settings
        self._checkpoint = checkpoint
        self._position = _Position()
        self.seconds = {"inputs": 0.0, "network": 0.0, "total": 0.0}
        _check(task, settings)

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch, from the start or from where the checkpoint stands.

        Returns
        -------
        history : list of dict
            For each epoch: epoch, learning_rate, steps, loss, the task's own terms.

        Raises
        ------
        TrainingDivergedError
            If a loss is no finite number.
        CheckpointMismatchError, CheckpointError
            If the checkpoint is another run's, or damaged.
        """
        task, settings, start = self._task, self._settings, time.perf_counter()
        state = self._checkpoint.load() if self._checkpoint else None
        with _accelerator(settings) as accelerator:
            if n_processes() > 1:
                synchronize_batch_norm(task.network)
            task.network.to(settings.device if n_processes() == 1 else accelerator.device)
            network, optimizer = accelerator.prepare(task.network, self._optimizer)
            if state is not None:
                self._restore(state, accelerator)
            n_batches = task.n_samples // settings.batch_size
            position = self._position
            with progress(
                total=settings.n_epochs * n_batches,
                desc=task.name,
                unit="step",
                verbose=settings.verbose if accelerator.is_main_process else 0,
            ) as bar:
                bar.update(position.epoch * n_batches + position.step)
                while position.epoch < settings.n_epochs:
                    self._epoch(network, optimizer, accelerator, bar)
        self.seconds["total"] += time.perf_counter() - start
        return position.history

    def _epoch(self, network: nn.Module, optimizer: Any, accelerator: Any, bar: Any) -> None:
        task, settings, position = self._task, self._settings, self._position
        learning_rate = settings.learning_rate(position.epoch)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        task.set_mode()
        for step, rows in enumerate(self._batches()):
            if step < position.step:
                continue
            self._step(rows, network, optimizer, accelerator)
            position.step = step + 1
            bar.update()
            if self._checkpoint and self._checkpoint.is_due():
                self._save(accelerator)
        entry = {"epoch": position.epoch, "learning_rate": learning_rate, "steps": position.step}
        means = {name: total / position.counts[name] for name, total in position.sums.items()}
        seen = task.after_epoch(position.epoch)
        position.history.append({**entry, **means, **seen})
        bar.set_postfix({name: f"{value:.4g}" for name, value in [*means.items(), *seen.items()]})
        accelerator.log({**means, **seen}, step=position.epoch)
        position.epoch, position.step, position.sums, position.counts = (
            position.epoch + 1,
            0,
            {},
            {},
        )
        last = position.epoch == settings.n_epochs
        if self._checkpoint and (last or self._checkpoint.is_due()):
            self._save(accelerator)

    def _batches(self) -> Iterator[Tensor]:
        """Rows of each step of the epoch, those of all processes."""
        n_samples, batch_size = self._task.n_samples, self._settings.batch_size
        order = torch.randperm(n_samples, generator=self._generator(0))
        for start in range(0, n_samples - batch_size + 1, batch_size):
            yield order[start : start + batch_size]

    def _generator(self, step: int) -> torch.Generator:
        """Source of the draws of a step (from 1); step 0 is the order of the epoch."""
        entropy = [self._settings.seed, self._position.epoch, step]
        seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed) % 2**63)

    def _step(self, rows: Tensor, network: nn.Module, optimizer: Any, accelerator: Any) -> None:
        """Make one step.

        The loss is taken of the outputs of the whole batch, those of all processes and all micro
        batches; its gradient with respect to the outputs is then sent back through the network
        part by part. So terms such as the entropy of the mean prediction are those of the batch.
        """
        task, start = self._task, time.perf_counter()
        draws = task.draw(rows, self._generator(1 + self._position.step))
        mine = _own_part(len(rows))
        rows, draws = rows[mine], {name: values[mine] for name, values in draws.items()}
        size = self._settings.micro_batch_size or len(rows)
        parts = [slice(first, first + size) for first in range(0, len(rows), size)]
        inputs = [
            task.passes(rows[part], {name: values[part] for name, values in draws.items()})
            for part in parts
        ]
        self.seconds["inputs"] += time.perf_counter() - start

        start = time.perf_counter()
        optimizer.zero_grad()
        at_once = len(parts) == 1
        if at_once:
            outputs = [_forward(network, inputs[0])]
        else:
            with torch.no_grad(), _keeping_running_statistics(network):
                outputs = [_forward(network, passes) for passes in inputs]
        whole = [
            gather_rows(torch.cat([part[i] for part in outputs]))
            .float()
            .requires_grad_(p.with_gradient)
            for i, p in enumerate(inputs[0])
        ]
        loss, terms = task.loss(whole)
        if loss is not None:
            self._check_finite(loss)
            terms = {"loss": loss.item(), **terms}
            wanted = [values for values in whole if values.requires_grad]
            gradients = iter(torch.autograd.grad(loss, wanted))
            self._backward(
                [next(gradients) if values.requires_grad else None for values in whole],
                network,
                inputs,
                outputs if at_once else None,
                accelerator,
            )
            optimizer.step()
            task.after_step()
        for name, value in terms.items():
            self._position.sums[name] = self._position.sums.get(name, 0.0) + float(value)
            self._position.counts[name] = self._position.counts.get(name, 0) + 1
        self.seconds["network"] += time.perf_counter() - start

    def _backward(
        self,
        gradients: list[Tensor | None],
        network: nn.Module,
        inputs: list[list[Pass]],
        outputs: list[list[Tensor]] | None,
        accelerator: Any,
    ) -> None:
        """Send the gradients of the outputs back through the network."""
        own = [None if g is None else g[_own_part(len(g))] for g in gradients]
        first = [0] * len(own)
        for number, passes in enumerate(inputs):
            last = number == len(inputs) - 1
            with nullcontext() if last else accelerator.no_sync(network):
                results = _forward(network, passes) if outputs is None else outputs[number]
                # The gradient of this product is the gradient that is sent back. Processes are
                # averaged afterwards where their sum is needed.
                product = torch.zeros((), device=results[0].device)
                for i, (result, gradient) in enumerate(zip(results, own, strict=True)):
                    if gradient is not None:
                        part = gradient[first[i] : first[i] + len(result)]
                        product = product + (result.float() * part).sum() * n_processes()
                    first[i] += len(result)
                accelerator.backward(product)

    def _check_finite(self, loss: Tensor) -> None:
        if math.isfinite(loss.item()):
            return
        kept = f" {self._checkpoint.path} holds the last good state." if self._checkpoint else ""
        raise TrainingDivergedError(
            f"{self._task.name}: the loss became {loss.item()} in epoch {self._position.epoch}, "
            f"step {self._position.step}. Lower learning_rate, or train with precision='no'.{kept}"
        )

    def _save(self, accelerator: Any) -> None:
        # Several processes hold the same state.
        if not accelerator.is_main_process or self._checkpoint is None:
            return
        state = {
            "network": self._task.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else {},
            "extra": self._task.extra_state(),
            "position": vars(self._position),
        }
        # A step may have spoiled the weights though its loss was still finite.
        if all(bool(torch.isfinite(p).all()) for p in self._task.network.parameters()):
            self._checkpoint.save(state)

    def _restore(self, state: dict[str, Any], accelerator: Any) -> None:
        self._task.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler:
            accelerator.scaler.load_state_dict(state["scaler"])
        self._task.load_extra_state(state["extra"])
        self._position = _Position(**copy.deepcopy(state["position"]))


def cosine(
    learning_rate: float, n_epochs: int, final_share: float = 1e-3
) -> Callable[[int], float]:
    """Return the learning rate of each epoch along half a cosine.

    Parameters
    ----------
    learning_rate : float
        Of the first epoch.
    n_epochs : int
    final_share : float, default=0.001
        What would be left of it after the last epoch; SCAN's pretext task takes 0.1 cubed.

    Returns
    -------
    callable
    """
    final = learning_rate * final_share

    def of_epoch(epoch: int) -> float:
        return final + (learning_rate - final) * (1 + math.cos(math.pi * epoch / n_epochs)) / 2

    return of_epoch


def make_optimizer(
    name: str, network: nn.Module, weight_decay: float, momentum: float = 0.9
) -> torch.optim.Optimizer:
    """Return an optimiser of the parameters that are trained; the loop sets the learning rate.

    Parameters
    ----------
    name : {"sgd", "adam"}
        ``"adam"`` has the L2 penalty in its gradient, as in the paper, not decoupled.
    network : Module
    weight_decay : float
        On all parameters, those of normalisation included.
    momentum : float, default=0.9
        Of SGD.

    Returns
    -------
    torch.optim.Optimizer
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(trained, lr=0.0, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.Adam(trained, lr=0.0, weight_decay=weight_decay)


def _check(task: Task, settings: LoopSettings) -> None:
    if settings.batch_size > task.n_samples:
        raise ValueError(
            f"batch_size={settings.batch_size} must not be more than the number of samples, got "
            f"{task.n_samples}: not a single step would be made."
        )
    if settings.batch_size % n_processes():
        raise ValueError(
            f"batch_size={settings.batch_size} must be a multiple of the number of processes, "
            f"{n_processes()}."
        )


def _own_part(n_rows: int) -> slice:
    """Which of the rows of all processes are this one's."""
    share = n_rows // n_processes()
    return slice(process_index() * share, (process_index() + 1) * share)


def _forward(network: nn.Module, passes: list[Pass]) -> list[Tensor]:
    outputs = []
    for inputs, with_gradient in passes:
        with torch.set_grad_enabled(with_gradient and torch.is_grad_enabled()):
            outputs.append(network(inputs))
    return outputs


@contextmanager
def _keeping_running_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation see a batch without moving its running statistics."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


@contextmanager
def _accelerator(settings: LoopSettings) -> Iterator[Any]:
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    # It keeps its first settings for the life of the process; each stage has its own.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        device_placement=False,
        cpu=settings.device == "cpu",
        mixed_precision=settings.precision,
        dynamo_backend="inductor" if settings.compile else "no",
        log_with="tensorboard" if settings.log_dir else None,
        project_dir=settings.log_dir,
        # Running statistics are the same on each process already.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if settings.log_dir:
        accelerator.init_trackers("skscan")
    try:
        yield accelerator
    finally:
        if settings.log_dir:
            accelerator.end_training()
        accelerator.free_memory()
