"""Ours beside the paper's: the rows of a table, and the table as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skscan.recipes.recipe import Figure, Recipe

__all__ = ["comparison_rows", "comparison_table"]

#: How scores are called in a table.
TITLES = {
    "purity_train": "same class, train",
    "purity_test": "same class, test",
    "accuracy": "ACC",
    "many_to_one_accuracy": "ACC, majority",
    "nmi": "NMI",
    "ari": "ARI",
    "ami": "AMI",
    "top_k_accuracy": "top-{k}",
    "macro_accuracy": "macro ACC",
}

_STAGE_TITLES = {
    "pretext": "pretext + k-means",
    "mining": "neighbors",
    "scan": "SCAN",
    "self-label": "self-label",
    "overcluster": "overcluster",
    "few-labels": "few labels",
    "supervised": "supervised",
}
_K_MEANS = "k-means on the same features"


def comparison_rows(recipe: Recipe, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the scores of finished cells with the published figures.

    Parameters
    ----------
    recipe : Recipe
    cells : mapping of str to dict
        Finished cells by name, as `skscan.recipes.store.Store` has them: each with `stage`,
        `scores`, for some `k_means_scores`, and for stages after the pretext task a `seed`.

    Returns
    -------
    rows : list of dict
        For each stage and score: stage, by (what the clusters come from), score, k (for top-k),
        mean, std, n (over seeds, or over runs of k-means; None where nothing is finished), undone
        (runs of self-labelling that its guard undid, so that the scores are those from before it)
        and published: a list of dict with row, value, std, verified, source.
    """
    rows: list[dict[str, Any]] = []
    for stage in ("supervised", *recipe.stages):
        ours = [cell for cell in cells.values() if cell["stage"] == stage]
        published = recipe.published_for(stage)
        undone = sum(not cell.get("accepted", True) for cell in ours)
        seen = {score for cell in ours for score in cell["scores"]}
        cited = {score for row in published for score in row.figures}
        for score in TITLES:
            if score not in seen | cited:
                continue
            rows.append(
                {
                    "stage": stage,
                    "by": "",
                    "score": score,
                    "k": next((cell["k"] for cell in ours if "k" in cell), 5),
                    **_summary([cell["scores"].get(score) for cell in ours]),
                    "undone": undone,
                    "published": [
                        {"row": row.row, "source": row.source, **_figure(row.figures[score])}
                        for row in published
                        if score in row.figures
                    ],
                }
            )
        for score in TITLES:
            values = [cell.get("k_means_scores", {}).get(score) for cell in ours]
            if any(value is not None for value in values):
                rows.append(
                    {
                        "stage": stage,
                        "by": _K_MEANS,
                        "score": score,
                        "k": None,
                        **_summary(values),
                        "undone": undone,
                        "published": [],
                    }
                )
    return rows


def comparison_table(rows: list[dict[str, Any]]) -> str:
    """Lay rows out as text, in per cent.

    Parameters
    ----------
    rows : list of dict
        From `comparison_rows`.

    Returns
    -------
    table : str
        Several lines; a published figure with an asterisk was not confirmed at its source, a
        dagger stands where runs of self-labelling were undone.

    Examples
    --------
    >>> from skscan.recipes import comparison_rows, comparison_table, load_recipe
    >>> table = comparison_table(comparison_rows(load_recipe("stl10"), {}))
    >>> table.splitlines()[0].split()
    ['stage', 'score', 'ours', 'published']
    """
    header = ("stage", "score", "ours", "published")
    lines = []
    for row in rows:
        title = _STAGE_TITLES[row["stage"]] + ("†" if row["undone"] else "")
        title += f", {row['by']}" if row["by"] else ""
        score = TITLES[row["score"]].format(k=row["k"])
        ours = "-" if row["mean"] is None else _per_cent(row["mean"], row["std"], row["n"])
        published = "; ".join(
            f"{_per_cent(p['value'], p['std'])}{'' if p['verified'] else '*'} ({p['row']})"
            for p in row["published"]
        )
        lines.append((title, score, ours, published or "-"))
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(3)]
    text = []
    before = ""
    for line in (header, *lines):
        shown = (line[0] if line[0] != before else "", *line[1:])
        before = line[0]
        cells = [cell.ljust(width) for cell, width in zip(shown, widths, strict=False)]
        text.append("  ".join([*cells, shown[3]]).rstrip())
    if any(not p["verified"] for row in rows for p in row["published"]):
        text.append("* as remembered of the paper, not confirmed at its source")
    for stage in dict.fromkeys(row["stage"] for row in rows if row["undone"]):
        [undone, n] = next((r["undone"], r["n"]) for r in rows if r["stage"] == stage)
        text.append(
            f"† {_STAGE_TITLES[stage]}: in {undone} of {n} runs self-labelling was undone by its "
            "guard; their scores are those from before it"
        )
    return "\n".join(text)


def _summary(values: list[float | None]) -> dict[str, Any]:
    """Mean and standard deviation; one value may itself be a mean over runs."""
    flat = [value for value in values if value is not None]
    if not flat:
        return {"mean": None, "std": None, "n": 0}
    runs = np.concatenate([np.atleast_1d(value) for value in flat])
    std = float(runs.std(ddof=1)) if len(runs) > 1 else None
    return {"mean": float(runs.mean()), "std": std, "n": len(runs)}


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "std": figure.std, "verified": figure.verified}


def _per_cent(value: float, std: float | None, n: int | None = None) -> str:
    text = f"{100 * value:.1f}"
    if std is not None:
        text += f" ± {100 * std:.1f}"
    if n is not None and n > 1:
        text += f" (n={n})"
    return text
