"""The one training loop, on Hugging Face accelerate: device, precision, processes, checkpoints.

What is trained and by which loss is a `Task`. Every draw is a function of the seed, the epoch and
the step, so a run that is cut off at any step goes on as if it had not been, and the number of
processes changes nothing but the speed.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skscan._progress import progress
from skscan.exceptions import CheckpointError, TrainingDivergedError
from skscan.training.acceleration import device_of_run, make_accelerator, prepared, start_log
from skscan.training.distributed import (
    gather_rows,
    n_processes,
    of_main_process,
    process_index,
    synchronized_batch_norm,
)
from skscan.training.loop_settings import PRECISIONS, LoopSettings
from skscan.training.optimizers import cosine, make_optimizer
from skscan.training.randomness import global_generators_kept, seed_global_generators, seed_of
from skscan.training.running_statistics import RunningStatistics
from skscan.training.task import Draws, Pass, Task

if TYPE_CHECKING:
    from skscan.training.checkpoints import Checkpoint

__all__ = ["Draws", "LoopSettings", "Pass", "Task", "TrainingLoop", "cosine", "make_optimizer"]


@dataclass
class _Position:
    """Where a run stands."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)


class TrainingLoop:
    """Trains a task.

    Parameters
    ----------
    task : Task
    optimizer : torch.optim.Optimizer
        Of the task's parameters.
    settings : LoopSettings
    checkpoint : Checkpoint or None
        Where to go on from and to save to. Of several processes the main one reads and writes it.

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
        _check(task, settings)
        self._task = task
        self._optimizer = optimizer
        self._settings = settings
        self._checkpoint = checkpoint
        self._position = _Position()
        self._device = torch.device(settings.device)
        self.seconds = {"inputs": 0.0, "network": 0.0, "total": 0.0}

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch, from the start or from where the checkpoint stands.

        torch's global generators, the number of threads and accelerate's settings are left as they
        were.

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
        ValueError
            If the batch cannot be divided among the processes, or the precision does not work on
            the device.
        """
        start = time.perf_counter()
        with make_accelerator(self._settings) as accelerator:
            _check_processes(self._settings)
            self._device = device_of_run(self._settings, accelerator)
            self._task.network.to(self._device)
            if self._checkpoint is not None:
                self._restore(of_main_process(self._checkpoint.load))
            if self._position.epoch < self._settings.n_epochs:
                self._train(accelerator)
        self._check_weights()
        self.seconds["total"] += time.perf_counter() - start
        return self._position.history

    def _train(self, accelerator: Any) -> None:
        task, settings, position = self._task, self._settings, self._position
        n_batches = task.n_samples // settings.batch_size
        with (
            global_generators_kept(self._device),
            synchronized_batch_norm(task.network),
            prepared(task.network, self._optimizer, accelerator) as (network, optimizer),
            start_log(accelerator, task.name, position.epoch),
            progress(
                total=settings.n_epochs * n_batches,
                desc=task.name,
                unit="step",
                verbose=settings.verbose if accelerator.is_main_process else 0,
            ) as bar,
        ):
            bar.initial = bar.n = position.epoch * n_batches + position.step
            if accelerator.scaler and position.scaler:
                accelerator.scaler.load_state_dict(position.scaler)
            while position.epoch < settings.n_epochs:
                self._epoch(network, optimizer, accelerator, bar)

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
        seed_global_generators(self._device, seed_of(settings.seed, position.epoch, 0, 0, 1))
        seen = {name: _plain(value) for name, value in task.after_epoch(position.epoch).items()}
        means = {name: total / position.counts[name] for name, total in position.sums.items()}
        n_steps = position.counts.get("loss", 0)  # steps without a loss were left out
        entry = {"epoch": position.epoch, "learning_rate": learning_rate, "steps": n_steps}
        position.history.append({**entry, **means, **seen})
        bar.set_postfix({name: f"{value:.4g}" for name, value in [*means.items(), *seen.items()]})
        accelerator.log({"learning_rate": learning_rate, **means, **seen}, step=position.epoch)
        position.epoch, position.step = position.epoch + 1, 0
        position.sums, position.counts = {}, {}
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
        return torch.Generator().manual_seed(
            seed_of(self._settings.seed, self._position.epoch, step)
        )

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
            outputs, statistics = [self._forward(network, inputs[0], 0)], None
        else:
            outputs, statistics = self._look_ahead(network, inputs)
        whole = [
            gather_rows(torch.cat([part[i] for part in outputs]))
            .float()
            .requires_grad_(p.with_gradient)
            for i, p in enumerate(inputs[0])
        ]
        loss, terms = task.loss(whole)
        if loss is not None:
            terms = {"loss": self._finite(loss), **terms}
            wanted = [values for values in whole if values.requires_grad]
            gradients = iter(torch.autograd.grad(loss, wanted))
            self._backward(
                [next(gradients) if values.requires_grad else None for values in whole],
                network,
                inputs,
                outputs if at_once else None,
                accelerator,
            )
        if statistics is not None:
            statistics.settle()
        if loss is not None:
            optimizer.step()
            task.after_step()
        for name, value in terms.items():
            self._position.sums[name] = self._position.sums.get(name, 0.0) + float(value)
            self._position.counts[name] = self._position.counts.get(name, 0) + 1
        self.seconds["network"] += time.perf_counter() - start

    def _forward(self, network: nn.Module, passes: list[Pass], part: int) -> list[Tensor]:
        """Send the inputs of one part of the batch through the network.

        What layers such as dropout draw depends on the step and the part, so it is the same when a
        part is sent a second time, or the step is made again.
        """
        place = (self._settings.seed, self._position.epoch, 1 + self._position.step)
        seed = seed_of(*place, part, 1 + process_index())
        seed_global_generators(self._device, seed)
        outputs = []
        for inputs, with_gradient in passes:
            with torch.set_grad_enabled(with_gradient and torch.is_grad_enabled()):
                outputs.append(network(inputs))
        return outputs

    @torch.no_grad()
    def _look_ahead(
        self, network: nn.Module, inputs: list[list[Pass]]
    ) -> tuple[list[list[Tensor]], RunningStatistics]:
        """Get the outputs of all parts of a batch that is too large to keep what led to them."""
        statistics = RunningStatistics(self._task.network)
        outputs = []
        for part, passes in enumerate(inputs):
            outputs.append(self._forward(network, passes, part))
            statistics.take()
        return outputs, statistics

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
        for part, passes in enumerate(inputs):
            last = part == len(inputs) - 1
            with nullcontext() if last else accelerator.no_sync(network):
                results = outputs[part] if outputs else self._forward(network, passes, part)
                # The gradient of this product is the gradient that is sent back. Processes are
                # averaged afterwards where their sum is needed.
                product = torch.zeros((), device=results[0].device)
                for i, (result, gradient) in enumerate(zip(results, own, strict=True)):
                    if gradient is not None:
                        rows = gradient[first[i] : first[i] + len(result)]
                        product = product + (result.float() * rows).sum() * n_processes()
                    first[i] += len(result)
                accelerator.backward(product)

    def _check_weights(self) -> None:
        """Refuse weights that the last step has spoiled though its loss was still finite."""
        if not _all_finite(self._task.network.state_dict()):
            raise TrainingDivergedError(
                f"{self._task.name}: the weights became infinite or no numbers in the last step. "
                f"Lower learning_rate, or train with precision='no'.{self._last_good_state()}"
            )

    def _finite(self, loss: Tensor) -> float:
        value = loss.item()
        if math.isfinite(value):
            return value
        raise TrainingDivergedError(
            f"{self._task.name}: the loss became {value} in epoch {self._position.epoch}, "
            f"step {self._position.step}. Lower learning_rate, or train with precision='no'."
            f"{self._last_good_state()}"
        )

    def _last_good_state(self) -> str:
        """Say where it is, when there is a checkpoint."""
        if self._checkpoint is None:
            return ""
        if self._checkpoint.path.exists():
            return f" {self._checkpoint.path} holds the last good state."
        return " It came before the first save, so there is no checkpoint."

    def _save(self, accelerator: Any) -> None:
        # Several processes hold the same state.
        if not accelerator.is_main_process or self._checkpoint is None:
            return
        if accelerator.scaler:
            self._position.scaler = accelerator.scaler.state_dict()
        state = {
            "network": self._task.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "extra": self._task.extra_state(),
            "position": vars(self._position),
        }
        # A step may have spoiled the weights though its loss was still finite.
        if _all_finite(state["network"]) and _all_finite(state["optimizer"]):
            self._checkpoint.save(state)

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None or self._checkpoint is None:
            return
        try:
            self._task.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._task.load_extra_state(state["extra"])
            self._position = _Position(**copy.deepcopy(state["position"]))
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self._checkpoint.path} does not hold the state of this network "
                f"({str(error).splitlines()[0]}); remove it to start the stage anew."
            ) from error


def _check(task: Task, settings: LoopSettings) -> None:
    if settings.batch_size > task.n_samples:
        raise ValueError(
            f"batch_size={settings.batch_size} must not be more than the number of samples, got "
            f"{task.n_samples}: not a single step would be made."
        )
    if settings.precision not in PRECISIONS:
        raise ValueError(
            f"precision={settings.precision!r} must be one of {', '.join(map(repr, PRECISIONS))}."
        )


def _check_processes(settings: LoopSettings) -> None:
    """Check what is known only when the processes have found each other."""
    if settings.batch_size % n_processes():
        raise ValueError(
            f"batch_size={settings.batch_size} must be a multiple of the number of processes, "
            f"{n_processes()}."
        )
    if of_main_process(lambda: settings.seed) != settings.seed:
        raise ValueError(
            "random_state=None lets each process draw a seed of its own; give an int, so that all "
            "train the same network."
        )


def _own_part(n_rows: int) -> slice:
    """Which of the rows of all processes are this one's."""
    share = n_rows // n_processes()
    return slice(process_index() * share, (process_index() + 1) * share)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | Tensor) else value


def _all_finite(state: Any) -> bool:
    """Whether every number of the tensors in nested dicts is finite."""
    if isinstance(state, dict):
        return all(map(_all_finite, state.values()))
    return not isinstance(state, Tensor) or bool(torch.isfinite(state).all())
