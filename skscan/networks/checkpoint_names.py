"""Names in files of the authors and of MoCo, and ours for them."""

from __future__ import annotations

import re

__all__ = ["CLUSTER_HEAD", "KINDS", "is_momentum_state", "our_name"]

#: Kinds of checkpoints: contrastive training, MoCo-v2, clustering, self-labelling.
KINDS = ("pretext", "moco", "scan", "self-label")

#: What the names of the heads begin with, there and here.
CLUSTER_HEAD = "cluster_head."

# "module." is put before all names by data-parallel training.
_RENAMED = [
    (re.compile(r"(?:module\.)?backbone\.(.+)"), r"backbone.\1"),
    (re.compile(r"(?:module\.)?contrastive_head\.([02]\.(?:weight|bias))"), r"projection_head.\1"),
    (re.compile(r"(?:module\.)?(cluster_head\.(?:0|[1-9]\d*)\.(?:weight|bias))"), r"\1"),
    (re.compile(r"(?:module\.)?encoder_q\.fc\.([02]\.(?:weight|bias))"), r"projection_head.\1"),
    (re.compile(r"(?:module\.)?encoder_q\.(?!fc\.)(.+)"), r"backbone.\1"),
]
_MOMENTUM_STATE = re.compile(r"(?:module\.)?(?:encoder_k\..+|queue|queue_ptr)")


def our_name(name: str) -> str | None:
    """Return our name of a weight; None if there is none."""
    for pattern, replacement in _RENAMED:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(replacement)
    return None


def is_momentum_state(name: str) -> bool:
    """Return whether this belongs to the training of MoCo only: second encoder and queue."""
    return _MOMENTUM_STATE.fullmatch(name) is not None
