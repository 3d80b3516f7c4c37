"""Between checkpoints and fitted estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.preprocessing import FunctionTransformer

from skscan.clusterer import SCANClusterer
from skscan.extractors.moco import MoCoFeatureExtractor
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.extractors.pretext import PretextFeatureExtractor
from skscan.extractors.simclr import SimCLRFeatureExtractor
from skscan.networks.heads import LinearHeads
from skscan.networks.trained import TrainedNetwork
from skscan.scaling import FeatureScaler

if TYPE_CHECKING:
    from skscan.interop.checkpoints import ScanCheckpoint

__all__ = ["clusterer_from_network", "estimator_from_checkpoint", "network_and_heads"]


def estimator_from_checkpoint(checkpoint: ScanCheckpoint) -> Any:
    """Make the fitted estimator that a checkpoint stands for; see `ScanCheckpoint.to_estimator`."""
    if checkpoint.heads is not None:
        return clusterer_from_network(checkpoint.network, checkpoint.heads, checkpoint.best_head)
    return _MAKERS[checkpoint.kind](checkpoint)


def network_and_heads(model: Any) -> tuple[TrainedNetwork, LinearHeads | None, int]:
    """Take the network, its heads and the best of them out of a model.

    Parameters
    ----------
    model : ScanCheckpoint, TrainedNetwork, or fitted SCANClusterer or feature extractor
        The extractor, also that of a clusterer, has to be one of a network that was trained by
        this library or converted.

    Returns
    -------
    network : TrainedNetwork
    heads : LinearHeads or None
        Linear on the backbone's features.
    best_head : int

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If the heads stand on anything but the backbone's features, or it is not fitted.
    """
    if isinstance(model, TrainedNetwork):
        return model, None, 0
    if isinstance(model, SCANClusterer):
        return _parts_of_clusterer(model)
    network = getattr(model, "network", getattr(model, "network_", None))
    if not isinstance(network, TrainedNetwork):
        raise TypeError(
            f"model is a {type(model).__name__} without a trained network; takes what "
            "load_scan_checkpoint gives, or a fitted SCANClusterer, SimCLRFeatureExtractor or "
            "other extractor with the attribute network_"
        )
    return network, getattr(model, "heads", None), getattr(model, "best_head", 0)


def _simclr(checkpoint: ScanCheckpoint) -> SimCLRFeatureExtractor:
    network = checkpoint.network
    extractor = SimCLRFeatureExtractor(
        **_settings(network), output="projection" if network.has_projection_head else "backbone"
    )
    return _fitted_elsewhere(extractor, network)


def _moco(checkpoint: ScanCheckpoint) -> MoCoFeatureExtractor:
    extractor = MoCoFeatureExtractor(**_settings(checkpoint.network))
    extractor.key_report_ = checkpoint.report
    return _fitted_elsewhere(extractor, checkpoint.network)


_MAKERS: dict[str, Callable[[ScanCheckpoint], PretextFeatureExtractor]] = {
    "pretext": _simclr,
    "moco": _moco,
}


def _settings(network: TrainedNetwork) -> dict[str, Any]:
    return {
        "backbone": network.architecture,
        "image_size": network.image_size,
        "resize": network.resize,
        "normalization": (network.mean, network.std),
    }


def _fitted_elsewhere(extractor: Any, network: TrainedNetwork) -> Any:
    extractor.network_ = network
    extractor.history_ = []
    extractor.n_iter_ = 0
    extractor.timings_ = {}
    return extractor


def clusterer_from_network(
    network: TrainedNetwork, heads: LinearHeads, best_head: int
) -> SCANClusterer:
    """Make a clusterer of trained parts; it has seen no images and predicts.

    Parameters
    ----------
    network : TrainedNetwork
    heads : LinearHeads
        On the features of its backbone.
    best_head : int

    Returns
    -------
    clusterer : SCANClusterer
    """
    extractor, scaler = NetworkFeatureExtractor(network), FunctionTransformer()
    n_clusters = heads.n_clusters
    clusterer = SCANClusterer(
        n_clusters,
        feature_extractor=extractor,
        feature_scaler=scaler,
        self_label_trainer="skip",
    )
    clusterer.feature_extractor_ = extractor
    clusterer.feature_scaler_ = scaler
    clusterer.heads_ = heads
    clusterer.best_head_ = best_head
    clusterer.labels_ = np.empty(0, dtype=np.int64)
    clusterer.probabilities_ = np.empty((0, n_clusters), dtype=np.float32)
    clusterer.neighbors_ = csr_matrix((0, 0))
    clusterer.prototype_indices_ = np.full(n_clusters, -1)
    clusterer.temperature_ = 1.0
    clusterer.ambiguous_indices_ = np.empty(0, dtype=np.int64)
    clusterer.outlier_scores_ = np.empty(0, dtype=np.float32)
    clusterer.outlier_indices_ = np.empty(0, dtype=np.int64)
    clusterer.near_duplicates_ = np.empty((0, 2), dtype=np.int64)
    clusterer.history_ = []
    clusterer.selection_report_ = []
    clusterer.n_iter_ = 0
    clusterer.skipped_ = []
    clusterer.timings_ = {}
    clusterer.n_features_in_ = heads.weights.shape[2]
    return clusterer


def _parts_of_clusterer(
    clusterer: SCANClusterer,
) -> tuple[TrainedNetwork, LinearHeads | None, int]:
    if not hasattr(clusterer, "heads_"):
        raise ValueError("model is a SCANClusterer that is not fitted")
    extractor = clusterer.feature_extractor_
    if not isinstance(extractor, NetworkFeatureExtractor) or extractor.output != "backbone":
        raise ValueError(
            "model is a SCANClusterer whose heads stand on features of "
            f"{'a given matrix' if extractor is None else type(extractor).__name__}; a file of "
            "SCAN holds heads on the features of its own backbone, as they are after training with "
            "scope='network', or with NetworkFeatureExtractor(network, output='backbone')"
        )
    return (
        extractor.network,
        _without_scaler(clusterer.heads_, clusterer.feature_scaler_),
        clusterer.best_head_,
    )


def _without_scaler(heads: LinearHeads, scaler: Any) -> LinearHeads:
    """Put what an affine scaler does to the features into the heads."""
    if isinstance(scaler, FunctionTransformer) and scaler.func is None:
        return heads
    if not isinstance(scaler, FeatureScaler) or scaler.normalize_:
        raise ValueError(
            f"model is a SCANClusterer whose feature_scaler is {scaler!r}, which linear heads "
            "cannot do the work of; takes FeatureScaler(normalize=False) or FunctionTransformer()"
        )
    projection = scaler.components_ * scaler.scale_
    weights = heads.weights.astype(np.float64) @ projection
    biases = heads.biases - weights @ scaler.mean_
    return LinearHeads(weights.astype(np.float32), biases.astype(np.float32))
