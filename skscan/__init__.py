"""Sort images into semantic classes without labels: SCAN as scikit-learn estimators.

The public names are imported when they are first used (PEP 562), so that ``import skscan``
is instant and loads neither torch nor scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skscan.classifier import SCANClassifier as SCANClassifier
    from skscan.cluster_count import ClusterCountSearch as ClusterCountSearch
    from skscan.clusterer import SCANClusterer as SCANClusterer
    from skscan.extractors.default import DefaultFeatureExtractor as DefaultFeatureExtractor
    from skscan.extractors.joined import JoinedFeatureExtractor as JoinedFeatureExtractor
    from skscan.extractors.moco import MoCoFeatureExtractor as MoCoFeatureExtractor
    from skscan.extractors.network import NetworkFeatureExtractor as NetworkFeatureExtractor
    from skscan.extractors.pixels import PixelFeatureExtractor as PixelFeatureExtractor
    from skscan.extractors.simclr import SimCLRFeatureExtractor as SimCLRFeatureExtractor
    from skscan.extractors.timm import TimmFeatureExtractor as TimmFeatureExtractor
    from skscan.neighbors import NeighborMiner as NeighborMiner
    from skscan.persistence import load as load
    from skscan.persistence import save as save
    from skscan.scaling import FeatureScaler as FeatureScaler
    from skscan.spaces import FeatureSpacesScaler as FeatureSpacesScaler
    from skscan.training.clustering import ClusterTrainer as ClusterTrainer
    from skscan.training.few_labels import LabelTrainer as LabelTrainer
    from skscan.training.neighbor_labeling import NeighborLabelTrainer as NeighborLabelTrainer
    from skscan.training.network_settings import NetworkTraining as NetworkTraining
    from skscan.training.objectives import ScanObjective as ScanObjective
    from skscan.training.objectives import TemiObjective as TemiObjective
    from skscan.training.objectives import TurtleObjective as TurtleObjective
    from skscan.training.self_labeling import SelfLabelTrainer as SelfLabelTrainer

__version__ = "0.1.0"

_PUBLIC_NAMES = {
    "ClusterCountSearch": "skscan.cluster_count",
    "ClusterTrainer": "skscan.training.clustering",
    "DefaultFeatureExtractor": "skscan.extractors.default",
    "FeatureScaler": "skscan.scaling",
    "FeatureSpacesScaler": "skscan.spaces",
    "JoinedFeatureExtractor": "skscan.extractors.joined",
    "LabelTrainer": "skscan.training.few_labels",
    "MoCoFeatureExtractor": "skscan.extractors.moco",
    "NeighborLabelTrainer": "skscan.training.neighbor_labeling",
    "NeighborMiner": "skscan.neighbors",
    "NetworkFeatureExtractor": "skscan.extractors.network",
    "NetworkTraining": "skscan.training.network_settings",
    "PixelFeatureExtractor": "skscan.extractors.pixels",
    "SCANClassifier": "skscan.classifier",
    "SCANClusterer": "skscan.clusterer",
    "ScanObjective": "skscan.training.objectives",
    "SelfLabelTrainer": "skscan.training.self_labeling",
    "SimCLRFeatureExtractor": "skscan.extractors.simclr",
    "TemiObjective": "skscan.training.objectives",
    "TimmFeatureExtractor": "skscan.extractors.timm",
    "TurtleObjective": "skscan.training.objectives",
    "load": "skscan.persistence",
    "save": "skscan.persistence",
}

__all__ = [*_PUBLIC_NAMES, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC_NAMES:
        raise AttributeError(f"module 'skscan' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
