"""New samples in the clusters of a fitted clusterer, which stay as they are."""

from __future__ import annotations

import copy
import math
import os
from typing import Any, NamedTuple

import numpy as np
from joblib import Memory
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skscan._blocks import row_blocks
from skscan._caching import checked_memory
from skscan._features import extract_features
from skscan._files import allocate_array
from skscan._fitted import MAX_PROBABILITY_BYTES
from skscan._gaps import readable_rows, with_gaps
from skscan._subset import some_rows
from skscan.calibration import ambiguous_rows
from skscan.clusterer import SCANClusterer
from skscan.duplicates import near_duplicates
from skscan.exceptions import ImageReadError
from skscan.images import SkippedImage
from skscan.images.collection import FileImages
from skscan.neighbors import NeighborMiner
from skscan.neighbors.miner import self_first, without_self
from skscan.outliers import MAX_REFERENCES, outlier_limit, outlying_rows

__all__ = ["Growth", "grow"]

USUAL = 0.95
"""Share of the samples of the fit whose outlier scores are called usual."""

FEWEST_FAR, LARGEST_SHARE_FAR, STANDARD_ERRORS = 10, 0.2, 2
"""So many added samples beyond what is usual, and a share of all added ones that is larger by so
many standard errors, speak of classes that the fit did not know. On features of four sets, at most
0.10 of the samples of known classes were far, and more than 0.2 of those of 29 among 40 classes
that were held out; of some dozens of samples the share may be twice that by chance."""


class Growth(NamedTuple):
    """A clusterer that has taken in new samples."""

    model: SCANClusterer
    new: NDArray[np.intp]
    """Rows of the new samples."""
    unlike: NDArray[np.intp]
    """Rows of those among them that are unlike the samples that the clusters were found on, the
    oddest first."""
    n_added: int
    """Samples added since the fit, by this and earlier growth, that are there and could be read."""
    n_far: int
    """Those among them that lie farther from the samples of the fit than 95 % of these do from each
    other: of samples of the same kind about a twentieth."""

    @property
    def fits(self) -> bool:
        """Whether the clusters seem to do for what was added: not where many samples are far."""
        error = math.sqrt(LARGEST_SHARE_FAR * (1 - LARGEST_SHARE_FAR) * self.n_added)
        most = LARGEST_SHARE_FAR * self.n_added + STANDARD_ERRORS * error
        return self.n_far < FEWEST_FAR or self.n_far <= most


class _Places(NamedTuple):
    """Scaled features of samples, which new ones are compared with, and their rows."""

    features: NDArray[np.float32]
    rows: NDArray[np.intp]


def grow(
    model: SCANClusterer,
    images: FileImages,
    earlier: NDArray[np.integer],
    memory: str | os.PathLike | Memory | None = None,
) -> Growth:
    """Sort new images into the clusters of a fitted clusterer.

    Nothing is trained. Images that were sorted before keep their clusters and all else that is
    known of them, and are not read. New ones are sorted as by `predict`; their neighbors are found
    among the others, or, of more than 20,000, among that many of them. Outlier scores go on being
    distances to the samples of the fit: what clusters were not made for stays unlike them, however
    much of it there comes to be.

    Parameters
    ----------
    model : SCANClusterer
        Fitted on images. It is left as it is.
    images : FileImages
        All images as they are now, n_images of them.
    earlier : int ndarray of shape (n_images,)
        Row of each image in the arrays of `model`; -1 for a new one.
    memory : str, path-like or object with the joblib.Memory interface, default=None
        Where to keep the features of new images, as `memory` of the clusterer.

    Returns
    -------
    growth : Growth
        Its model has no merge tree: one that had searched for the number of clusters cannot be cut.

    Raises
    ------
    ValueError
        If the model does not hold the samples that it was fitted on.
    ImageReadError
        If an image cannot be read, and the extractor is to stop there.
    """
    if not model._knows_training_samples:
        raise ValueError(
            "the model holds none of the samples that it was fitted on: it was converted, or saved "
            "without them; cluster them again."
        )
    new, kept = np.flatnonzero(earlier < 0), np.flatnonzero(earlier >= 0)
    features, skipped = _features_of(model, images.take(new), memory)
    read = readable_rows(len(new), skipped)
    Z, probabilities, scores = _sorted(model, features[read])
    probabilities, scores = with_gaps(probabilities, read), with_gaps(scores, read)
    row_now = np.full(len(model.labels_), -1, dtype=np.intp)
    row_now[earlier[kept]] = kept

    result = copy.copy(model)
    result._forget_search()
    result.n_clusters = model.n_clusters_
    result.labels_ = _merged(model.labels_, model._labels_from(probabilities), earlier)
    result.probabilities_ = _merged(model.probabilities_, probabilities, earlier)
    result.outlier_scores_ = _merged(model.outlier_scores_, scores, earlier)
    result.skipped_ = _skipped_now(model, row_now, skipped, new, images.names)
    known = _moved(_known_places(model), row_now)
    added = _Places(Z, new[read])
    result.neighbors_ = _grown_graph(
        model.neighbors_, row_now, known, added, len(images), model.n_jobs
    )
    result.near_duplicates_ = near_duplicates(result.neighbors_)
    result.ambiguous_indices_ = ambiguous_rows(result.probabilities_)
    result.prototype_indices_ = _prototypes_now(result, model.prototype_indices_, row_now)
    _keep_limits(result, model)
    was_added = getattr(model, "_was_added", np.zeros(len(model.labels_), dtype=bool))
    result._was_added = _merged(was_added, np.ones(len(new), dtype=bool), earlier)
    added_scores = result.outlier_scores_[result._was_added]
    result.outlier_indices_ = outlying_rows(result.outlier_scores_, result._outlier_limit)
    _keep_places(result, known, added)
    unlike = outlying_rows(scores, result._outlier_limit)
    return Growth(
        result,
        new,
        new[unlike],
        n_added=int((~np.isnan(added_scores)).sum()),
        n_far=int((added_scores > result._usual_limit).sum()),
    )


def _keep_limits(result: SCANClusterer, model: SCANClusterer) -> None:
    """Set from which scores on samples stand out; they are those of the fit, also later on."""
    if not hasattr(model, "_outlier_limit"):
        scores = model.outlier_scores_
        result._outlier_limit = outlier_limit(scores)
        result._usual_limit = float(np.nanquantile(scores, USUAL))


def _sorted(
    model: SCANClusterer, features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return scaled features, probabilities and outlier scores."""
    if not len(features):  # which scalers refuse
        shapes = (0, model._n_features_out), (0, model.n_clusters_), (0,)
        nothing = [np.zeros(shape, dtype=np.float32) for shape in shapes]
        return nothing[0], nothing[1], nothing[2]
    Z = np.asarray(model.feature_scaler_.transform(features), dtype=np.float32)
    return Z, model._probabilities(Z), model._scores_of(features, Z)


def _features_of(
    model: SCANClusterer, images: FileImages, memory: str | os.PathLike | Memory | None
) -> tuple[NDArray[np.float32], list[SkippedImage]]:
    """Extract features; that none of the images can be read is no error here."""
    if not len(images):
        return np.zeros((0, model.n_features_in_), dtype=np.float32), []
    extractor = model.feature_extractor_
    try:
        return extract_features(extractor, images, images.names, checked_memory(memory))
    except ImageReadError:
        wanted = [
            value for name, value in extractor.get_params().items() if name.endswith("errors")
        ]
        reasons = [_why_unreadable(images, i) for i in range(len(images))]
        if "raise" in wanted or None in reasons:
            raise
        skipped = [SkippedImage(i, images.names[i], str(why)) for i, why in enumerate(reasons)]
        return np.full((len(images), model.n_features_in_), np.nan, np.float32), skipped


def _why_unreadable(images: FileImages, i: int) -> str | None:
    try:
        images.read(i)
    except ImageReadError as error:
        return error.reason
    return None


def _merged(old: NDArray[Any], new: NDArray[Any], earlier: NDArray[np.integer]) -> NDArray[Any]:
    """Put rows of earlier samples and of new ones where they belong."""
    shape = (len(earlier), *old.shape[1:])
    merged = allocate_array(shape, old.dtype, "rows", MAX_PROBABILITY_BYTES)
    is_new = earlier < 0
    number = np.cumsum(is_new) - 1  # of a new sample among the new ones
    for rows in row_blocks(len(earlier), int(np.prod(old.shape[1:], initial=1))):
        fresh = is_new[rows]
        block = merged[rows]
        block[fresh] = new[number[rows][fresh]]
        block[~fresh] = old[earlier[rows][~fresh]]
    return merged


def _skipped_now(
    model: SCANClusterer,
    row_now: NDArray[np.intp],
    skipped: list[SkippedImage],
    new: NDArray[np.intp],
    names: list[str],
) -> list[SkippedImage]:
    reasons = {int(row_now[image.index]): image.reason for image in model.skipped_}
    reasons |= {int(new[image.index]): image.reason for image in skipped}
    return [SkippedImage(row, names[row], reasons[row]) for row in sorted(reasons) if row >= 0]


def _known_places(model: SCANClusterer) -> _Places:
    """Return where samples of a model lie: those that outliers are measured to, at first."""
    if hasattr(model, "_known_rows"):
        return _Places(model._known_features, model._known_rows)
    read, features = np.flatnonzero(model.labels_ >= 0), model._outlier_scorer.references
    return _Places(features, read[some_rows(len(read), len(features))])  # as the scorer chose


def _moved(places: _Places, row_now: NDArray[np.intp]) -> _Places:
    rows = row_now[places.rows]
    there = rows >= 0
    return _Places(places.features[there], rows[there])


def _keep_places(model: SCANClusterer, known: _Places, new: _Places) -> None:
    features = np.concatenate([known.features, new.features])
    rows = np.concatenate([known.rows, new.rows])
    chosen = some_rows(len(rows), MAX_REFERENCES)
    model._known_features, model._known_rows = features[chosen], rows[chosen]


def _grown_graph(
    graph: csr_matrix,
    row_now: NDArray[np.intp],
    known: _Places,
    new: _Places,
    n_samples: int,
    n_jobs: int | None,
) -> csr_matrix:
    """Move the edges of earlier samples, without those to samples that are gone, and add new ones.

    Earlier samples keep their neighbors, also where a new one is nearer.
    """
    counts = np.diff(graph.indptr)
    rows, columns = row_now[np.repeat(np.arange(len(counts)), counts)], row_now[graph.indices]
    there = (rows >= 0) & (columns >= 0)
    n_neighbors = int(counts.max(initial=1)) - 1  # a sample is its own first one
    own = _edges_of_new(known, new, n_neighbors, n_jobs)
    rows, columns, distances = (
        np.concatenate([old[there], fresh])
        for old, fresh in zip((rows, columns, graph.data), own, strict=True)
    )
    order = np.argsort(rows, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_samples))])
    return csr_matrix((distances[order], columns[order], ends), shape=(n_samples, n_samples))


def _edges_of_new(
    known: _Places, new: _Places, n_neighbors: int, n_jobs: int | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]:
    """Rows, columns and lengths of edges from new samples to their neighbors."""
    features = np.concatenate([known.features, new.features])
    n_neighbors = min(n_neighbors, len(features) - 1)
    if not len(new.rows) or n_neighbors < 1:
        return new.rows, new.rows, np.zeros(len(new.rows), dtype=np.float32)
    number = np.arange(len(known.rows), len(features))
    found = NeighborMiner(n_neighbors, n_jobs=n_jobs).fit(features)
    nearest = found.kneighbors(new.features, n_neighbors + 1)
    distances, indices = self_first(*without_self(*nearest, number), number)
    columns = np.concatenate([known.rows, new.rows])[indices]
    return np.repeat(new.rows, indices.shape[1]), columns.ravel(), distances.ravel()


def _prototypes_now(
    model: SCANClusterer, before: NDArray[np.integer], row_now: NDArray[np.intp]
) -> NDArray[np.integer]:
    """Return the most typical samples; in place of one that is gone, the surest of its cluster."""
    prototypes = np.where(before >= 0, row_now[before], -1)
    for cluster in np.flatnonzero(prototypes < 0):
        members = np.flatnonzero(model.labels_ == cluster)
        if len(members):
            prototypes[cluster] = members[model.probabilities_[members, cluster].argmax()]
    return prototypes
