"""All pairs compared by torch, on a GPU where there is one: the result is the exact search's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skscan._blocks import MAX_ENTRIES, row_blocks
from skscan._device import resolve_device
from skscan.neighbors.exact import SPARE, ExactSearch
from skscan.neighbors.results import allocate_results
from skscan.neighbors.rounding import (
    Frame,
    distances_between,
    nearest_first,
    rounding_error,
    sure_bound,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TorchSearch", "gpu_has_room"]

QUERY_ROWS = 1024
INDEX_ROWS = 2**16
"""Products of so many rows with each other are held at once: 256 MiB."""


class TorchSearch:
    """Exact euclidean search with products and selection by torch.

    Candidates are found by float32 products on the device; their distances are computed anew from
    differences on the processor. Rows that have too many others within the error of rounding, such
    as many duplicates, are left to `ExactSearch`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The indexed rows. A copy in float32 is kept on the device.
    n_jobs : int or None
        Threads of what runs on the processor.
    device : str, default="auto"
        See `skscan._device.resolve_device`.
    """

    recall = 1.0

    def __init__(
        self, X: NDArray[np.floating], n_jobs: int | None = None, device: str = "auto"
    ) -> None:
        import torch

        self._X = X
        self._n_jobs = n_jobs
        self._device = resolve_device(device)
        self._frame = Frame.around(X)
        self._index = torch.empty(X.shape, dtype=torch.float32, device=self._device)
        self._half_squares = torch.empty(len(X), device=self._device)
        for rows in row_blocks(*X.shape):
            block = self._index[rows] = self._on_device(X[rows])
            self._half_squares[rows] = _half_squares(block)

    def query(
        self, X: NDArray[np.floating], n_neighbors: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return euclidean distances and indices of the nearest rows, nearest first.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
        n_neighbors : int
            At most the number of indexed rows.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), float64
        indices : ndarray of shape (n_queries, n_neighbors), int64
        """
        distances, indices = allocate_results(len(X), n_neighbors)
        crowded = []
        for start in range(0, len(X), QUERY_ROWS):
            rows = np.arange(start, min(start + QUERY_ROWS, len(X)), dtype=np.int32)
            with _whole_products():
                candidates, sure = self._candidates(X[rows], n_neighbors)
            of_candidates = distances_between(X, rows, self._X, candidates)
            distances[rows], indices[rows] = nearest_first(of_candidates, candidates, n_neighbors)
            crowded.append(rows[~sure])
        left = np.concatenate(crowded) if crowded else np.empty(0, np.int32)
        if left.size:
            exact = ExactSearch(self._X, self._n_jobs)
            distances[left], indices[left] = exact.query(X[left], n_neighbors)
        return distances, indices

    def _on_device(self, X: NDArray[np.floating]) -> Tensor:
        import torch

        return torch.from_numpy(self._frame.place(X).astype(np.float32)).to(self._device)

    def _candidates(
        self, X: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return candidates of some rows, and for which rows the nearest are surely among them."""
        import torch

        queries = self._on_device(X)
        n_samples = len(self._index)
        n_kept = min(k + SPARE, n_samples)
        best = torch.empty(len(X), 0, device=queries.device)
        indices = torch.empty(len(X), 0, dtype=torch.int64, device=queries.device)
        for start in range(0, n_samples, INDEX_ROWS):
            part = slice(start, min(start + INDEX_ROWS, n_samples))
            # minus half the squared distance, but for a term that is the same for the whole row
            values = torch.addmm(-self._half_squares[part], queries, self._index[part].T)
            values, places = values.topk(min(n_kept, values.shape[1]), dim=1)
            values, places = torch.cat([best, values], 1), torch.cat([indices, places + start], 1)
            best, order = values.topk(min(n_kept, values.shape[1]), dim=1)
            indices = places.gather(1, order)
        half_squares = _half_squares(queries).cpu().numpy()
        halves = best.cpu().numpy() - half_squares[:, None]
        bound = sure_bound(halves[:, k - 1], half_squares, rounding_error(X.shape[1]))
        sure = (halves[:, -1] < bound) | (n_kept == n_samples)
        return indices.cpu().numpy(), sure


def _half_squares(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=1).div_(2)


@contextmanager
def _whole_products() -> Iterator[None]:
    """Let no setting of the process round what is multiplied (TF32): bounds rely on it."""
    import torch

    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    places: list[Any] = [getattr(torch.backends, name).matmul for name in ("cuda", "mkldnn")]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


def gpu_has_room(X: NDArray[np.floating]) -> bool:
    """Return whether there is a CUDA device with room for these rows and for products of them."""
    import torch

    if not torch.cuda.is_available():
        return False
    needed = 4 * (X.size + 2 * MAX_ENTRIES + 4 * QUERY_ROWS * INDEX_ROWS)
    return torch.cuda.mem_get_info()[0] > needed
