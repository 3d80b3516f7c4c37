"""What ``skscan info --plan`` shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skscan.cli.errors import WrongUse
from skscan.cli.terminal import escaped, say, say_json

if TYPE_CHECKING:
    import numpy as np

FEATURES_OF_THE_BACKBONE = 1280


def features_of_trial(path: Path, n_samples: int) -> np.ndarray:
    """Map a file of features that mining is to be tried on.

    Parameters
    ----------
    path : Path
        A .npy file of a matrix of real numbers.
    n_samples : int
        How many samples are planned.

    Raises
    ------
    WrongUse
        If it is none, or holds too few rows.
    """
    import numpy as np

    from skscan.planning.machine import rows_of_trial

    shown = escaped(str(path))
    if path.suffix != ".npy" or not path.is_file():
        reason = "there is no such file" if not path.is_file() else "it is no .npy file"
        raise WrongUse(f"--features {shown}: {reason}")
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise WrongUse(f"--features {shown}: it cannot be read ({error})") from error
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "fiu":
        raise WrongUse(
            f"--features {shown}: it holds an array of shape {features.shape} and type "
            f"{features.dtype}, and takes a matrix of real numbers, a row for each sample"
        )
    needed = rows_of_trial(n_samples)
    if len(features) < needed:
        raise WrongUse(
            f"--features {shown}: it has {len(features):,} rows, and the trial of mining for "
            f"{n_samples:,} samples takes {needed:,}; give --n-features {features.shape[1]} instead"
        )
    return features


def show_plan(
    n_samples: int,
    n_clusters: int,
    n_heads: int,
    n_features: int | None,
    features: np.ndarray | None,
    *,
    as_json: bool,
) -> None:
    """Measure the machine, foretell a fit, and print the stages with what to do.

    Parameters
    ----------
    n_samples, n_clusters, n_heads : int
    n_features : int or None
        Of a matrix that it begins with.
    features : ndarray or None
        To try mining on, of a matrix that it begins with. Without both it begins with images.
    as_json : bool
    """
    from skscan.planning import measure_machine, plan_fit
    from skscan.planning.job import Job

    images = n_features is None and features is None
    if features is not None:
        n_features = features.shape[1]
    job = Job(n_samples, n_features or FEATURES_OF_THE_BACKBONE, n_clusters, n_heads)
    try:
        machine = measure_machine(job, images=images, features=features)
    except ValueError as error:
        if features is None:
            raise
        raise WrongUse(f"--features: {error}") from error
    plan = plan_fit(job, machine, images=images)
    if as_json:
        say_json(_as_dict(plan))
        return
    say(f"{n_samples:,} {'images' if images else 'samples'} into {n_clusters:,} clusters")
    say(f"{'stage':<14} {'time':>10} {'memory':>10} {'disk':>10}")
    for stage in plan.stages:
        say(_row(stage.name, stage.seconds, stage.memory_bytes, stage.disk_bytes))
    say(_row("all", plan.seconds, plan.memory_bytes, plan.disk_bytes))
    if images:
        say("extraction is that of JPEG files of 320 x 240 pixels, from a local disk")
    if features is None and plan.searches_approximately:
        say("mining is that of features with clear groups; --features FILE tries it on yours")
    for line in plan.advice:
        say(f"- {line}")


def _as_dict(plan: Any) -> dict[str, Any]:
    stages = {
        stage.name: {
            "seconds": round(stage.seconds, 2),
            "memory_bytes": round(stage.memory_bytes),
            "disk_bytes": round(stage.disk_bytes),
        }
        for stage in plan.stages
    }
    return {
        "n_samples": plan.job.n_samples,
        "n_features": plan.job.n_features,
        "n_clusters": plan.job.n_clusters,
        "n_heads": plan.job.n_heads,
        "search": "approximate" if plan.searches_approximately else "exact",
        "stages": stages,
        "seconds": round(plan.seconds, 2),
        "memory_bytes": round(plan.memory_bytes),
        "disk_bytes": round(plan.disk_bytes),
        "advice": plan.advice,
    }


def _row(name: str, seconds: float, memory_bytes: float, disk_bytes: float) -> str:
    columns = _time(seconds), _size(memory_bytes), _size(disk_bytes)
    return f"{name:<14} " + " ".join(f"{column:>10}" for column in columns)


def _time(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _size(n_bytes: float) -> str:
    if n_bytes <= 0 or math.isnan(n_bytes):
        return "-"
    return f"{n_bytes / 2**30:.2f} GiB"
