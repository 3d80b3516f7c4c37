"""Running another function on each image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["run_sequences"]


def run_sequences(
    images: Tensor,
    choices: Tensor,
    parameters: Tensor,
    functions: Sequence[Callable[[Tensor, Tensor], Tensor]],
) -> Tensor:
    """Run on each image its own sequence of functions, each with its own parameter.

    In each step, the images are brought into the order of the functions that they go through and
    every function gets its images in one piece: whole batches are moved several times faster than
    chosen images are taken out and put back.

    Parameters
    ----------
    images : Tensor of shape (n, ...)
        On any device.
    choices : Tensor of shape (n, n_steps), int64
        On the CPU: number of the function of each image in each step.
    parameters : Tensor of shape (n, n_steps)
        On the CPU.
    functions : sequence of callables
        ``(images, parameters) -> images`` of the same shape and type. They may return their
        images themselves, but must not change them.

    Returns
    -------
    Tensor of shape (n, ...)
        A new tensor.
    """
    # Row i of the moved batch holds image place[i].
    place = torch.arange(len(images))
    for step in range(choices.shape[1]):
        chosen, order = choices[place, step].sort(stable=True)
        place = place[order]
        counts = torch.bincount(chosen, minlength=len(functions)).tolist()
        pieces = images.index_select(0, order.to(images.device)).split(counts)
        values = parameters[place, step].split(counts)
        images = torch.cat(
            [
                function(piece, value) if len(piece) else piece
                for function, piece, value in zip(functions, pieces, values, strict=True)
            ]
        )
    return images.index_select(0, place.argsort().to(images.device))
