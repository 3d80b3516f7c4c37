"""The page and the plot of what was measured."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from processor import processor

from million_parts.generated import N_FEATURES

STAGES = ("scaling", "mining", "starts", "heads", "selection", "evidence")
"""Of the page, in order; see `stages_of`."""

_NAMES = {
    "scaling": "scaling",
    "mining": "mining",
    "clustering/starts": "starts",
    "clustering/criteria": "selection",
    "evidence": "evidence",
}
_SPENT, _PEAKS = ("wall_s", "cpu_s"), ("peak_own_gib", "peak_resident_gib")
_NOT_YET = "-"


def stages_of(folder: Path) -> dict[str, dict[str, float]]:
    """Add up the stages of all runs of a size; of each the run that computed it counts.

    A stage is written down as it ends, so that what a killed run had spent on one is unknown, and
    a stage that no run has ended is not there.
    """
    longest: dict[str, dict[str, Any]] = {}
    for line in (folder / "stages.jsonl").read_text().splitlines():
        entry = json.loads(line)
        known = longest.get(entry["stage"])
        if known is None or entry["cpu_s"] > known["cpu_s"]:
            longest[entry["stage"]] = entry
    stages: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_SPENT + _PEAKS, 0.0))
    for step, entry in longest.items():
        stage = "heads" if step.startswith("clustering/heads") else _NAMES.get(step)
        if stage is None:
            continue
        for name in _SPENT:
            stages[stage][name] += entry[name]
        for name in _PEAKS:
            stages[stage][name] = max(stages[stage][name], entry[name])
    if "selection" not in stages:
        stages.pop("heads", None)  # some of them may be missing
    return dict(stages)


class Size:
    """What is known of one size.

    Parameters
    ----------
    n_samples : int
    folder : Path
    """

    def __init__(self, n_samples: int, folder: Path) -> None:
        self.n_samples = n_samples
        self.stages = stages_of(folder)
        self.fit = _read(folder / "fit.json") or _read(folder / "mining.json") or {}
        self.peer = _read(folder / "compare.json")
        self.plan = _read(folder / "plan.json")

    def figure(self, stage: str, name: str) -> float | None:
        """Return a figure of a stage, or of all of them; None where it is not there yet."""
        if stage != "all":
            return self.stages.get(stage, {}).get(name)
        if len(self.stages) < len(STAGES):
            return None
        return sum(entry[name] for entry in self.stages.values())


def write_page(path: Path, sizes: list[Size], n_clusters: int, n_heads: int, n_latent: int) -> None:
    """Write the page, and the plot beside it.

    Parameters
    ----------
    path : Path
        Of the page, ``.md``.
    sizes : list of Size
        Smallest first.
    n_clusters, n_heads, n_latent : int
        The same for all of them.
    """
    lines = [
        f"# A million samples in {n_clusters:,} classes",
        "",
        f"Generated features ({N_FEATURES} each, float32, on disk) in {n_clusters:,} classes of "
        f"two modes each in {n_latent} latent dimensions, with noise; {n_heads} heads, "
        f"without the third stage; written by `benchmarks/million.py --latent {n_latent}` on "
        f"{os.cpu_count()} cores of {_processor()}. "
        "Wall seconds depend on what else ran; those of the processors add up all cores, and "
        "depend on it less. A run that is killed goes on where it was: of each "
        "stage the run that finished it counts, and what others had spent on it before is in no "
        f"figure. {_NOT_YET} stands for what no run has finished.",
        "",
        f"![Processor seconds of each stage against the number of samples]({path.stem}.svg)",
        "",
        "| stage | "
        + " | ".join(f"{size.n_samples:,}: wall s, processor s" for size in sizes)
        + " | slope |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for stage in (*STAGES, "all"):
        cells = [
            f"{_shown(size.figure(stage, 'wall_s'))}, {_shown(size.figure(stage, 'cpu_s'))}"
            for size in sizes
        ]
        lines.append(f"| {stage} | " + " | ".join(cells) + f" | {_slope(sizes, stage)} |")
    lines += [
        "",
        "The slope is the power of the number of samples that processor seconds grow with, between "
        "the smallest and the largest size.",
        "",
        "| samples | own memory, peak (GiB) | resident with pages of files (GiB) | limit of data "
        "(GiB) | search, recall at 20 | neighbors of the same class | accuracy "
        "| mini-batch k-means |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_results(size) for size in sizes]
    planned = [size for size in sizes if size.plan]
    if planned:
        lines += _plans(
            planned,
            "cpu_s",
            "seconds",
            "in processor seconds, from its trial on the same machine, with mining tried on these "
            "features where it is not exact",
        )
        lines += _plans(planned, "peak_own_gib", "memory_gib", "in GiB of own memory")
    path.write_text("\n".join(lines) + "\n")
    _plot(path.with_suffix(".svg"), sizes)


def _results(size: Size) -> str:
    fit, peer = size.fit, size.peer or {}
    stages = size.stages.values()
    own, resident = (
        max((entry[name] for entry in stages), default=None)
        for name in ("peak_own_gib", "peak_resident_gib")
    )
    search = f"{fit['backend']}, {fit['recall']:.3f}" if fit else _NOT_YET
    cells = [
        f"{size.n_samples:,}",
        _shown(own, 2),
        _shown(resident, 2),
        f"{fit['limit_gib']:g}" if "limit_gib" in fit else _NOT_YET,
        search,
        _shown(fit.get("neighbor_purity"), 3),
        _shown(fit.get("accuracy"), 3),
        _shown(peer.get("accuracy_of_minibatch_kmeans"), 3),
    ]
    return "| " + " | ".join(cells) + " |"


def _plans(sizes: list[Size], measured: str, told: str, unit: str) -> list[str]:
    """Return a table of what was foretold of each stage and of all, and what was measured."""
    digits = 0 if measured == "cpu_s" else 1
    lines = [
        "",
        f"What `skscan.planning` foretells, {unit}; in brackets what was measured.",
        "",
        "| samples | " + " | ".join((*STAGES, "all" if digits == 0 else "most")) + " | ratio |",
        "|---|" + "---|" * (len(STAGES) + 2),
    ]
    for size in sizes:
        values = [size.plan["stages"][stage][told] for stage in STAGES]
        found = [size.figure(stage, measured) for stage in STAGES]
        whole, whole_found = (
            (None if None in each else sum(each) if digits == 0 else max(each))
            for each in (values, found)
        )
        cells = [
            f"{_shown(value, digits)} ({_shown(figure, digits)})"
            for value, figure in zip([*values, whole], [*found, whole_found], strict=True)
        ]
        cells.append(_NOT_YET if whole_found is None else f"{whole / whole_found:.2f}")
        lines.append(f"| {size.n_samples:,} | " + " | ".join(cells) + " |")
    return lines


def _processor() -> str:
    """Name the processor, and what of its instructions decides how quick products are."""
    told = Path("/proc/cpuinfo").read_text()
    wide = " with AVX-512" if "avx512f" in told else " with AVX2" if "avx2" in told else ""
    return processor() + wide


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _shown(value: float | None, digits: int = 0) -> str:
    return _NOT_YET if value is None else f"{value:.{digits}f}"


def _slope(sizes: list[Size], stage: str) -> str:
    first, last = sizes[0].figure(stage, "cpu_s"), sizes[-1].figure(stage, "cpu_s")
    if len(sizes) < 2 or not first or not last:
        return _NOT_YET
    return f"{math.log(last / first) / math.log(sizes[-1].n_samples / sizes[0].n_samples):.2f}"


def _plot(path: Path, sizes: list[Size]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "skscan"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for stage in (*STAGES, "all"):
        known = [
            (size.n_samples, max(seconds, 0.01))
            for size in sizes
            if (seconds := size.figure(stage, "cpu_s")) is not None
        ]
        if known:
            axes.plot(*zip(*known, strict=True), "k--" if stage == "all" else "o-", label=stage)
    axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="processor seconds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
