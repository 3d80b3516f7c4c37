"""The page and the plot of what was measured."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from million_parts.generated import N_FEATURES

STAGES = ("scaling", "mining", "starts", "heads", "selection", "results")
"""Of the page, in order; see `stages_of`."""

_NAMES = {
    "scaling": "scaling",
    "mining": "mining",
    "clustering/starts": "starts",
    "clustering/criteria": "selection",
    "predictions": "results",
    "outliers": "results",
}


def stages_of(folder: Path) -> dict[str, dict[str, float]]:
    """Add up the stages of all runs of a size; of each the run that computed it counts.

    A stage is written down as it ends, so that what a killed run had spent on one is unknown.
    """
    longest: dict[str, dict[str, float]] = {}
    for line in (folder / "stages.jsonl").read_text().splitlines():
        entry = json.loads(line)
        known = longest.get(entry["stage"])
        if known is None or entry["cpu_s"] > known["cpu_s"]:
            longest[entry["stage"]] = entry
    stages: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_FIGURES, 0.0))
    for name, entry in longest.items():
        stage = "heads" if name.startswith("clustering/heads") else _NAMES.get(name)
        if stage is None:
            continue
        stages[stage]["wall_s"] += entry["wall_s"]
        stages[stage]["cpu_s"] += entry["cpu_s"]
        stages[stage]["peak_own_gib"] = max(stages[stage]["peak_own_gib"], entry["peak_own_gib"])
    return stages


_FIGURES = ("wall_s", "cpu_s", "peak_own_gib")


def write_page(path: Path, folders: list[Path]) -> None:
    """Write the page, and the plot beside it.

    Parameters
    ----------
    path : Path
        Of the page, ``.md``.
    folders : list of Path
        Of the sizes that are finished, smallest first.
    """
    fits = [json.loads((folder / "fit.json").read_text()) for folder in folders]
    stages = [stages_of(folder) for folder in folders]
    sizes = [fit["n_samples"] for fit in fits]
    lines = [
        "# A million samples in 1,000 classes",
        "",
        f"Generated features ({N_FEATURES} each, float32, on disk) in {fits[-1]['n_clusters']:,} "
        f"classes of two modes each, with noise; {fits[-1]['n_heads']} heads; written by "
        "`benchmarks/million.py`. Wall seconds depend on what else ran; those of the processors "
        "add up both cores. A run that is killed goes on where it was: of each stage the run that "
        "finished it counts, and what others had spent on it before is in no figure.",
        "",
        "![Processor seconds of each stage against the number of samples](million.svg)",
        "",
        "| stage | " + " | ".join(f"{n:,}: wall s, processor s" for n in sizes) + " | slope |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for stage in (*STAGES, "all"):
        found = [_total(each) if stage == "all" else each[stage] for each in stages]
        cells = [f"{entry['wall_s']:.0f}, {entry['cpu_s']:.0f}" for entry in found]
        lines.append(f"| {stage} | " + " | ".join(cells) + f" | {_slope(sizes, found)} |")
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
    for folder, fit, each in zip(folders, fits, stages, strict=True):
        peer = folder / "compare.json"
        accuracy = "not run"
        if peer.exists():
            accuracy = f"{json.loads(peer.read_text())['accuracy_of_minibatch_kmeans']:.3f}"
        own = max(entry["peak_own_gib"] for entry in each.values())
        lines.append(
            f"| {fit['n_samples']:,} | {own:.2f} | {fit['peak_resident_gib']:.2f} | "
            f"{fit['limit_gib']:g} | {fit['backend']}, {fit['recall']:.3f} | "
            f"{fit['neighbor_purity']:.3f} | {fit['accuracy']:.3f} | "
            f"{accuracy} |"
        )
    lines += _plans(folders, stages)
    path.write_text("\n".join(lines) + "\n")
    _plot(path.with_suffix(".svg"), sizes, stages)


def _plans(folders: list[Path], stages: list[dict[str, dict[str, float]]]) -> list[str]:
    planned = [
        (folder, json.loads((folder / "plan.json").read_text()), each)
        for folder, each in zip(folders, stages, strict=True)
        if (folder / "plan.json").exists()
    ]
    if not planned:
        return []
    lines = [
        "",
        "What `skscan.planning` had foretold, in processor seconds, from its trial on the same "
        "machine, with mining tried on 40,000 of these features; in brackets what was measured.",
        "",
        "| samples | " + " | ".join((*STAGES, "all")) + " | ratio |",
        "|---|" + "---|" * (len(STAGES) + 2),
    ]
    for _, plan, each in planned:
        told = {name: plan["stages"][name] for name in STAGES}
        cells = [f"{told[name]:.0f} ({each[name]['cpu_s']:.0f})" for name in STAGES]
        total, measured = sum(told.values()), _total(each)["cpu_s"]
        cells += [f"{total:.0f} ({measured:.0f})", f"{total / measured:.2f}"]
        lines.append(f"| {plan['n_samples']:,} | " + " | ".join(cells) + " |")
    return lines


def _total(stages: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: sum(entry[name] for entry in stages.values()) for name in ("wall_s", "cpu_s")}


def _slope(sizes: list[int], found: list[dict[str, float]]) -> str:
    first, last = found[0]["cpu_s"], found[-1]["cpu_s"]
    if len(sizes) < 2 or min(first, last) <= 0:
        return "-"
    return f"{math.log(last / first) / math.log(sizes[-1] / sizes[0]):.2f}"


def _plot(path: Path, sizes: list[int], stages: list[dict[str, dict[str, float]]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "skscan"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for stage in STAGES:
        axes.plot(sizes, [max(each[stage]["cpu_s"], 0.01) for each in stages], "o-", label=stage)
    totals = [_total(each)["cpu_s"] for each in stages]
    axes.plot(sizes, totals, "k--", label="all")
    axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="processor seconds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
