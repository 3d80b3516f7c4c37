"""Ctrl-C: the command ends within a second, whatever it was doing.

Python raises ``KeyboardInterrupt`` in the main thread, and that normally ends the command. It
cannot, however, interrupt a long call into compiled code, and unwinding may wait for worker
processes. A watching thread therefore gives the polite way out a moment, then ends the process.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from skscan.cli.errors import INTERRUPTED

_SECONDS_FOR_THE_POLITE_WAY = 0.25  # of the second: a busy machine takes a while to act

# An exception in the middle of their import ends the process with a message of C++.
_NOT_TO_BE_INTERRUPTED = ("torch", "torchvision", "timm")


def _nothing() -> str:
    return "No results were written."


_kept: Callable[[], str] = _nothing
_said = threading.Lock()
_happened = threading.Event()


def happened() -> bool:
    """Return whether Ctrl-C was pressed; compiled code may turn it into some other error."""
    return _happened.wait(0.05)


def keep(what_is_kept: Callable[[], str]) -> None:
    """Set what a Ctrl-C from now on tells the user about the files: asked when it happens."""
    global _kept
    _kept = what_is_kept


def say_what_is_kept() -> None:
    """Tell the user, once, that the command was interrupted and what is on disk."""
    if _said.acquire(blocking=False):
        with suppress(OSError, ValueError):
            sys.stderr.write(f"\ninterrupted: {_kept()}\n")
            sys.stderr.flush()


def leave_now() -> None:
    """End the process and its workers without waiting for either."""
    for worker in multiprocessing.active_children():
        with suppress(OSError):  # it has ended by itself a moment ago
            worker.terminate()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


@contextmanager
def ends_within_a_second() -> Iterator[None]:
    """Watch for Ctrl-C, also while compiled code keeps the main thread busy."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    previous = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    previous_handler = signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_watch, args=(read_end,), daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
        signal.set_wakeup_fd(previous)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, except where only the watching thread can end the process."""
    for name in _NOT_TO_BE_INTERRUPTED:
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            return
    signal.default_int_handler(signal_number, frame)


def _watch(read_end: int) -> None:
    while signals := os.read(read_end, 1):
        if signals[0] == signal.SIGINT:
            _happened.set()
            threading.Event().wait(_SECONDS_FOR_THE_POLITE_WAY)
            say_what_is_kept()
            leave_now()
