"""Cells in a process of their own, so that a crash or a hang costs one cell and no more.

A worker keeps one method for several cells: packages are imported, and what compiles has
compiled, before the clock of a cell starts.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import time
import warnings
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from processor import processor

from quality_parts.method import Method, MethodUnavailableError, Task
from quality_parts.problems import PROBLEMS
from quality_parts.scores import score

__all__ = ["SETUP_LIMIT", "Worker"]

SETUP_LIMIT = 900.0
"""Seconds for imports, compilation and the loading of a set, features to be extracted apart."""

GRACE = 0.5
"""Seconds until a process that does not end is killed."""

Record = dict[str, Any]


class Worker:
    """A process that runs cells of one method.

    Parameters
    ----------
    method : Method
        Picklable.
    n_samples : int or None
        Sets are cut to so many samples.
    """

    def __init__(self, method: Method, n_samples: int | None) -> None:
        self.method = method
        self.n_samples = n_samples
        self._running: tuple[Any, Connection] | None = None

    def run(
        self, problem: str, seed: int, limit: float, setup_limit: float = SETUP_LIMIT
    ) -> Record:
        """Run one cell; whatever happens becomes a record.

        Parameters
        ----------
        problem : str
            A key of `PROBLEMS`.
        seed : int
        limit, setup_limit : float
            Seconds that the method may take, and what comes before it.

        Returns
        -------
        record : dict
            "status" is "ok", "failed", "crashed", "timeout", "too large" or "unavailable"; "reason"
            tells more where it is not "ok".
        """
        process, connection = self._started()
        try:
            connection.send((problem, seed))
            answer = _receive(connection, setup_limit)
            if answer is None:
                record = {"status": "timeout", "reason": f"not ready after {setup_limit:.0f} s"}
            elif answer != "ready":
                return answer
            else:
                record = _receive(connection, limit) or {
                    "status": "timeout",
                    "reason": f"more than {limit:.0f} s",
                }
        except (EOFError, OSError):
            process.join()
            record = {"status": "crashed", "reason": f"exit code {process.exitcode}"}
        if record["status"] in ("timeout", "crashed"):
            self.close()
        return record

    def close(self) -> None:
        """End the process; the next run starts another."""
        if self._running is not None:
            process, connection = self._running
            self._running = None
            connection.close()
            process.join(GRACE)  # one that waits for a task ends now, and leaves nothing behind
            process.kill()
            process.join()

    def _started(self) -> tuple[Any, Connection]:
        if self._running is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(self.method, self.n_samples, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._running = process, ours
        return self._running


def _receive(connection: Connection, limit: float) -> Any:
    return connection.recv() if connection.poll(limit) else None


def _serve(method: Method, n_samples: int | None, connection: Connection) -> None:
    """Answer each (problem, seed) with "ready", then with the record."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    prepared = False
    while True:
        try:
            problem, seed = connection.recv()
        except EOFError:
            return
        try:
            if not prepared:
                _prepare(method)
                prepared = True
            X, Z, y = _load(problem, n_samples)
        except (ImportError, MethodUnavailableError) as error:
            connection.send({"status": "unavailable", "reason": str(error)})
            continue
        except Exception as error:
            connection.send(_failed(error))
            continue
        if method.max_samples is not None and len(y) > method.max_samples:
            reason = f"{len(y)} samples, at most {method.max_samples} are tried"
            connection.send({"status": "too large", "reason": reason})
            continue
        task = Task(X, Z, PROBLEMS[problem].n_clusters(y), seed)
        connection.send("ready")
        try:
            record = _run(method, task, y)
        except Exception as error:
            record = _failed(error)
        connection.send(record)


def _prepare(method: Method) -> None:
    if method.prepare is not None:
        method.prepare()
    if method.compiles:
        for n_samples in (500, 4500):  # UMAP looks for neighbours in two ways
            X = np.random.RandomState(0).normal(size=(n_samples, 16)).astype(np.float32)
            X[:, 0] += np.arange(n_samples) % 3 * 8
            method.fit(Task(X, X, 3, 0))


@lru_cache(maxsize=1)
def _load(problem: str, n_samples: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from skscan import FeatureScaler

    X, y = PROBLEMS[problem].draw(n_samples)
    X = np.ascontiguousarray(X, dtype=np.float32)
    Z = FeatureScaler(random_state=0).fit_transform(X)
    return X, np.ascontiguousarray(Z, dtype=np.float32), y


def _run(method: Method, task: Task, y: np.ndarray) -> Record:
    random.seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002 - for methods that draw from the global stream
    clock, processor = time.perf_counter(), time.process_time()
    outcome = method.fit(task)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    figures = {
        "n_samples": len(y),
        "n_classes": len(np.unique(y)),
        "n_clusters": task.n_clusters,
        "seconds": clock,
        "cpu_seconds": processor,
        **score(y, outcome, task.Z),
    }
    rounded = {
        name: round(value, 5) if isinstance(value, float) else value
        for name, value in figures.items()
    }
    return {"status": "ok", **rounded, **_surroundings(method)}


def _failed(error: Exception) -> Record:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return {"status": "failed", "reason": reason[:300]}


def _surroundings(method: Method) -> Record:
    try:
        package = version(method.package)
    except PackageNotFoundError:
        from skscan import __version__ as package
    if method.package == "skscan":
        package += _revision()
    return {
        "package": f"{method.package} {package}",
        "threads": os.environ.get("OMP_NUM_THREADS", "not limited"),
        "processor": processor(),
    }


@cache
def _revision() -> str:
    """Return the commit of this checkout, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({found.stdout.strip()})"
