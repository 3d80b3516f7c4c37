"""The extractor for those who do not want to choose one: a network, pixels, or both."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skscan._progress import announce
from skscan.engines.record import forget_engine
from skscan.exceptions import ImageReadError
from skscan.extractors._running import ENGINE_CONSTRAINTS
from skscan.extractors.base import FeatureExtractor, ImageFeatureExtractor
from skscan.extractors.evidence import grouping_score, moved_views
from skscan.extractors.pixels import PixelFeatureExtractor
from skscan.extractors.timm import TimmFeatureExtractor
from skscan.extractors.views import MAX_VIEWS
from skscan.images import ImageCollection, as_collection, printable
from skscan.images.transforms import to_square

if TYPE_CHECKING:
    from skscan.networks.trained import TrainedNetwork

__all__ = ["DefaultFeatureExtractor"]

# Images that are looked at for colour, and those that representations are compared on.
_N_LOOKED_AT = 64
_N_COMPARED = 500
_N_VIEWS = 250

# Groups of fewer images than this say more about chance than about representations.
_MIN_COMPARED = 100

# The network is left only for what scores this many times higher: closer scores are no evidence,
# and the network is the safer choice for images unlike those of the sample.
_MARGIN = 1.1

_GREY_SHARE_OF_IMAGES = 0.9
_GREY_SHARE_OF_PIXELS = 0.99
# Grey images that were stored as colour JPEGs differ by this much between channels.
_GREY_TOLERANCE = 8


class DefaultFeatureExtractor(FeatureExtractor):
    """Turn images into the features that suit them: a network's, pixels, or both side by side.

    Colour images go to the embedded network (`TimmFeatureExtractor`). Grey ones may be anything
    from photographs, where the network is far better, to small scans of digits, where pixels
    (`PixelFeatureExtractor`) are, and often both together: there, `fit` scores the three on a
    sample, without labels, and the best one is used from then on. The choice does not depend on
    the size of the images.

    Parameters
    ----------
    image_size : int, default=128
        Side in pixels of the square that the network sees.
    n_views : int, default=1
        From 1 to 8: views of each image whose features by the network are averaged; see
        `TimmFeatureExtractor`. Pixels are those of the image itself.
    batch_size : int, default=32
        Images that go through the network at once. It does not change the features.
    errors : {"skip", "raise"}, default="skip"
        What to do with images that cannot be read: give them rows of NaN with a warning, or stop at
        the first.
    device : str, default="auto"
        Torch device of the network.
    engine, precision : str, default="auto", "float32"
        What runs the network, and in which numbers; see `TimmFeatureExtractor`.
    n_jobs : int or None, default=None
        Workers that decode images; see `TimmFeatureExtractor`.
    verbose : int, default=0
        1 says what was chosen and why, and shows progress bars, on stderr.

    Attributes
    ----------
    choice_ : {"backbone", "both", "pixels"}
        What was chosen.
    reason_ : str
        Why, in a sentence.
    evidence_ : dict of str to float
        Score of each choice, higher is better (see Notes); empty where nothing was compared.
    block_weights_ : tuple of 2 floats
        What the features of the network and the pixels of an image, each of unit length, are
        multiplied with when both are used: the inverses of their standard deviations.

    engine_, precision_ : str
        What runs the network, as in `TimmFeatureExtractor`; there is neither where the features are
        pixels.

    See Also
    --------
    TimmFeatureExtractor : Any network, chosen by name.
    PixelFeatureExtractor : Pixels, whatever the images.

    Notes
    -----
    Images count as grey when of 64, spread over all, at least 90 % are: those whose colour channels
    differ by at most 8 (of 255) in 99 % of the pixels. Fewer than 100 images are not compared.

    The score multiplies the cohesion of k-means groups in the graph of mutual neighbours with their
    steadiness when images are moved a little, on 500 images and 250 views, for 5, 10 and 20 groups;
    see `skscan.extractors.evidence`. The network is left only for a score 10 % above its own.
    Nothing is random: the sample and the views are the same in every call.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan.extractors.default import DefaultFeatureExtractor
    >>> images = load_digits().images[:120] / 16
    >>> DefaultFeatureExtractor().fit(images).choice_
    'both'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "image_size": [Interval(Integral, 1, None, closed="left")],
        "n_views": [Interval(Integral, 1, MAX_VIEWS, closed="both")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "errors": [StrOptions({"skip", "raise"})],
        **ENGINE_CONSTRAINTS,
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        image_size: int = 128,
        n_views: int = 1,
        batch_size: int = 32,
        errors: str = "skip",
        device: str = "auto",
        engine: str = "auto",
        precision: str = "float32",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.image_size = image_size
        self.n_views = n_views
        self.batch_size = batch_size
        self.errors = errors
        self.device = device
        self.engine = engine
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the representation that suits X.

        Parameters
        ----------
        X : images
            In any of the forms that `transform` takes.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : DefaultFeatureExtractor
            The fitted extractor.

        Raises
        ------
        ImageReadError
            If an image of the sample cannot be read and ``errors="raise"``.
        """
        self._validate_params()
        images = as_collection(X)
        self.evidence_: dict[str, float] = {}
        self.block_weights_ = (1.0, 1.0)
        forget_engine(self)
        self.choice_, self.reason_ = "backbone", self._reason_not_to_compare(images)
        if not self.reason_:
            self._compare(images)
        if self.choice_ != "pixels":
            network = self._extractors(verbose=0)["backbone"].fit(images)
            self.engine_, self.precision_ = network.engine_, network.precision_
        announce(f"features: {self.choice_} ({self.reason_})", self.verbose)
        return self

    def _parts(self) -> list[ImageFeatureExtractor]:
        """Return the extractors of what was chosen; see `skscan.extractors.passes`."""
        check_is_fitted(self)
        parts = self._extractors(self.verbose, self.n_views)
        return list(parts.values()) if self.choice_ == "both" else [parts[self.choice_]]

    def _combine(self, views: list[np.ndarray]) -> np.ndarray:
        """Make the features of those of the parts, view by view."""
        if self.choice_ != "both":
            return views[0]
        backbone, pixels = views
        return _side_by_side(
            backbone, np.repeat(pixels, backbone.shape[1], axis=1), self.block_weights_
        )

    @property
    def network_(self) -> TrainedNetwork:
        """The embedded backbone with its weights, for trainers with ``scope="network"``."""
        check_is_fitted(self)
        if self.choice_ == "pixels":
            raise AttributeError("The features are pixels: there is no network.")
        return cast(TimmFeatureExtractor, self._extractors(verbose=0)["backbone"]).network_

    @property
    def _n_features_out(self) -> int:
        parts = self._extractors(verbose=0)
        chosen = parts if self.choice_ == "both" else [self.choice_]
        return sum(parts[name]._n_features_out for name in chosen)

    def _extractors(self, verbose: int, n_views: int = 1) -> dict[str, ImageFeatureExtractor]:
        shared: dict[str, Any] = {
            "errors": self.errors,
            "n_jobs": self.n_jobs,
            "verbose": verbose,
        }
        network = TimmFeatureExtractor(
            image_size=self.image_size,
            n_views=n_views,
            batch_size=self.batch_size,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            **shared,
        )
        if hasattr(self, "engine_"):
            network.engine_, network.precision_ = self.engine_, self.precision_
        return {"backbone": network, "pixels": PixelFeatureExtractor(**shared)}

    def _reason_not_to_compare(self, images: ImageCollection) -> str:
        """Say why the network is used at once; nothing if that is still open."""
        looked_at = self._read(images, _N_LOOKED_AT)
        n_grey = sum(map(_is_grey, looked_at))
        if n_grey < _GREY_SHARE_OF_IMAGES * len(looked_at):
            return f"{len(looked_at) - n_grey} of {len(looked_at)} images looked at have colours"
        if len(images) < _MIN_COMPARED:
            return f"{len(images)} grey images are too few to compare representations on"
        return ""

    def _compare(self, images: ImageCollection) -> None:
        """Score the representations on a sample; leave the network for a clearly better one."""
        squares = self._read(images, _N_COMPARED)
        if len(squares) < _MIN_COMPARED:
            self.reason_ = f"{len(squares)} readable grey images in the sample are too few"
            return
        announce(f"comparing representations of {len(squares)} grey images …", self.verbose)
        grey = np.stack(squares).mean(axis=3).round().astype(np.uint8)
        views = moved_views(grey[:_N_VIEWS])
        blocks = {
            name: (part.extract(grey)[0], part.extract(views)[0])
            for name, part in self._extractors(verbose=0).items()
        }
        (backbone, moved_backbone), (pixels, moved_pixels) = blocks.values()
        weights = 1 / _spread(_unit_rows(backbone)), 1 / _spread(_unit_rows(pixels))
        blocks["both"] = (
            _side_by_side(backbone, pixels, weights),
            _side_by_side(moved_backbone, moved_pixels, weights),
        )
        self.evidence_ = {name: grouping_score(*block) for name, block in blocks.items()}
        self.block_weights_ = weights
        best = max(self.evidence_, key=self.evidence_.__getitem__)
        if self.evidence_[best] > _MARGIN * self.evidence_["backbone"]:
            self.choice_ = best
        scores = ", ".join(f"{name} {score:.3f}" for name, score in self.evidence_.items())
        self.reason_ = f"label-free score on {len(squares)} grey images: {scores}"

    def _read(self, images: ImageCollection, n_images: int) -> list[np.ndarray]:
        """Read up to `n_images` images in an order that is the same in every call, as squares."""
        rows = np.random.RandomState(0).permutation(len(images))[:n_images]
        squares = []
        for row in rows:
            try:
                image = images.read(int(row), min_side=self.image_size)
            except ImageReadError as error:
                if self.errors == "raise":
                    raise ImageReadError(error.reason, printable(images.names[row])) from error
                continue
            squares.append(to_square(image, self.image_size))
        return squares


def _is_grey(square: np.ndarray) -> bool:
    difference = square.max(axis=2).astype(np.int16) - square.min(axis=2)
    return bool((difference <= _GREY_TOLERANCE).mean() >= _GREY_SHARE_OF_PIXELS)


def _unit_rows(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def _spread(features: np.ndarray) -> float:
    """Square root of the total variance; 1 where nothing varies."""
    spread = float(np.sqrt(features.var(axis=0, dtype=np.float64).sum()))
    return spread if spread > 1e-6 else 1.0


def _side_by_side(
    backbone: np.ndarray, pixels: np.ndarray, weights: tuple[float, float]
) -> np.ndarray:
    """Join two blocks of features so that both have a say, whatever their units."""
    blocks = [
        _unit_rows(block) * np.float32(weight)
        for block, weight in zip((backbone, pixels), weights, strict=True)
    ]
    return np.concatenate(blocks, axis=-1)
