"""How extractors run their network: by which engine, in which precision, on which device."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.utils._param_validation import StrOptions

from skscan.engines.base import ENGINES, PRECISIONS
from skscan.engines.record import forget_engine, recorded_engine
from skscan.extractors.base import ImageFeatureExtractor

if TYPE_CHECKING:
    from skscan.engines.base import Engine, NetworkSource

__all__ = ["ENGINE_CONSTRAINTS", "EngineFeatureExtractor"]

ENGINE_CONSTRAINTS: dict[str, list[Any]] = {
    "engine": [StrOptions({"auto", *ENGINES})],
    "precision": [StrOptions(set(PRECISIONS))],
    "device": [str],
}
"""Constraints of the parameters of all that choose an engine."""


class EngineFeatureExtractor(ImageFeatureExtractor):
    """Base class of extractors with the parameters `engine`, `precision` and `device`.

    A subclass says by `_source` which network is run.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageFeatureExtractor._parameter_constraints,
        **ENGINE_CONSTRAINTS,
    }

    engine: str
    precision: str
    device: str

    @abstractmethod
    def _source(self) -> NetworkSource:
        """Return the network that is run."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the form of X, and choose the engine; there is nothing to learn.

        Parameters
        ----------
        X : images
            In any of the forms that `transform` takes; not read.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError, ValueError
            If the network cannot be loaded, or the engine not be used.
        """
        super().fit(X)
        forget_engine(self)
        engine = self._compute()
        self.engine_, self.precision_ = engine.name, engine.precision
        return self

    def _compute(self) -> Engine:
        from skscan.engines.opening import open_engine

        return open_engine(
            self._source(), self.engine, self.precision, self.device, recorded_engine(self)
        )

    @property
    def _n_features_out(self) -> int:
        return self._compute().n_features
