"""The warnings and errors that are skscan's own."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "CheckpointMismatchError",
    "ExportError",
    "ImageReadError",
    "ImagesNotFoundError",
    "InconsistentVersionWarning",
    "ModelFileError",
    "ModelUnavailableError",
    "SkippedImagesWarning",
    "SkscanWarning",
    "TooFewSamplesError",
    "TrainingDivergedError",
]


class SkscanWarning(UserWarning):
    """Base class of the warnings that skscan gives."""


class SkippedImagesWarning(SkscanWarning):
    """Some images could not be read and were left out."""


class InconsistentVersionWarning(SkscanWarning):
    """A model was saved by another release, and may predict otherwise in this one."""


class TooFewSamplesError(ValueError):
    """There are fewer samples, or images that could be read, than clusters are wanted."""


class ImageReadError(ValueError):
    """An image could not be read.

    Parameters
    ----------
    reason : str
        What is wrong with the image, as a phrase: ``"empty file (0 bytes)"``.

    name : str or None, default=None
        The path of the image, or its place in the collection (``"image 17"``).
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason, name)
        self.reason = reason
        self.name = name

    def __str__(self) -> str:
        return self.reason if self.name is None else f"{self.name}: {self.reason}"


class ImagesNotFoundError(FileNotFoundError, ValueError):
    """A folder or zip of images does not exist."""


class ModelUnavailableError(RuntimeError):
    """The weights of a model could not be fetched."""


class ModelFileError(ValueError):
    """A file of weights is missing, damaged, unsafe or made for another network."""


class ExportError(ValueError):
    """A network cannot be written in the form that an engine reads."""


class CheckpointError(ValueError):
    """A checkpoint of a training run is damaged or cannot be used."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint belongs to a run with other data, parameters or code."""


class TrainingDivergedError(ArithmeticError):
    """A loss became infinite or no number."""
