"""Which engine is the fastest on this machine, measured once and kept."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import statistics
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skscan._cache_folder import cache_folder
from skscan._files import write_atomically
from skscan._progress import announce
from skscan.engines.base import ENGINES, Engine
from skscan.exceptions import SkscanWarning

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EngineSpeed", "TuningResult", "forget_choice", "stored_choice", "tune"]

_ROUNDS = 5
_BATCH = 32
_SECONDS_OF_ROUND = 0.4


@dataclass(frozen=True)
class EngineSpeed:
    """How fast an engine is.

    Attributes
    ----------
    engine : str
        Its name.
    images_per_second : float or None
        Median of the rounds; None where it does not run.
    slowest, fastest : float or None
        Of the rounds.
    reason : str
        Why it does not run; empty where it does.
    """

    engine: str
    images_per_second: float | None = None
    slowest: float | None = None
    fastest: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class TuningResult:
    """What `tune` measured and chose.

    Attributes
    ----------
    speeds : list of EngineSpeed
        Each engine that was asked for, in the order of `skscan.engines.base.ENGINES`.
    chosen : str
        The fastest.
    path : Path
        Where the choice is kept.
    """

    speeds: list[EngineSpeed]
    chosen: str
    path: Path


def tune(
    image_size: int = 128, verbose: int = 0, engines: tuple[str, ...] = ENGINES
) -> TuningResult:
    """Measure all engines with the embedded backbone on this machine's CPU, and keep the best.

    From then on ``engine="auto"`` takes it on this machine. Rounds of the engines alternate, so
    that what else the machine does meets all alike.

    Parameters
    ----------
    image_size : int, default=128
        Side in pixels of the pictures.
    verbose : int, default=0
        1 says on stderr what is measured.
    engines : tuple of str, default=all
        Those to measure. ``"compile"`` takes half a minute to be ready.

    Returns
    -------
    result : TuningResult

    Raises
    ------
    OSError
        If the choice cannot be written.
    RuntimeError
        If none of the engines runs here.
    """
    import numpy as np

    from skscan.engines.choice import is_installed
    from skscan.engines.opening import make_engine
    from skscan.extractors.backbones import EMBEDDED_BACKBONE, TimmSource

    source = TimmSource(EMBEDDED_BACKBONE, None, image_size)
    shape = (_BATCH, image_size, image_size, 3)
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    ready, failed = {}, {}
    for name in engines:
        announce(f"preparing {name} …", verbose)
        try:
            if not is_installed(name):
                raise ImportError("not installed")
            engine = make_engine(source, name, "float32", "cpu")
            engine(pixels)
            ready[name] = engine
        except Exception as error:  # a missing package, a missing compiler: it is not chosen
            failed[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if not ready:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RuntimeError(f"none of engines={engines!r} runs here: {reasons}")
    rates: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(_ROUNDS):
        for name, engine in ready.items():
            rates[name].append(_rate(engine, pixels))
    speeds = [
        EngineSpeed(name, statistics.median(rates[name]), min(rates[name]), max(rates[name]))
        if name in rates
        else EngineSpeed(name, reason=failed[name])
        for name in engines
    ]
    chosen = max(rates, key=lambda name: statistics.median(rates[name]))
    announce(f"fastest: {chosen}", verbose)
    path = _choice_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"engine": chosen, "machine": _machine(), "image_size": image_size}
    content["speeds"] = [asdict(speed) for speed in speeds]
    write_atomically(path, json.dumps(content, indent=1).encode())
    return TuningResult(speeds, chosen, path)


def stored_choice() -> str | None:
    """Return the engine that `tune` chose for this machine; None where there is no choice."""
    path = _choice_file()
    try:
        text = path.read_bytes()
    except OSError:
        return None
    try:
        engine = json.loads(text)["engine"]
        if engine not in ENGINES:
            raise ValueError(f"{engine!r} is no engine")
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(
            f"{path} is damaged ({error!r}), so the usual engine is taken. Measure again, with "
            "`skscan bench --tune`, or remove the file.",
            SkscanWarning,
            stacklevel=2,
        )
        return None
    return engine


def forget_choice() -> bool:
    """Remove the choice for this machine; tell whether there was one."""
    try:
        _choice_file().unlink()
    except FileNotFoundError:
        return False
    return True


def _rate(engine: Engine, pixels: np.ndarray) -> float:
    """Images a second over a round."""
    n_batches, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < _SECONDS_OF_ROUND:
        engine(pixels)
        n_batches += 1
    return n_batches * len(pixels) / elapsed


def _choice_file() -> Path:
    """Return the file of this kind of machine: a home folder may be that of many machines."""
    digest = hashlib.sha256(json.dumps(_machine()).encode()).hexdigest()[:16]
    return cache_folder() / "engines" / f"fastest-{digest}.json"


@functools.cache
def _machine() -> list[str]:
    """Tell machines apart by what decides which engine is the fastest."""
    return [platform.machine(), _processor(), str(os.cpu_count())]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    # the name alone is no more than "AMD EPYC" on some virtual machines; what it can do is all
    known = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in known.items()}
    return fields.get("model name", "") + " " + fields.get("flags", fields.get("Features", ""))
