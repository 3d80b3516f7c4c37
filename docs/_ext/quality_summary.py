"""``{quality-summary} FILE.jsonl``: each set of a benchmark, from its result file."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from docutils import nodes
from docutils.parsers.rst import Directive
from paper_tables import table_of

OURS, PLAIN, KMEANS = "skscan", "plain SCAN", "k-means"


class QualitySummary(Directive):
    """A table with a row for each set: skscan, plain SCAN, k-means, and the best other method."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table, and a sentence on how often which is ahead."""
        environment = self.state.document.settings.env
        path = Path(environment.doc2path(environment.docname)).parent / self.arguments[0]
        environment.note_dependency(str(path))
        scores = read_scores(path)
        lines = [("set", "skscan", "plain SCAN", "k-means", "the best other", "which")]
        ahead = 0
        for name, methods in scores.items():
            others = {method: value for method, value in methods.items() if method != OURS}
            best = max(others, key=others.get)
            ahead += methods[OURS] >= others[best]
            row = [name, *(methods.get(method) for method in (OURS, PLAIN, KMEANS))]
            shown = [row[0], *(f"{100 * v:.1f}" if v is not None else "-" for v in row[1:])]
            lines.append((*shown, f"{100 * others[best]:.1f}", best))
        said = (
            f"Accuracy in per cent, means over seeds, on the {len(scores)} sets with as many "
            f"clusters as classes. On {ahead} of them no other method that was run is ahead of "
            "skscan."
        )
        return [nodes.paragraph(text=said), table_of(lines)]


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Return the mean accuracy of each method on each set that asks for the true number."""
    runs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    latest = {}  # a cell that was run again stands further below
    for line in path.read_text().splitlines():
        cell = json.loads(line)
        latest[cell["problem"], cell["method"], cell["seed"]] = cell
    for cell in latest.values():
        if cell["status"] == "ok" and cell["n_clusters"] == cell["n_classes"]:
            runs[cell["problem"]][cell["method"]].append(cell["accuracy"])
    return {
        name: {method: mean(values) for method, values in methods.items()}
        for name, methods in runs.items()
        if OURS in methods
    }


def setup(app) -> dict:
    """Register with Sphinx."""
    app.add_directive("quality-summary", QualitySummary)
    return {"parallel_read_safe": True}
