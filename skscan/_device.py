"""The one place that knows devices."""

from __future__ import annotations


def resolve_device(device: str) -> str:
    """Give the torch device that a `device` parameter stands for.

    Parameters
    ----------
    device : str
        ``"auto"`` (an accelerator when there is one, otherwise the CPU) or a torch device.

    Returns
    -------
    device : str
        A device that torch knows and this machine has.

    Raises
    ------
    ValueError
        If torch knows no such device or the machine has none.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={device!r} cannot be used here ({reason}); "
            "give 'auto', 'cpu', or a device that torch sees."
        ) from error
    return device
