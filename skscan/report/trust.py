"""How far the clusters can be trusted, in plain words and without labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from skscan.report.evidence import Evidence
from skscan.report.run import Run

__all__ = ["trust_statements"]

_FEW = 10  # images; fewer hardly make a class


def trust_statements(run: Run, evidence: Evidence) -> list[dict[str, Any]]:
    """Say what to look at, the most useful first.

    Returns
    -------
    list of dict
        ``text``; and ``show``: ``"uncertain"``, ``"outliers"``, ``"duplicates"``, ``"skipped"`` or
        ``["class", 3]`` for what the page shows on a click, or None.
    """
    n_images = len(run.paths)
    if n_images == 0:
        return [{"text": "No image could be read, so there is nothing to trust.", "show": None}]
    statements = [
        _uncertain(len(evidence.uncertain), n_images),
        _agreement(run, evidence),
        *_loosest(run, evidence),
        *_small(run),
    ]
    if evidence.outliers is not None and len(evidence.outliers):
        text = f"{_images(len(evidence.outliers))} like no other here: perhaps none of the classes."
        statements.append({"text": text, "show": "outliers"})
    if evidence.duplicates:
        spare = sum(len(group) - 1 for group in evidence.duplicates)
        text = (
            f"{_images(spare)} nearly the same as another one. Such copies make the share of "
            "neighbours in the same class look better than it is."
        )
        statements.append({"text": text, "show": "duplicates"})
    if run.skipped:
        verb = "file" if len(run.skipped) == 1 else "files"
        text = f"{len(run.skipped):,} {verb} could not be read and are in no class."
        statements.append({"text": text, "show": "skipped"})
    return statements


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count:,} images are"


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1:
        return "more than 99 %"
    return f"about {100 * share:.0f} %"


def _uncertain(count: int, n_images: int) -> dict[str, Any]:
    if count == 0:
        return {"text": "No image stands between two classes.", "show": None}
    share = _percent(count / n_images)
    text = (
        f"{share[0].upper()}{share[1:]} of the images ({count:,}) are uncertain: they may belong "
    )
    return {"text": text + "to another class. Look at these first.", "show": "uncertain"}


def _agreement(run: Run, evidence: Evidence) -> dict[str, Any]:
    shares = np.bincount(run.clusters, minlength=run.n_clusters) / len(run.paths)
    chance, found = _percent(float((shares**2).sum())), _percent(float(evidence.agreement.mean()))
    text = (
        f"Of the images most like a given one, {found} are in the same class; with classes "
        f"drawn by lot it would be {chance}."
    )
    return {"text": text, "show": None}


def _loosest(run: Run, evidence: Evidence) -> list[dict[str, Any]]:
    sizes = np.bincount(run.clusters, minlength=run.n_clusters)
    held = np.bincount(run.clusters, weights=evidence.agreement, minlength=run.n_clusters)
    cohesion = np.where(sizes >= _FEW, held / np.maximum(sizes, 1), np.inf)
    loosest = int(cohesion.argmin())
    if run.n_clusters < 2 or not np.isfinite(cohesion[loosest]):
        return []
    text = (
        f"Cluster {loosest} holds together least: {_percent(float(cohesion[loosest]))} of its "
        "images' neighbours are in it. It may need to be split or merged."
    )
    return [{"text": text, "show": ["class", loosest]}]


def _small(run: Run) -> list[dict[str, Any]]:
    sizes = np.bincount(run.clusters, minlength=run.n_clusters)
    statements: list[dict[str, Any]] = []
    empty, small = int((sizes == 0).sum()), np.flatnonzero((sizes > 0) & (sizes < _FEW))
    if empty:
        verb = "cluster is" if empty == 1 else "clusters are"
        text = f"{empty:,} {verb} empty: fewer would do for these images."
        statements.append({"text": text, "show": None})
    if len(small):
        verb = "cluster has" if len(small) == 1 else "clusters have"
        text = f"{len(small):,} {verb} fewer than {_FEW} images; they may belong to others."
        statements.append({"text": text, "show": ["class", int(small[0])]})
    return statements
