"""Slow imports, done while other work goes on."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from importlib import import_module

__all__ = ["preload"]


def preload(name: str) -> None:
    """Import a module in a thread; whoever imports it meanwhile waits for the rest.

    Parameters
    ----------
    name : str
        Its errors are left to who needs it.
    """
    if name not in sys.modules:
        threading.Thread(target=_import, args=(name,), name=f"import {name}").start()


def _import(name: str) -> None:
    with suppress(Exception):
        import_module(name)
