"""Methods that go wrong, for workers to run."""

import os
import time

import numpy as np
from quality_parts.method import MethodUnavailableError, Outcome, Task


def raising(task: Task) -> Outcome:
    raise ValueError(f"no clusters today\nfor {len(task.X)} samples")


def dying(task: Task) -> Outcome:
    os._exit(7)


def hanging(task: Task) -> Outcome:
    time.sleep(600)
    return Outcome(np.zeros(len(task.X), int))


def failing_for_seed_0(task: Task) -> Outcome:
    if task.seed == 0:
        os._exit(7)
    return Outcome(np.arange(len(task.X)) % task.n_clusters)


def prepare_nothing() -> None:
    raise MethodUnavailableError("the package is not installed")
