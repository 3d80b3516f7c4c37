"""Everything that the report's page shows, as one JSON object.

Arrays over images are little-endian bytes in base64: 50,000 images of a few numbers each are read
by a browser at once, where lists of digits would take seconds.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skscan.report.evidence import Evidence, gather_evidence
from skscan.report.map_layout import MAX_ON_MAP, map_layout, sampled_affinity
from skscan.report.nearness import Nearness, nearness_of_clusters
from skscan.report.run import Run
from skscan.report.trust import trust_statements

__all__ = ["PageData", "build_page_data"]

N_EXAMPLES = 12
N_LISTED = 2_000
_MAX_CONFUSION = 100
_N_BINS = 20


@dataclass(frozen=True)
class PageData:
    """What a page shows.

    Parameters
    ----------
    content : dict
        The JSON object.
    shown : int ndarray of shape (n_shown,)
        Rows of the run's images that are on the page, in its order.
    first : int ndarray of shape (n_shown,)
        Numbers of the images on the page, those that are seen first at the front.
    """

    content: dict[str, Any]
    shown: NDArray[np.integer]
    first: NDArray[np.integer]


def build_page_data(run: Run, max_shown: int = MAX_ON_MAP, random_state: int = 0) -> PageData:
    """Gather what the page of `run` shows.

    Parameters
    ----------
    run : Run
    max_shown : int, default=50000
        Of more images, so many are drawn; examples and flagged images are always among them.
    random_state : int, default=0

    Returns
    -------
    PageData
    """
    random = np.random.RandomState(random_state)
    evidence, nearness = gather_evidence(run), nearness_of_clusters(run)
    examples = _examples(run, evidence, random)
    shown = _choose(run, evidence, examples, max_shown, random)
    number = np.full(len(run.paths), -1, dtype=np.int64)  # of an image on the page
    number[shown] = np.arange(len(shown))
    affinity = sampled_affinity(run.neighbors, None if len(shown) == len(run.paths) else shown)
    content = {
        "format": "skscan report",
        "format_version": 1,
        "run": _about(run),
        "n_shown": len(shown),
        "images": _images(run, evidence, shown, map_layout(affinity, random_state)),
        "classes": _classes(run, evidence, nearness),
        "histogram": _histogram(run.confidence),
        "trust": trust_statements(run, evidence),
        "uncertain": _numbers(number, evidence.uncertain),
        "outliers": _numbers(number, evidence.outliers),
        "duplicates": _groups(number, evidence.duplicates),
        "nearness": _nearness(nearness),
        "skipped": run.skipped[:N_LISTED],
        "n_skipped": len(run.skipped),
        "evaluation": _evaluation(run),
    }
    return PageData(content, shown, _seen_first(examples, number))


def _examples(
    run: Run, evidence: Evidence, random: np.random.RandomState
) -> list[dict[str, NDArray[np.integer]]]:
    """For each cluster: typical, random, least certain and outlying images, as rows."""
    order = np.lexsort((evidence.typical_rank, run.clusters))
    bounds = np.searchsorted(run.clusters[order], np.arange(run.n_clusters + 1))
    examples = []
    for start, end in pairwise(bounds):
        members = order[start:end]
        doubt = run.confidence[members] + evidence.agreement[members]
        examples.append(
            {
                "typical": members[:N_EXAMPLES],
                "random": random.permutation(members)[:N_EXAMPLES],
                "uncertain": members[np.argsort(doubt, kind="stable")][:N_EXAMPLES],
                "outlying": members[np.argsort(-evidence.outlier_score[members], kind="stable")][
                    :N_EXAMPLES
                ],
            }
        )
    return examples


def _choose(
    run: Run,
    evidence: Evidence,
    examples: list[dict[str, NDArray[np.integer]]],
    max_shown: int,
    random: np.random.RandomState,
) -> NDArray[np.integer]:
    n_images = len(run.paths)
    if n_images <= max_shown:
        return np.arange(n_images)
    wanted = [rows for lists in examples for rows in lists.values()]
    wanted += [evidence.uncertain[: max_shown // 5]]
    wanted += [] if evidence.outliers is None else [evidence.outliers[: max_shown // 20]]
    wanted += (evidence.duplicates or [])[:N_LISTED]
    chosen = np.unique(np.concatenate(wanted))
    if len(chosen) > max_shown:  # more clusters than there is room for
        return np.sort(random.choice(chosen, max_shown, replace=False))
    others = np.setdiff1d(np.arange(n_images), chosen, assume_unique=True)
    drawn = random.choice(others, max_shown - len(chosen), replace=False)
    return np.sort(np.concatenate([chosen, drawn]))


def _seen_first(
    examples: list[dict[str, NDArray[np.integer]]], number: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Numbers of all images on the page, those of the classes' cards at the front."""
    seen = np.concatenate(
        [*(number[rows] for lists in examples for rows in lists.values()), number]
    )
    seen = seen[seen >= 0]
    return seen[np.sort(np.unique(seen, return_index=True)[1])]


def _about(run: Run) -> dict[str, Any]:
    summary = run.summary
    return {
        "id": run.run_id,
        "title": PurePath(str(summary.get("folder", ""))).name or "images",
        "folder": str(summary.get("folder", "")),
        "n_images": len(run.paths),
        "n_clusters": run.n_clusters,
        "n_skipped": len(run.skipped),
        "version": summary.get("skscan_version", ""),
        "seconds": summary.get("seconds", {}),
        "settings": _settings(summary),
        "made": summary.get("made"),
        "next": f"skscan apply {shlex.quote(str(summary.get('out', 'OUT')))} decisions.json "
        "--to NEWFOLDER --mode copy",
        "proposals": summary.get("cluster_count", {}).get("proposals", [])[:3],
    }


def _settings(summary: dict[str, Any]) -> list[tuple[str, str]]:
    names = {
        "folder": "Images from",
        "n_clusters": "Classes",
        "features": "Features from",
        "n_features": "Features of each image",
        "effort": "Effort",
        "seed": "Seed",
        "skscan_version": "skscan",
    }
    return [(title, str(summary[name])) for name, title in names.items() if name in summary]


def _images(
    run: Run, evidence: Evidence, shown: NDArray[np.integer], places: NDArray[np.floating]
) -> dict[str, Any]:
    folders: dict[str, int] = {}
    folder, names = [], []
    for row in shown:
        path = run.paths[row]
        start = path.rfind("/") + 1
        folder.append(folders.setdefault(path[:start], len(folders)))
        names.append(path[start:])
    odd = np.argsort(np.argsort(evidence.outlier_score[shown], kind="stable"), kind="stable")
    x, y = places[:, 0], places[:, 1]
    numbers = run.numbers[shown]
    same = np.array_equal(numbers, np.arange(len(shown)))  # as their places on the page
    return {
        "number": None if same else _packed(numbers, "<u4"),
        "folders": list(folders),
        "folder": _packed(folder, "<u4"),
        "names": names,
        "x": _packed(np.round(x * 65535), "<u2"),
        "y": _packed(np.round(y * 65535), "<u2"),
        "cluster": _packed(run.clusters[shown], "<i4"),
        "second": _packed(run.second[shown], "<i4"),
        "confidence": _packed(np.round(np.clip(run.confidence[shown], 0, 1) * 65535), "<u2"),
        "agreement": _packed(np.round(evidence.agreement[shown] * 255), "u1"),
        "typical": _packed(evidence.typical_rank[shown], "<u4"),
        "odd": _packed(odd, "<u4"),
    }


def _packed(values: Sequence[int] | NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode("ascii")


def _classes(run: Run, evidence: Evidence, nearness: Nearness) -> list[dict[str, Any]]:
    k = run.n_clusters
    sizes = np.bincount(run.clusters, minlength=k)
    divisor = np.maximum(sizes, 1)
    confidence = np.bincount(run.clusters, weights=run.confidence, minlength=k) / divisor
    agreement = np.bincount(run.clusters, weights=evidence.agreement, minlength=k) / divisor
    uncertain = np.bincount(run.clusters[evidence.uncertain], minlength=k)
    return [
        {
            "size": int(sizes[c]),
            "confidence": round(float(confidence[c]), 4),
            "agreement": round(float(agreement[c]), 4),
            "uncertain": int(uncertain[c]),
            "near": [[other, round(share, 4)] for other, share in nearness.nearest[c]],
        }
        for c in range(k)
    ]


def _histogram(confidence: NDArray[np.floating]) -> list[int]:
    return np.histogram(confidence, bins=_N_BINS, range=(0, 1))[0].tolist()


def _numbers(
    number: NDArray[np.integer], rows: NDArray[np.integer] | None
) -> dict[str, Any] | None:
    if rows is None:
        return None
    found = number[rows]
    return {"n": len(rows), "images": found[found >= 0].tolist()}


def _groups(
    number: NDArray[np.integer], groups: list[NDArray[np.integer]] | None
) -> dict[str, Any] | None:
    if groups is None:
        return None
    listed = [number[group] for group in groups[:N_LISTED]]
    on_page = [found[found >= 0].tolist() for found in listed]
    return {"n": len(groups), "groups": [found for found in on_page if len(found) > 1]}


def _nearness(nearness: Nearness) -> dict[str, Any]:
    return {
        "order": nearness.order,
        "matrix": None if nearness.matrix is None else np.round(nearness.matrix, 4).tolist(),
        "linkage": None if nearness.linkage is None else np.round(nearness.linkage, 6).tolist(),
        "pairs": [[a, b, round(share, 4)] for a, b, share in nearness.pairs],
    }


def _evaluation(run: Run) -> dict[str, Any] | None:
    """Clusters against the folders of the images, where these are the classes."""
    from skscan.metrics import match_clusters

    truth = run.folder_classes
    if truth is None or not truth:
        return None
    names, codes = np.unique(np.array(truth, dtype=object), return_inverse=True)
    scores = {
        name: run.summary[name]
        for name in ("accuracy", "many_to_one_accuracy", "nmi", "ari")
        if name in run.summary
    }
    if len(names) > _MAX_CONFUSION or run.n_clusters > _MAX_CONFUSION:
        return {"scores": scores, "classes": None}
    counts = np.zeros((len(names), run.n_clusters), dtype=np.int64)
    np.add.at(counts, (codes, run.clusters), 1)
    assigned = match_clusters(codes, run.clusters, run.n_clusters)
    return {
        "scores": scores,
        "classes": names.tolist(),
        "counts": counts.tolist(),
        "class_of_cluster": assigned.tolist(),
    }
