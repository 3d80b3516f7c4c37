"""The results as a picture: one line for each set."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from quality_parts.method import Method
from quality_parts.methods import OURS
from quality_parts.problems import PROBLEMS
from quality_parts.summary import Entry, compare

__all__ = ["draw"]

BASELINE = "k-means"
OURS_COLOR, BEST_COLOR, BASELINE_COLOR, OTHER_COLOR = "#0b6e4f", "#d1495b", "#4a6fa5", "#b9bec4"


def draw(entries: dict[str, dict[str, Entry]], methods: dict[str, Method], path: Path) -> bool:
    """Draw every set on which ours and another method are finished.

    Parameters
    ----------
    entries : dict of str to dict of str to Entry
        By problem and method.
    methods : dict of str to Method
    path : Path
        The format is that of its suffix.

    Returns
    -------
    drawn : bool
        False where there is nothing to draw.
    """
    comparisons = compare(entries, methods)
    if not comparisons:
        return False
    style = {"svg.fonttype": "none", "svg.hashsalt": "skscan", "font.size": 9}
    with pyplot.rc_context(style):
        height = 0.27 * len(comparisons) + 1.1
        figure, axes = pyplot.subplots(figsize=(9, height), layout="constrained")
        for line, (problem, each) in enumerate(comparisons.items()):
            means = {
                name: 100 * entry.mean(each.measure)
                for name, entry in entries[problem].items()
                if entry.finished
            }
            rest = [value for name, value in means.items() if name not in (OURS, BASELINE)]
            axes.plot(rest, [line] * len(rest), "|", color=OTHER_COLOR, ms=8, mew=1.5)
            if BASELINE in means:
                axes.plot(means[BASELINE], line, "d", color=BASELINE_COLOR, ms=5)
            best = means[each.best.method]
            axes.plot(best, line, "o", mfc="none", mec=BEST_COLOR, mew=1.5, ms=8)
            axes.plot(means[OURS], line, "o", color=OURS_COLOR, ms=6)
            axes.annotate(
                f"{100 * each.difference:+.1f}  {each.best.method}",
                (1.015, line),
                xycoords=("axes fraction", "data"),
                va="center",
                color=OURS_COLOR if each.difference >= 0 else BEST_COLOR,
            )
        _dress(axes, list(comparisons))
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=110)
        pyplot.close(figure)
    return True


def _dress(axes: pyplot.Axes, problems: list[str]) -> None:
    """Label the lines, and explain the marks."""
    labels = [
        problem + (" (NMI)" if PROBLEMS[problem].measure == "nmi" else "") for problem in problems
    ]
    axes.set_yticks(range(len(problems)), labels)
    axes.set_ylim(len(problems) - 0.4, -0.6)
    lowest = 10 * (axes.dataLim.x0 // 10)
    axes.set_xlim(lowest, 100.5)
    axes.set_xlabel("accuracy, or NMI, in percent: mean over seeds")
    axes.grid(color="#eceff1")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.plot([], [], "o", color=OURS_COLOR, ms=6, label=OURS)
    axes.plot([], [], "o", mfc="none", mec=BEST_COLOR, mew=1.5, ms=8, label="best other method")
    axes.plot([], [], "d", color=BASELINE_COLOR, ms=5, label=BASELINE)
    axes.plot([], [], "|", color=OTHER_COLOR, ms=8, mew=1.5, label="other methods")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.01, 1), ncols=4, frameon=False, handletextpad=0.2
    )
    axes.annotate(
        f"{OURS} − best other",
        (1.015, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontweight="bold",
    )
