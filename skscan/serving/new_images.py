"""The class of an image that was dropped into the page."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from PIL import Image

from skscan.images import ImageCollection
from skscan.images.decoding import decode

__all__ = ["NewImages"]

_N_CLUSTERS = 20


class NewImages:
    """Sorts new images with the model of a run.

    Parameters
    ----------
    model : SCANClusterer
        Fitted.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        extractor: Any = getattr(model, "feature_extractor_", None)
        self.can_sort = extractor is not None
        quick = {"n_jobs": 1, "verbose": 0}  # for one image at a time
        for part in getattr(extractor, "extractors_", [extractor]):
            if hasattr(part, "get_params"):
                known = part.get_params(deep=False)
                part.set_params(**{name: quick[name] for name in quick.keys() & known.keys()})

    def sort(self, name: str, data: bytes) -> list[tuple[int, float]]:
        """Return the most probable clusters of an image.

        Parameters
        ----------
        name : str
            Of the file.
        data : bytes
            Its content.

        Returns
        -------
        list of (int, float)
            Up to twenty clusters with their probabilities, the most probable first; the same
            numbers as ``skscan predict`` gives.

        Raises
        ------
        ImageReadError
            If the file holds no picture that can be read.
        """
        images = _Uploaded(name, data)
        images.read(0)
        probabilities = self._model.predict_proba(images)[0]
        best = np.argsort(-probabilities, kind="stable")[:_N_CLUSTERS]
        return [(int(cluster), float(probabilities[cluster])) for cluster in best]


class _Uploaded(ImageCollection):
    """One image file that is in memory, decoded as if it lay on disk."""

    reading = "memory"

    def __init__(self, name: str, data: bytes) -> None:
        self.names = [name]
        self._data = data

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        return decode(io.BytesIO(self._data), min_side, self.names[i])

    def fingerprint(self) -> str:
        return hashlib.sha256(self._data).hexdigest()
