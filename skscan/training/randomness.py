"""Where the draws of a training run come from: its seed and its place, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["global_generators_kept", "seed_global_generators", "seed_of"]


def seed_of(*numbers: int) -> int:
    """Return a seed that is a function of some numbers.

    Parameters
    ----------
    *numbers : int
        None negative. Zeros at the end count for nothing: (1, 2) and (1, 2, 0) have one seed.

    Returns
    -------
    seed : int
        Below 2 ** 63.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63


@contextmanager
def global_generators_kept(device: str | torch.device) -> Iterator[None]:
    """Give torch's global generators, of the CPU and of a device, their state back afterwards.

    Parameters
    ----------
    device : torch device
    """
    device = torch.device(device)
    of_cpu = torch.get_rng_state()
    of_device = _module(device).get_rng_state(*_index(device)) if device.type != "cpu" else None
    try:
        yield
    finally:
        torch.set_rng_state(of_cpu)
        if of_device is not None:
            _module(device).set_rng_state(of_device, *_index(device))


def seed_global_generators(device: str | torch.device, seed: int) -> None:
    """Seed torch's global generators, which layers such as dropout draw from.

    Parameters
    ----------
    device : torch device
        Whose generator is seeded besides that of the CPU.
    seed : int
    """
    device = torch.device(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        _module(device).manual_seed(seed)


def _module(device: torch.device) -> Any:
    return getattr(torch, device.type)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return (device,) if device.type == "cuda" else ()
