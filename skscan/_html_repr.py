"""What a notebook shows of a fitted estimator, below scikit-learn's table of parameters."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

__all__ = ["html_summary"]

MAX_ROWS = 20
"""Clusters shown; the rest is counted."""

_BAR = "background:#0b5fa5;height:.7em;min-width:1px;border-radius:2px"
_CELL = "padding:1px 10px;border:0;text-align:right;background:none"
_NAME_LENGTH = 40


def html_summary(estimator: Any) -> str:
    """Return the clusters of a fitted estimator as a small table; empty for one not fitted.

    Parameters
    ----------
    estimator : SCANClusterer or SCANClassifier

    Returns
    -------
    html : str
        Without scripts, and with everything that users name escaped.
    """
    if not len(getattr(estimator, "probabilities_", ())):  # not fitted, or converted
        return ""
    probabilities = estimator.probabilities_
    read = ~np.isnan(probabilities[:, 0])
    clusters = probabilities[read].argmax(axis=1)
    confidence = probabilities[read].max(axis=1)
    sizes = np.bincount(clusters, minlength=probabilities.shape[1])
    sums = np.bincount(clusters, weights=confidence, minlength=probabilities.shape[1])
    kind = "cluster"
    names = list(range(len(sizes)))
    if hasattr(estimator, "classes_"):
        kind, names = "class", list(estimator.classes_)
    rows = [
        _row(names[i], int(sizes[i]), int(sizes.max()), sums[i], int(prototype))
        for i, prototype in enumerate(estimator.prototype_indices_[:MAX_ROWS])
    ]
    more = len(sizes) - len(rows)
    if more > 0:
        rows.append(f'<tr><td style="{_CELL}" colspan="5">and {more:,} more</td></tr>')
    heads = "".join(
        f'<th scope="col" style="{_CELL}">{title}</th>'
        for title in (kind, "samples", "", "mean confidence", "most typical sample")
    )
    return (
        '<div style="margin:.5em 0;font-size:13px">'
        f"<p style='margin:.3em 0'>{escape(_sentence(estimator, int(read.sum())))}</p>"
        '<table style="border-collapse:collapse;margin:0;font-size:inherit">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: object, size: int, largest: int, confidences: float, prototype: int) -> str:
    text = str(name)
    if len(text) > _NAME_LENGTH:
        text = text[: _NAME_LENGTH - 1] + "…"
    width = 100 * size / max(largest, 1)
    mean = f"{confidences / size:.2f}" if size else "–"
    cells = (
        f'<td style="{_CELL};min-width:120px"><div style="{_BAR};width:{width:.0f}%"></div></td>'
        f'<td style="{_CELL}">{mean}</td>'
        f'<td style="{_CELL}">{prototype if prototype >= 0 else "–"}</td>'
    )
    return (
        f'<tr><th scope="row" style="{_CELL}">{escape(text)}</th>'
        f'<td style="{_CELL}">{size:,}</td>{cells}</tr>'
    )


def _sentence(estimator: Any, n_read: int) -> str:
    n_clusters = estimator.probabilities_.shape[1]
    kinds = "classes" if hasattr(estimator, "classes_") else "clusters"
    said = f"{n_read:,} samples in {n_clusters:,} {kinds}"
    n_skipped = len(estimator.skipped_)
    if n_skipped:
        said += f"; {n_skipped:,} images could not be read"
    for name, kind in (("outlier_indices_", "outlying"), ("ambiguous_indices_", "ambiguous")):
        if hasattr(estimator, name):
            said += f"; {len(getattr(estimator, name)):,} {kind}"
    seconds = sum(estimator.timings_.values())
    return f"{said}; fitted in {seconds:.1f} s."
