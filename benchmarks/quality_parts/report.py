"""The results as a page of Markdown."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from quality_parts.method import Method
from quality_parts.methods import OURS
from quality_parts.problems import PROBLEMS
from quality_parts.results import ResultsFile
from quality_parts.summary import Comparison, Entry, compare, entries_of
from quality_parts.tiers import TIERS

__all__ = ["markdown", "write_report"]

INTRODUCTION = """\
# Quality beside other methods: the {tier} tier

Written by `python benchmarks/quality.py{option}`; every figure is a mean over seeds, with the
standard deviation, in percent.

- **Features**: those of the embedded backbone EfficientNet-Lite0, which was trained on ImageNet
  **with labels** (STL-10's images come from ImageNet), or pixels where the name of the set says so.
  All methods get the same ones, scaled by `FeatureScaler`. EVoC and {ours} take them as they were
  extracted; {ours} does the scaling itself, in its own time.
- **Labels** serve the scores alone. Accuracy is that of the best one-to-one match of clusters to
  classes, found on the set itself; macro is the mean over classes under that match.
- **Number of clusters**: methods that can use it are told the number of classes. The sets "twice"
  and "half the clusters" ask for another number. There, methods are compared by NMI, those that
  find a number of their own are left out of the comparison, and the accuracy when each cluster
  stands for its most frequent class (many-to-one) is given too.
- **Noise**: samples that a method leaves out get the cluster of the nearest one that is not left
  out; "noise wrong" is the accuracy when they count as wrong instead.
- **Gap**: accuracy of the best head of the pool that {ours} picks from, less its own. It takes
  labels to know.
- **Seconds** are by the clock, and of the processor: for each cell on {threads} thread(s) of
  {processor}, without imports, compilation and extraction.
"""


def write_report(results: ResultsFile, tier: str, methods: dict[str, Method]) -> list[Path]:
    """Write the page, and the plot where matplotlib is installed, beside the results.

    Returns
    -------
    paths : list of Path
        What was written.
    """
    page = results.path.with_suffix(".md")
    picture = results.path.with_suffix(".svg")
    written = [page]
    try:
        from quality_parts.plot import draw

        drawn = draw(entries_of(results.read()), methods, picture)
    except ImportError:
        drawn = False
        print("no plot: matplotlib is not installed", file=sys.stderr)
    if drawn:
        written.append(picture)
    page.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(results, tier, methods, picture.name if drawn else None)
    page.write_text(text, encoding="utf-8")
    return written


def markdown(
    results: ResultsFile, tier: str, methods: dict[str, Method], picture: str | None = None
) -> str:
    """Return the page.

    Parameters
    ----------
    results : ResultsFile
    tier : str
        A key of `TIERS`; its cells that have no result are shown as not run.
    methods : dict of str to Method
    picture : str or None, default=None
        File name of the plot.
    """
    entries = entries_of(results.read())
    comparisons = compare(entries, methods)
    finished = [record for each in entries.values() for e in each.values() for record in e.finished]
    introduction = INTRODUCTION.format(
        tier=tier,
        option="" if tier == "quick" else f" --tier {tier}",
        ours=OURS,
        threads=_listed(record["threads"] for record in finished),
        processor=_listed(record["processor"] for record in finished),
    )
    if TIERS[tier].n_samples:
        introduction += f"- **Sets are cut** to {TIERS[tier].n_samples:,} random images.\n"
    parts = [introduction]
    if picture:
        parts.append(f"![{OURS}, the best other method, k-means and the rest]({picture})\n")
    parts.append(_comparison_table(comparisons))
    parts.append(_methods_table(entries, methods))
    planned = list(TIERS[tier].cells(registry=methods, methods=methods))
    for problem in PROBLEMS:
        of_problem = Counter(cell.method for cell in planned if cell.problem == problem)
        if problem in entries:
            parts.append(_problem_table(problem, entries[problem], of_problem, methods))
        elif of_problem:
            parts.append(f"## {problem}\n\nnot run\n")
    return "\n".join(parts)


def _comparison_table(comparisons: dict[str, Comparison]) -> str:
    lines = [
        f"## {OURS} and the best other method on each set\n",
        f"| set | images | k | measure | {OURS} | macro | best other | which | difference | gap |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, each in comparisons.items():
        record = each.ours.finished[0]
        lines.append(
            f"| {name} | {record['n_samples']:,} | {record['n_clusters']} | {each.measure} "
            f"| {_spread(each.ours, each.measure)} | {_spread(each.ours, 'macro_accuracy')} "
            f"| {_spread(each.best, each.measure)} | {each.best.method} "
            f"| {100 * each.difference:+.1f} | {_percent(each.ours.gap)} |"
        )
    groups = {
        "all sets": list(comparisons.values()),
        "sets with as many clusters as classes": [
            each for each in comparisons.values() if each.measure == "accuracy"
        ],
    }
    lines.append("")
    lines += [_summary_line(name, group) for name, group in groups.items() if group]
    return "\n".join(lines) + "\n"


def _summary_line(name: str, group: list[Comparison]) -> str:
    differences = 100 * np.array([each.difference for each in group])
    worst = group[int(differences.argmin())]
    gaps = 100 * np.array([each.ours.gap for each in group])
    gaps = gaps[~np.isnan(gaps)]
    gap = f"; gap, mean {gaps.mean():.1f}, largest {gaps.max():.1f}" if len(gaps) else ""
    return (
        f"- {name} ({len(group)}): difference to the best other, median "
        f"{np.median(differences):+.1f}, mean {differences.mean():+.1f}, worst "
        f"{differences.min():+.1f} ({worst.problem}){gap}"
    )


def _methods_table(entries: dict[str, dict[str, Entry]], methods: dict[str, Method]) -> str:
    lines = [
        "## Methods\n",
        f"Differences: {OURS} less the method, in the measure, over the sets where both ran.\n",
        "| method | settings | version | sets | median difference | worst | CPU s, median "
        "| cells without result |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, method in methods.items():
        own = {problem: each[name] for problem, each in entries.items() if name in each}
        finished = [record for entry in own.values() for record in entry.finished]
        differences = np.array(
            [
                entries[problem][OURS].mean(measure) - entry.mean(measure)
                for problem, entry in own.items()
                if entry.finished and OURS in entries[problem] and entries[problem][OURS].finished
                for measure in [PROBLEMS[problem].measure]
            ]
        )
        beside = name != OURS and len(differences) > 0
        seconds = [record["cpu_seconds"] for record in finished]
        others = Counter(record["status"] for entry in own.values() for record in entry.others)
        lines.append(
            f"| {name} | {method.settings} | {_listed(record['package'] for record in finished)} "
            f"| {sum(bool(entry.finished) for entry in own.values())} "
            f"| {f'{100 * np.median(differences):+.1f}' if beside else ''} "
            f"| {f'{100 * differences.min():+.1f}' if beside else ''} "
            f"| {f'{np.median(seconds):.1f}' if seconds else ''} "
            f"| {', '.join(f'{count} {status}' for status, count in others.items())} |"
        )
    return "\n".join(lines) + "\n"


def _problem_table(
    problem: str, entries: dict[str, Entry], planned: Counter[str], methods: dict[str, Method]
) -> str:
    by_nmi = PROBLEMS[problem].measure == "nmi"
    facts = next((entry.finished[0] for entry in entries.values() if entry.finished), None)
    lines = [f"## {problem}\n"]
    if facts:
        lines.append(
            f"{facts['n_samples']:,} images, {facts['n_classes']} classes, k = "
            f"{facts['n_clusters']}.\n"
        )
    extra = ["many-to-one"] if by_nmi else []
    names = ["method", "runs", "accuracy", "macro", *extra, "NMI", "ARI", "clusters", "s", "CPU s"]
    lines += [_row(names), "|---" * len(names) + "|"]
    measure = PROBLEMS[problem].measure
    ranked = sorted(
        (entry for entry in entries.values() if entry.finished),
        key=lambda entry: -entry.mean(measure),
    )
    for entry in ranked:
        accuracy = _spread(entry, "accuracy")
        if entry.mean("noise"):
            accuracy += f" (noise wrong: {_percent(entry.mean('accuracy_noise_wrong'))})"
        lines.append(
            _row(
                [
                    f"**{entry.method}**" if entry.method == OURS else entry.method,
                    _runs(entry, planned[entry.method]),
                    accuracy,
                    _spread(entry, "macro_accuracy"),
                    *[_spread(entry, "many_to_one") for _ in extra],
                    _spread(entry, "nmi"),
                    _spread(entry, "ari"),
                    f"{entry.mean('n_found'):.4g}",
                    f"{entry.mean('seconds'):.1f}",
                    f"{entry.mean('cpu_seconds'):.1f}",
                ]
            )
        )
    missing = _missing_lines(entries, planned, methods)
    if missing:
        lines += ["", *missing]
    ours = entries.get(OURS)
    if ours is not None and len(ours.values("best_of_pool")):
        lines.append(
            f"\nBest head of {OURS}'s pool: accuracy {_spread(ours, 'best_of_pool')}; gap "
            f"{_percent(ours.gap)}."
        )
    return "\n".join(lines) + "\n"


def _missing_lines(
    entries: dict[str, Entry], planned: Counter[str], methods: dict[str, Method]
) -> list[str]:
    """Say which cells have no result, and why, methods of one reason together."""
    reasons: dict[str, list[str]] = {}
    for name in methods:
        entry = entries.get(name, Entry(name, (), ()))
        for record in entry.others:
            reasons.setdefault(f"{record['status']} ({record['reason']})", []).append(name)
        n_left = planned[name] - len(entry.finished) - len(entry.others)
        if n_left > 0:
            reasons.setdefault("not run", []).append(name)
        elif not (planned[name] or entry.finished or entry.others):
            reasons.setdefault("not run, not in this tier", []).append(name)
    return [
        f"- {reason}: " + ", ".join(_counted(name, count) for name, count in Counter(names).items())
        for reason, names in reasons.items()
    ]


def _runs(entry: Entry, planned: int) -> str:
    n_finished = len(entry.finished)
    return str(n_finished) if n_finished >= planned else f"{n_finished} of {planned}"


def _counted(name: str, count: int) -> str:
    return name if count == 1 else f"{name} ({count} seeds)"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.1f}"


def _spread(entry: Entry, figure: str) -> str:
    """Mean and standard deviation in percent."""
    values = 100 * entry.values(figure)
    if not len(values):
        return ""
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or "-"
