"""Lists of neighbors as the authors' code keeps them: one row of indices for each image."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse, load_npz, save_npz
from sklearn.utils import check_array

from skscan._files import write_atomically
from skscan._unit_rows import unit_rows
from skscan.exceptions import ModelFileError
from skscan.graph import neighbor_table

__all__ = ["load_neighbors", "read_graph", "save_neighbors", "write_graph"]

_METRICS = ("cosine", "euclidean")
_BLOCK_ROWS = 1024


def load_neighbors(
    path: str | os.PathLike, features: Any = None, *, metric: str = "cosine"
) -> csr_matrix:
    """Load a list of neighbors, ``topk-train-neighbors.npy``, as a graph.

    Parameters
    ----------
    path : str or path-like
        A .npy file of whole numbers, shape (n_samples, n_neighbors + 1): the neighbors of each
        sample, nearest first, the sample itself among them (as a rule at the first place).
    features : array-like of shape (n_samples, n_features) or None, default=None
        Features to compute the distances from, which the file does not hold.
    metric : {"cosine", "euclidean"}, default="cosine"
        Distance between features, as in `NeighborMiner`; the authors mine by cosine.

    Returns
    -------
    graph : csr_matrix of shape (n_samples, n_samples)
        Entries are distances; without `features` they are the places in the list (0 for the first,
        1 for the next), which keep the order and are no distances otherwise. Each row is stored in
        the order of the file.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or holds no list of neighbors.
    ValueError
        If `features` has another number of rows than the list, or `metric` is not known.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skscan.interop import load_neighbors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/topk-train-neighbors.npy", [[0, 1], [1, 0], [2, 1]])
    ...     graph = load_neighbors(f"{folder}/topk-train-neighbors.npy")
    >>> graph.shape, graph[2].indices.tolist()
    ((3, 3), [2, 1])
    """
    if metric not in _METRICS:
        raise ValueError(f"metric={metric!r}: takes {' or '.join(map(repr, _METRICS))}")
    table = _read_table(os.fspath(path))
    n_samples, width = table.shape
    if features is None:
        distances = np.tile(np.arange(width, dtype=np.float64), (n_samples, 1))
    else:
        features = check_array(features, dtype=[np.float64, np.float32], input_name="features")
        if len(features) != n_samples:
            raise ValueError(
                f"features has {len(features)} rows, but {os.fspath(path)!r} lists the neighbors "
                f"of {n_samples} samples; both must belong to the same images"
            )
        distances = _distances(features, table, metric)
    starts = np.arange(0, n_samples * width + 1, width)
    return csr_matrix((distances.ravel(), table.ravel(), starts), shape=(n_samples, n_samples))


def save_neighbors(graph: Any, path: str | os.PathLike) -> None:
    """Write a graph of neighbors as the authors' code reads it.

    Parameters
    ----------
    graph : sparse matrix of shape (n_samples, n_samples)
        Distances to the neighbors, equally many in each row: what `NeighborMiner` gives, or the
        attribute `neighbors_` of a clusterer. Samples that do not list themselves are put first in
        their own row.
    path : str or path-like
        Where to write: int64, shape (n_samples, n_neighbors + 1), nearest first.

    Raises
    ------
    ValueError
        If it is no such graph.
    OSError
        If writing fails; an earlier file is left as it was.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skscan import NeighborMiner
    >>> from skscan.interop import save_neighbors
    >>> graph = NeighborMiner(1).fit_transform([[0.0], [0.1], [5.0], [5.1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_neighbors(graph, f"{folder}/topk-train-neighbors.npy")
    ...     np.load(f"{folder}/topk-train-neighbors.npy").tolist()
    [[0, 1], [1, 0], [2, 3], [3, 2]]
    """
    if not issparse(graph) or graph.shape[0] != graph.shape[1] or graph.nnz == 0:
        raise ValueError(
            "graph must be a square sparse matrix of distances to neighbors, as NeighborMiner "
            f"gives; got {_described(graph)}"
        )
    graph = graph.tocsr()
    n_samples = graph.shape[0]
    own = np.arange(n_samples)[:, None]
    rows = np.repeat(np.arange(n_samples), np.diff(graph.indptr))
    lists_itself = np.zeros(n_samples, dtype=bool)
    lists_itself[rows[graph.indices == rows]] = True
    n_others = np.diff(graph.indptr) - lists_itself
    if n_others.min() != n_others.max():
        raise ValueError(
            f"graph has between {n_others.min()} and {n_others.max()} neighbors in a row; the file "
            "holds equally many for each sample. Leave out samples that have none (unreadable "
            "images)"
        )
    if lists_itself.all():
        table = neighbor_table(graph)
    elif not lists_itself.any():
        table = np.hstack([own, neighbor_table(graph)])
    else:
        raise ValueError("graph lists some samples among their own neighbors and others not")
    file = io.BytesIO()
    np.save(file, table.astype(np.int64), allow_pickle=False)
    write_atomically(Path(path), file.getbuffer())


def read_graph(path: str | os.PathLike) -> csr_matrix:
    """Read a graph written by `write_graph` or ``scipy.sparse.save_npz``.

    Parameters
    ----------
    path : str or path-like
        A .npz file.

    Returns
    -------
    graph : csr_matrix

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or holds something else.
    """
    path = os.fspath(path)
    try:
        return csr_matrix(load_npz(path))
    except FileNotFoundError:
        raise ModelFileError(f"there is no file of neighbors {path!r}") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{path!r} is no readable graph of neighbors: {error}") from error


def write_graph(graph: csr_matrix, path: str | os.PathLike) -> None:
    """Write a graph in scipy's format, in one step.

    Parameters
    ----------
    graph : csr_matrix
    path : str or path-like
        Where to write.

    Raises
    ------
    OSError
        If writing fails; an earlier file is left as it was.
    """
    file = io.BytesIO()
    save_npz(file, graph)
    write_atomically(Path(path), file.getbuffer())


def _read_table(path: str) -> NDArray[np.int64]:
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ModelFileError(f"there is no file of neighbors {path!r}") from None
    except (OSError, ValueError, EOFError) as error:
        raise ModelFileError(f"{path!r} is no readable .npy file: {error}") from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "iu":
        raise ModelFileError(
            f"{path!r} is no list of neighbors: it holds {_described(table)} instead of whole "
            "numbers of shape (n_samples, n_neighbors + 1)"
        )
    n_samples, width = table.shape
    if width < 2 or n_samples < width:
        raise ModelFileError(
            f"{path!r} has the shape {table.shape}; a list of neighbors has a row for each sample "
            "and a column for the sample itself and for each neighbor"
        )
    if table.min() < 0 or table.max() >= n_samples:
        raise ModelFileError(
            f"{path!r} names samples from {table.min()} to {table.max()}, but lists the neighbors "
            f"of {n_samples}: a part of the rows is missing, or samples without neighbors are in it"
        )
    ordered = np.sort(table, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ModelFileError(f"{path!r} lists a sample twice in one row")
    return table.astype(np.int64)


def _distances(features: NDArray, table: NDArray[np.int64], metric: str) -> NDArray:
    if metric == "cosine":
        features = unit_rows(features)
    distances = np.empty(table.shape, dtype=np.float64)
    for start in range(0, len(table), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        differences = features[table[rows]] - features[rows, None]
        squared = np.einsum("ijk,ijk->ij", differences, differences)
        # for rows of length 1 half the squared distance is one minus the cosine
        distances[rows] = squared / 2 if metric == "cosine" else np.sqrt(squared)
    return distances


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return type(value).__name__ if shape is None else f"{dtype} of shape {shape}"
