"""Files of weights that a model names and does not hold."""

from __future__ import annotations

import hashlib
import os

from skscan.exceptions import ModelFileError

__all__ = ["check_weights", "file_hash"]


def file_hash(path: str | os.PathLike, name: str) -> str:
    """Return the SHA-256 of a file; `name` says in errors what it is."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"{name}={os.fspath(path)!r} cannot be read: {error}") from error


def check_weights(path: str | os.PathLike, expected: str) -> None:
    """Refuse weights that are not those that the model was saved with."""
    if file_hash(path, "weights") != expected:
        raise ModelFileError(
            f"weights={os.fspath(path)!r} is another file than when the model was saved; "
            "put the file back that the model was fitted with."
        )
