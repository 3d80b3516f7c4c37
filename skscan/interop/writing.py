"""Our networks in files that the authors' code reads."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from skscan._files import write_atomically
from skscan.interop.estimators import network_and_heads
from skscan.networks.checkpoint_names import CLUSTER_HEAD
from skscan.networks.heads import LinearHeads
from skscan.networks.trained import BACKBONE, PROJECTION_HEAD, TrainedNetwork

__all__ = ["WRITTEN_KINDS", "save_scan_checkpoint"]

#: Kinds of files that can be written.
WRITTEN_KINDS = ("pretext", "scan", "self-label")

_CONTRASTIVE_HEAD = "contrastive_head."


def save_scan_checkpoint(model: Any, path: str | os.PathLike, kind: str | None = None) -> None:
    """Write a model as a file that the authors' code of SCAN reads.

    Parameters
    ----------
    model : ScanCheckpoint, TrainedNetwork, or fitted SCANClusterer or feature extractor
        A clusterer's heads have to stand on the features of a network of ours, with no scaler, or
        with one that does not normalise: that one becomes part of the heads.
    path : str or path-like
        Where to write; by habit the names end in ``.pth.tar``. Replaced in one step.
    kind : {"pretext", "scan", "self-label"} or None, default=None
        ``"pretext"`` is the state dict of backbone and projection head, ``"scan"`` has all cluster
        heads and the number of the best, ``"self-label"`` is the state dict of the backbone
        with the best head alone. None is ``"scan"`` for a model with cluster heads, or
        ``"pretext"``.

    Raises
    ------
    TypeError, ValueError
        If the model cannot be written so; the message says what it lacks.
    OSError
        If writing fails; an earlier file is left as it was.

    Notes
    -----
    The files hold no size and no normalisation of the images (`image_size`, `resize`, `mean` and
    `std` of a `TrainedNetwork`): give them when the file is read, here or by the authors' code,
    which knows those of its own data sets. Nor do they hold the temperature by which a clusterer's
    probabilities are calibrated: those of the file are as they came out of training.

    The files are of the form that torch wrote before version 1.6, which each version reads: that of
    the authors' time, too.

    Examples
    --------
    >>> import skscan
    >>> from skscan.interop import save_scan_checkpoint
    >>> model = skscan.load("OUT/model")  # doctest: +SKIP
    >>> save_scan_checkpoint(model, "scan.pth.tar")  # doctest: +SKIP
    """
    if kind is not None and kind not in WRITTEN_KINDS:
        raise ValueError(f"kind={kind!r}: takes {', '.join(map(repr, WRITTEN_KINDS))} or None")
    network, heads, best_head = network_and_heads(model)
    if kind is None:
        kind = "pretext" if heads is None else "scan"
    content: dict[str, Any] = _part(network, BACKBONE, BACKBONE)
    if kind == "pretext":
        content |= _projection_head(network)
    elif heads is None:
        raise ValueError(f"kind={kind!r} needs cluster heads, and the model has none")
    elif kind == "self-label":
        content |= _cluster_heads(heads.select(best_head))
    else:
        # A plain int, which the authors' code uses as it does numpy's, and any numpy reads.
        content = {"model": content | _cluster_heads(heads), "head": int(best_head)}
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    write_atomically(Path(path), file.getbuffer())


def _part(network: TrainedNetwork, ours: str, theirs: str) -> dict[str, torch.Tensor]:
    return {
        theirs + name.removeprefix(ours): torch.tensor(array)
        for name, array in network.arrays.items()
        if name.startswith(ours)
    }


def _projection_head(network: TrainedNetwork) -> dict[str, torch.Tensor]:
    if not network.has_projection_head:
        raise ValueError("kind='pretext' needs a projection head, and the model has none")
    return _part(network, PROJECTION_HEAD, _CONTRASTIVE_HEAD)


def _cluster_heads(heads: LinearHeads) -> dict[str, torch.Tensor]:
    return {
        f"{CLUSTER_HEAD}{number}.{name}": torch.tensor(array[number])
        for number in range(len(heads))
        for name, array in (("weight", heads.weights), ("bias", heads.biases))
    }
