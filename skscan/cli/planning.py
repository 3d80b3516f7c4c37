"""What ``skscan info --plan`` shows."""

from __future__ import annotations

import math
from typing import Any

from skscan.cli.terminal import say, say_json


def show_plan(
    n_samples: int,
    n_features: int,
    n_clusters: int,
    n_heads: int,
    *,
    images: bool,
    as_json: bool,
) -> None:
    """Measure the machine, foretell a fit, and print the stages with what to do.

    Parameters
    ----------
    n_samples, n_features, n_clusters, n_heads : int
    images : bool
        Whether it begins with images.
    as_json : bool
    """
    from skscan.planning import measure_machine, plan_fit
    from skscan.planning.job import Job
    from skscan.planning.plan import LEFT_OUT

    job = Job(n_samples, n_features, n_clusters, n_heads)
    plan = plan_fit(job, measure_machine(job, images=images), images=images)
    if as_json:
        say_json(_as_dict(plan))
        return
    say(f"{'stage':<12} {'time':>10} {'memory':>10} {'disk':>10}")
    for stage in plan.stages:
        say(_row(stage.name, stage.seconds, stage.memory_bytes, stage.disk_bytes))
    say(_row("all", plan.seconds, plan.memory_bytes, plan.disk_bytes))
    say(f"left out: {', '.join(LEFT_OUT)}")
    if images:
        say("extraction is that of JPEG files of 320 x 240 pixels, from a local disk")
    for line in plan.advice:
        say(f"- {line}")


def _as_dict(plan: Any) -> dict[str, Any]:
    from skscan.planning.plan import LEFT_OUT

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
        "stages": stages,
        "left_out": list(LEFT_OUT),
        "seconds": round(plan.seconds, 2),
        "memory_bytes": round(plan.memory_bytes),
        "disk_bytes": round(plan.disk_bytes),
        "advice": plan.advice,
    }


def _row(name: str, seconds: float, memory_bytes: float, disk_bytes: float) -> str:
    columns = _time(seconds), _size(memory_bytes), _size(disk_bytes)
    return f"{name:<12} " + " ".join(f"{column:>10}" for column in columns)


def _time(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _size(n_bytes: float) -> str:
    if n_bytes <= 0 or math.isnan(n_bytes):
        return "-"
    return f"{n_bytes / 2**30:.2f} GiB"
