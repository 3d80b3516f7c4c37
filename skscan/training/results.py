"""What the stages of training give back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skscan.exceptions import SkscanWarning

if TYPE_CHECKING:
    from skscan.extractors.network import NetworkFeatureExtractor

__all__ = ["ClusterTrainingResult", "SelfLabelResult", "undone"]


@dataclass(frozen=True)
class ClusterTrainingResult:
    """What the clustering stage found.

    Parameters
    ----------
    heads : LinearHeads, MLPHeads or AveragedHeads
        All trained heads.
    best_head : int
        The head that the selection keeps.
    history : list of dict
        One entry for each head and pass: head, start, prior, pass, loss and the parts of the loss,
        which for SCAN are consistency and entropy.
    n_iter : int
        Passes over the data.
    extractor : NetworkFeatureExtractor or None
        Of the features that the heads work on, when the network was trained too.
    report : list of dict
        For each head on frozen features the criteria that it was compared by, and whether it was
        chosen.
    """

    heads: Any
    best_head: int
    history: list[dict[str, Any]] = field(default_factory=list)
    n_iter: int = 0
    extractor: NetworkFeatureExtractor | None = None
    report: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class SelfLabelResult:
    """What the self-labelling stage gives back.

    Parameters
    ----------
    heads : LinearHeads, MLPHeads or AveragedHeads
        The one head to use from now on: the new one if it was accepted, else the earlier one.
    history : list of dict
        One entry for each pass or round, with its loss.
    accepted : bool
        Whether the new head is kept.
    reason : str
        Why it was kept or not, for the user.
    extractor : NetworkFeatureExtractor or None
        Of the features that the head works on, when the network was trained too.
    """

    heads: Any
    history: list[dict[str, Any]] = field(default_factory=list)
    accepted: bool = False
    reason: str = ""
    extractor: NetworkFeatureExtractor | None = None


def undone(earlier: Any, history: list[dict[str, Any]], reason: str) -> SelfLabelResult:
    """Return the earlier head, with a warning that says why.

    Parameters
    ----------
    earlier : Heads
    history : list of dict
    reason : str

    Returns
    -------
    result : SelfLabelResult

    Warns
    -----
    SkscanWarning
    """
    warnings.warn(
        f"Self-labelling was undone: {reason}. The earlier head is kept. "
        "Leave the stage out with self_label_trainer='skip', or change its parameters.",
        SkscanWarning,
        stacklevel=3,
    )
    return SelfLabelResult(earlier, history, False, reason)
