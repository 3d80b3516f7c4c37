"""From a network and a choice to an engine that is ready."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from threading import Lock

from skscan.engines.base import Engine, NetworkSource
from skscan.engines.choice import choose_engine
from skscan.engines.exports import exported
from skscan.exceptions import ExportError, SkscanWarning

__all__ = ["make_engine", "open_engine"]

# Engines that are kept for the next call, so that one image more costs no more than itself.
_KEPT = 3
_open: OrderedDict[tuple[object, ...], Engine] = OrderedDict()
_lock = Lock()


def open_engine(
    source: NetworkSource,
    engine: str = "auto",
    precision: str = "float32",
    device: str = "auto",
    recorded: tuple[str, str] | None = None,
) -> Engine:
    """Choose an engine, and make it ready; the last few are kept.

    Parameters
    ----------
    source : NetworkSource
        The network.
    engine, precision, device, recorded
        See `skscan.engines.choice.choose_engine`.

    Returns
    -------
    engine : Engine

    Raises
    ------
    ImportError, ValueError
        See `skscan.engines.choice.choose_engine`.
    ExportError
        If an engine was asked for by name that cannot run the network.

    Warns
    -----
    SkscanWarning
        If torch has to run what ``engine="auto"`` would have given to another engine.
    """
    choice = choose_engine(engine, precision, device, recorded)
    # The number of the process, for a session's threads do not survive a fork.
    key = (os.getpid(), source.identity(), choice)
    with _lock:
        kept = _open.get(key)
        # torch in the place of another engine is for those who did not name that one
        if kept is not None and (engine == "auto" or kept.name == choice.engine):
            _open.move_to_end(key)
            return kept
        try:
            made = make_engine(source, *choice)
        except (ExportError, ImportError) as error:
            if engine != "auto" or choice.engine == "torch":
                raise
            made = make_engine(source, "torch", precision, choice.device)
            warnings.warn(
                f"engine={choice.engine!r} cannot run {source.description} "
                f"({_first_line(error)}); torch does, which may be slower. engine='torch' asks "
                "for it without this warning.",
                SkscanWarning,
                stacklevel=2,
            )
        _open[key] = made
        while len(_open) > _KEPT:
            _open.popitem(last=False)
        return made


def make_engine(source: NetworkSource, engine: str, precision: str, device: str) -> Engine:
    """Make an engine ready.

    Parameters
    ----------
    source : NetworkSource
        The network.
    engine, precision, device : str
        As chosen.

    Returns
    -------
    engine : Engine

    Raises
    ------
    ImportError
        If a package is missing.
    ExportError
        If the network cannot be exported for the engine.
    """
    if engine in ("torch", "compile"):
        from skscan.engines.torch_engine import TorchEngine

        return TorchEngine(source.load(device), device, precision, compiled=engine == "compile")
    data = exported(source)
    try:
        if engine == "onnx":
            from skscan.engines.onnx_engine import OnnxEngine

            return OnnxEngine(data)
        from skscan.engines.openvino_engine import OpenvinoEngine

        return OpenvinoEngine(data, precision)
    except Exception as error:  # what ONNX Runtime raises has no narrower base
        raise ExportError(
            f"engine={engine!r} does not take {source.description}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
