"""Rounding networks where no later stage has begun from them yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from state_codec import EXACT_BITS, bits_in_use, round_mantissa
from state_files import SMALL, StateError, read_checkpoint, write_checkpoint

import skscan
from skscan.networks.trained import TrainedNetwork

__all__ = ["MANIFEST_BYTES", "choose_bits", "settle_cell", "settle_checkpoints"]

#: Room that is left for the manifest.
MANIFEST_BYTES = 2**18

_FEWEST_BITS = 7


def choose_bits(n_parameters: int, limit: int) -> int:
    """Return the bits of mantissa that networks of finished cells are kept with.

    Later stages check that they begin from the same weights, so these are rounded once, before
    anything begins from them. At worst a slice ends with three copies of the network (where the
    stage began, or the best epoch; what is being trained; the pretext network for the next seed)
    and Adam's two moments, and of each number sign and exponent take up to 4 bits.

    Parameters
    ----------
    n_parameters : int
        Of the network.
    limit : int
        Bytes of STATE.

    Returns
    -------
    bits : int
        From 7 to 23.

    Raises
    ------
    StateError
        If the network is too large for 7 bits.
    """
    each = 8 * (limit - MANIFEST_BYTES) / n_parameters
    # the moments at 3 bits of mantissa, and one bit in fifty for what is not weights
    bits = int((each / 1.02 - (3.7 + 3) - (2.5 + 3)) / 3 - 2.7)
    if bits < _FEWEST_BITS:
        raise StateError(
            f"a network of {n_parameters:,} parameters does not fit into {limit / 2**20:.1f} MiB "
            "while it is trained; give a larger --limit"
        )
    return min(bits, EXACT_BITS)


def settle_cell(folder: Path, bits: int) -> bool:
    """Round the networks of a finished cell; return whether anything changed."""
    if bits == EXACT_BITS or not folder.is_dir():
        return False
    content = skscan.load(folder)
    done: dict[int, NDArray] = {}  # arrays that parts share stay shared
    changed = False
    for part in content.values():
        for network in getattr(part, "__dict__", {}).values():
            if not isinstance(network, TrainedNetwork):
                continue
            for name, values in network.arrays.items():
                if values.dtype == np.float32 and values.size >= SMALL:
                    changed |= bits_in_use(values) > bits
                    rounded = done.setdefault(id(values), round_mantissa(values, bits))
                    network.arrays[name] = rounded
    if changed:
        skscan.save(content, folder)
    return changed


def settle_checkpoints(out: Path, bits: int) -> bool:
    """Reduce the first of two checkpoints of a cell to what is left to do with it.

    Over-clustering trains two stages in one cell. When the second has begun, only the best epoch of
    the first is needed, and it will not change any more. Where it has to be rounded, the second,
    which began from other weights, has to begin again: its checkpoint is removed.

    Returns
    -------
    removed : bool
        Whether a checkpoint was removed.
    """
    removed = False
    for second in sorted((out / "checkpoints").glob("*/self-label.checkpoint")):
        first = second.with_name("scan.checkpoint")
        if not first.exists():
            continue
        identity, state = read_checkpoint(first)
        if not state["optimizer"]["state"]:
            continue
        best = state["extra"]["best"]["weights"]
        for name, tensor in best.items():
            if tensor.dtype == torch.float32 and tensor.numel() >= SMALL:
                best[name] = torch.from_numpy(round_mantissa(tensor.contiguous().numpy(), bits))
        state["network"] = {**state["network"], **best}
        state["optimizer"]["state"] = {}
        if bits < EXACT_BITS:
            second.unlink()
            removed = True
        write_checkpoint(first, identity, state)
    return removed
