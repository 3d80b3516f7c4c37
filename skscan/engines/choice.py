"""Which engine runs a network: one fixed rule."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

from skscan._device import resolve_device
from skscan.engines.record import recorded_engine
from skscan.engines.tuning import stored_choice
from skscan.exceptions import SkscanWarning

__all__ = [
    "Choice",
    "check_choice",
    "choose_engine",
    "engine_that_decides",
    "how_to_install",
    "is_installed",
]

_PACKAGES = {"torch": "torch", "compile": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_OF_TORCH = ("torch", "compile")
_PRECISIONS = {
    "torch": ("float32", "bfloat16"),
    "compile": ("float32", "bfloat16"),
    "onnx": ("float32",),
    "openvino": ("float32", "bfloat16"),
}


class Choice(NamedTuple):
    """What runs a network."""

    engine: str
    precision: str
    device: str


def is_installed(engine: str) -> bool:
    """Tell whether the package of an engine is there; it is not imported."""
    return find_spec(_PACKAGES[engine]) is not None


def choose_engine(
    engine: str, precision: str, device: str, recorded: tuple[str, str] | None = None
) -> Choice:
    """Choose the engine.

    ``"auto"`` is torch on any device but the CPU. On the CPU it is what `skscan bench --tune` found
    to be the fastest on this machine, where that was asked, and else ONNX Runtime where it is
    installed, and else torch. With bfloat16 it is OpenVINO where it is installed, and else torch.

    Parameters
    ----------
    engine : str
        ``"auto"`` or the name of an engine.
    precision : str
        One of `skscan.engines.base.PRECISIONS`.
    device : str
        ``"auto"`` or a torch device.
    recorded : tuple of (str, str) or None, default=None
        Engine and precision that a model was fitted with: it keeps to them where they are
        installed.

    Returns
    -------
    choice : Choice
        With a device that is there.

    Raises
    ------
    ImportError
        If an engine is asked for that is not installed.
    ValueError
        If engine, precision and device do not go together, or there is no such device.

    Warns
    -----
    SkscanWarning
        If the engine that a model was fitted with is not installed here.
    """
    on_cpu = device == "auto" or device.split(":")[0] == "cpu"
    if recorded is not None and engine in ("auto", recorded[0]) and precision == recorded[1]:
        name = recorded[0]
        if not is_installed(name):
            other = _default_on_cpu() if on_cpu else "torch"
            warnings.warn(
                f"The model was fitted with engine={name!r}, precision={precision!r}, which is "
                f"not installed here; engine={other!r}, precision='float32' is used. "
                f"{how_to_install(name)}",
                SkscanWarning,
                stacklevel=2,
            )
            return _checked(other, "float32", device)
        if on_cpu or name in _OF_TORCH:
            return _checked(name, precision, device)
    if engine != "auto":
        if not is_installed(engine):
            raise ImportError(
                f"engine={engine!r} needs the package {_PACKAGES[engine]}. {how_to_install(engine)}"
            )
        return _checked(engine, precision, device)
    device = resolve_device(device)
    if device.split(":")[0] != "cpu":
        return _checked("torch", precision, device)
    if precision == "float32":
        return Choice(_default_on_cpu(), precision, device)
    return Choice("openvino" if is_installed("openvino") else "torch", precision, device)


def engine_that_decides(extractor: Any) -> dict[str, str]:
    """Return what of engine and precision makes the features of an extractor different ones.

    Parameters
    ----------
    extractor : estimator
        Any; those without the parameters `engine` and `precision` have no such thing.

    Returns
    -------
    details : dict
        Empty for float32, in which all engines agree up to rounding, so that what one has computed
        serves the others too. bfloat16 is rounded by each engine in its own way.
    """
    if getattr(extractor, "precision", None) != "bfloat16" or not hasattr(extractor, "engine"):
        return {}
    choice = choose_engine(
        extractor.engine, "bfloat16", extractor.device, recorded_engine(extractor)
    )
    return {"engine": choice.engine, "precision": choice.precision}


def _default_on_cpu() -> str:
    tuned = stored_choice()
    if tuned is not None and is_installed(tuned):
        return tuned
    return "onnx" if is_installed("onnx") else "torch"


def check_choice(engine: str, precision: str, device: str) -> None:
    """See that engine, precision and device go together; whether there is such a device is open.

    Parameters
    ----------
    engine : str
        The name of an engine.
    precision, device : str
        See `choose_engine`.

    Raises
    ------
    ValueError
        If they do not.
    """
    if precision not in _PRECISIONS[engine]:
        able = [name for name, known in _PRECISIONS.items() if precision in known]
        raise ValueError(
            f"precision={precision!r} is not what engine={engine!r} computes with; it takes "
            f"{' or '.join(map(repr, _PRECISIONS[engine]))}, and {precision!r} is for "
            f"engine={' or '.join(map(repr, able))}."
        )
    if engine not in _OF_TORCH and device != "auto" and device.split(":")[0] != "cpu":
        raise ValueError(
            f"engine={engine!r} runs on the CPU, got device={device!r}; give device='auto' or "
            "'cpu', or engine='torch'."
        )


def _checked(engine: str, precision: str, device: str) -> Choice:
    check_choice(engine, precision, device)
    return Choice(engine, precision, resolve_device(device) if engine in _OF_TORCH else "cpu")


def how_to_install(engine: str) -> str:
    """Say how an engine is installed, in a sentence."""
    package = "skscan[openvino]" if engine == "openvino" else _PACKAGES[engine]
    return f"To install it: pip install '{package}'."
