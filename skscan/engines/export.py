"""Networks as ONNX files that take pixels as they are: normalisation and cut are inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skscan.exceptions import ExportError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["INPUT_NAME", "OPSET", "OUTPUT_NAME", "export_onnx"]

INPUT_NAME = "pixels"
OUTPUT_NAME = "features"
OPSET = 18
"""The set of ONNX operators that is written; ONNX Runtime reads it from 1.14 on."""

# Two images, for a batch of one is taken for a constant.
_TRACED_IMAGES = 2


def export_onnx(
    module: nn.Module,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    side: int | None = None,
    output_name: str = OUTPUT_NAME,
) -> bytes:
    """Write a network in ONNX form.

    The file takes pixels of shape (batch, side, side, 3), dtype uint8, under the name ``"pixels"``,
    cuts out the centre, normalises it, and gives what the network does, dtype float32, of shape
    (batch, d) for any size of the batch.

    Parameters
    ----------
    module : torch.nn.Module
        From normalised images (b, 3, image_size, image_size), float32, to (b, d). It may be a chain
        of modules: backbone, projection, head, softmax. Its mode, device and memory format are as
        before afterwards; exported is what it does in evaluation mode.
    image_size : int
        Side in pixels of the pictures that the network sees.
    mean, std : sequence of 3 floats
        The normalisation of the network, for pixels in 0..1.
    side : int or None, default=None
        Side in pixels of the pictures that are given, whose centre of `image_size` is cut out;
        None is `image_size`.
    output_name : str, default="features"
        What the output is called.

    Returns
    -------
    data : bytes
        The content of an ``.onnx`` file, weights included.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    ExportError
        If the network does something that ONNX cannot say, or is larger than 2 GiB.

    Examples
    --------
    >>> from torch import nn
    >>> from skscan.engines.export import export_onnx
    >>> module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> data = export_onnx(module, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # doctest: +SKIP
    """
    import torch

    try:
        import onnx  # noqa: F401 (torch's exporter cannot do without, but says so less plainly)
    except ImportError as error:
        raise ImportError(
            "the package onnx is missing, which networks are written with in ONNX form; "
            "`pip install onnx`."
        ) from error
    side = image_size if side is None else side
    # The mode of a wrapper goes down to what it wraps as soon as the exporter sets it.
    modes = [(part, part.training) for part in module.modules()]
    device = next(module.parameters(), torch.empty(0)).device
    wrapped = _make_pixel_module(module, image_size, mean, std, side).eval().to(device)
    pixels = torch.zeros(_TRACED_IMAGES, side, side, 3, dtype=torch.uint8, device=device)
    file: Any = io.BytesIO()  # torch declares paths only
    try:
        # On failure the exporter prints the whole network, too.
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(None):
            # Of branches and sizes that are fixed by tracing, as they are meant to be here, and of
            # an exporter that is old, as it says, but needs neither onnxscript nor half a minute.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                wrapped,
                (pixels,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[output_name],
                dynamic_axes={INPUT_NAME: {0: "batch"}, output_name: {0: "batch"}},
            )
    except Exception as error:  # torch raises nearly anything for what it cannot export
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{type(module).__name__} cannot be written as ONNX: {reason}") from error
    finally:
        for part, training in modes:
            part.training = training
    return file.getvalue()


def _make_pixel_module(
    module: nn.Module, image_size: int, mean: Sequence[float], std: Sequence[float], side: int
) -> nn.Module:
    """Return the module that does to pixels what engines do before and after the network."""
    import torch

    class FromPixels(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = module
            for name, values in (("mean", mean), ("std", std)):
                scaled = 255 * torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
                self.register_buffer(name, scaled)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            first = (side - image_size) // 2
            center = pixels[:, first : first + image_size, first : first + image_size]
            images = center.permute(0, 3, 1, 2).float()
            return self.network((images - self.mean) / self.std).float()

    return FromPixels()
