"""The parts of a clusterer: which one stands for a name, and what it inherits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

#: Parameters of SCANClusterer and SCANClassifier that hold a part.
PARTS = frozenset(
    {
        "n_clusters",
        "feature_extractor",
        "feature_scaler",
        "neighbor_miner",
        "cluster_trainer",
        "label_trainer",
        "self_label_trainer",
    }
)

#: Views of each image that extractors take which stand for a name, where an effort asks for it: all
#: at one size, or an equal share of them at each.
VIEWS_OF_EFFORT = {"best": 4}

#: Sides in pixels at which the default extractor looks at images side by side, where an effort asks
#: for it: at the larger one it sees more, and what is seen at both is more than at either.
SIZES_OF_EFFORT = {"best": (128, 176)}

DEFAULT_SIZE = 128

_INHERITED = {"device": "auto", "n_jobs": None, "verbose": 0}


def default_part(
    part: str, name: Any, effort: str, *, several_sizes: bool = False
) -> BaseEstimator:
    """Build the part that stands for None, a name or a list of extractors.

    Parameters
    ----------
    part : str
        Parameter of SCANClusterer that holds the part.
    name : str, list or None
        Its value: None, ``"default"``, ``"auto"`` for the number of clusters, or for the extractor
        ``"pixels"``, the name of a timm model or a list of names and extractors.
    effort : {"fast", "default", "best"}
        Chooses the schedule of the ClusterTrainer, and with "best" the views of the extractor.
    several_sizes : bool, default=False
        Whether the default extractor may be several, side by side, one for each size of the effort.

    Returns
    -------
    part : estimator
        A fresh one.

    Raises
    ------
    ValueError
        If the part has no parts of that name.
    """
    if part == "feature_extractor":
        sizes = SIZES_OF_EFFORT.get(effort) if several_sizes else None
        name = "default" if name is None else name
        return _extractor(name, VIEWS_OF_EFFORT.get(effort, 1), sizes or (DEFAULT_SIZE,))
    if part == "n_clusters" and name == "auto":
        from skscan.cluster_count import ClusterCountSearch

        return ClusterCountSearch()
    if part == "n_clusters":
        raise ValueError(f"n_clusters={name!r} has no parameters; set it to 'auto' first.")
    if name is not None:
        raise ValueError(f"{part}={name!r} has no parameters; set {part} to None or a part first.")
    if part == "feature_scaler":
        from skscan.scaling import FeatureScaler

        return FeatureScaler()
    if part == "neighbor_miner":
        from skscan.neighbors import NeighborMiner

        return NeighborMiner()
    if part == "cluster_trainer":
        from skscan.training.clustering import ClusterTrainer

        return ClusterTrainer.for_effort(effort)
    if part == "label_trainer":
        from skscan.training.few_labels import LabelTrainer

        return LabelTrainer()
    from skscan.training.neighbor_labeling import NeighborLabelTrainer

    return NeighborLabelTrainer()


def with_spaces(scaler: Any, extractor: Any) -> Any:
    """Let a scaler prepare the features of each of several extractors on their own.

    Parameters
    ----------
    scaler : transformer
    extractor : transformer or None
        Fitted.

    Returns
    -------
    scaler : transformer
        The same, unless the features are of several extractors and it knows no spaces.
    """
    from skscan.spaces import FeatureSpacesScaler

    widths = getattr(extractor, "widths_", None)
    if widths is None or isinstance(scaler, FeatureSpacesScaler):
        return scaler
    return FeatureSpacesScaler(widths, scaler)


def fill_parts(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Put parts there that nested parameters speak of, where there is None or a name.

    Parameters
    ----------
    estimator : SCANClusterer or SCANClassifier
        Changed in place: its own parameters are set first.
    params : dict
        As for `set_params`.

    Returns
    -------
    nested : dict
        The parameters of parts, which are still to be set.
    """
    own = {name: value for name, value in params.items() if "__" not in name}
    nested = {name: value for name, value in params.items() if "__" in name}
    BaseEstimator.set_params(estimator, **own)
    for part in {name.split("__", 1)[0] for name in nested} & PARTS & set(vars(estimator)):
        current = getattr(estimator, part)
        if current is None or isinstance(current, (str, list, tuple)):
            setattr(estimator, part, default_part(part, current, estimator.effort))
    return nested


def trains_a_network(estimator: Any) -> bool:
    """Tell whether a trainer of the estimator goes on with the extractor's network."""
    trainers = (
        getattr(estimator, name, None) for name in ("cluster_trainer", "self_label_trainer")
    )
    return any(getattr(trainer, "scope", "heads") == "network" for trainer in trainers)


def default_extractor(sizes: Sequence[int], **settings: Any) -> BaseEstimator:
    """Build the extractor that stands for "default", or several at different sizes side by side.

    Parameters
    ----------
    sizes : sequence of int
        Sides in pixels.
    **settings : dict
        Other parameters of `DefaultFeatureExtractor`.

    Returns
    -------
    extractor : DefaultFeatureExtractor or JoinedFeatureExtractor
    """
    from skscan.extractors.default import DefaultFeatureExtractor

    extractors = [DefaultFeatureExtractor(image_size=size, **settings) for size in sizes]
    return _side_by_side(extractors) if len(extractors) > 1 else extractors[0]


def _extractor(name: str | Sequence[Any], n_views: int, sizes: Sequence[int]) -> BaseEstimator:
    if not isinstance(name, str):
        extractors: list[Any] = []
        for each in name:
            made = _extractor(each, n_views, sizes) if isinstance(each, str) else clone(each)
            extractors += getattr(made, "extractors", [made]) if isinstance(each, str) else [made]
        return _side_by_side(extractors)
    if name == "default":
        return default_extractor(sizes, n_views=max(n_views // len(sizes), 1))
    if name == "pixels":
        from skscan.extractors.pixels import PixelFeatureExtractor

        return PixelFeatureExtractor()
    from skscan.extractors.timm import TimmFeatureExtractor

    return TimmFeatureExtractor(name, n_views=n_views)


def _side_by_side(extractors: list[Any]) -> BaseEstimator:
    from skscan.extractors.joined import JoinedFeatureExtractor

    return JoinedFeatureExtractor(extractors)


def inherit_settings(part: Any, owner: Any, random_state: np.random.RandomState) -> Any:
    """Hand device, n_jobs, verbose and a seed to a part that leaves them open.

    Parameters
    ----------
    part : estimator
        Changed in place.
    owner : SCANClusterer
        Whose settings are handed on.
    random_state : RandomState
        Source of the part's seed when its own `random_state` is None.

    Returns
    -------
    part : estimator
        The same part.
    """
    if not hasattr(part, "get_params"):
        return part
    own = part.get_params(deep=False)
    settings = {
        name: getattr(owner, name)
        for name, open_value in _INHERITED.items()
        # compared by type too: for a Pipeline verbose is False, which equals 0
        if name in own and type(own[name]) is type(open_value) and own[name] == open_value
    }
    if "random_state" in own and own["random_state"] is None:
        settings["random_state"] = random_state.randint(np.iinfo(np.int32).max)
    for inner in getattr(part, "extractors", ()):
        inherit_settings(inner, owner, random_state)
    return part.set_params(**settings) if settings else part
