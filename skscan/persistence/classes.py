"""What may stand in a model file besides plain data."""

__all__ = ["CLASSES"]

#: Classes of this library that may stand in a model file, by name.
CLASSES = {
    "AveragedHeads": "skscan.networks.averaged_heads",
    "ClusterCountCurve": "skscan.cluster_count",
    "ClusterCountSearch": "skscan.cluster_count",
    "ClusterTrainer": "skscan.training.clustering",
    "DefaultFeatureExtractor": "skscan.extractors.default",
    "FeatureScaler": "skscan.scaling",
    "FeatureSpacesScaler": "skscan.spaces",
    "JoinedFeatureExtractor": "skscan.extractors.joined",
    "KeyReport": "skscan.extractors.checkpoint_files",
    "LabelTrainer": "skscan.training.few_labels",
    "LinearHeads": "skscan.networks.heads",
    "MLPHeads": "skscan.networks.mlp_heads",
    "MergeTree": "skscan.merge_tree",
    "MoCoFeatureExtractor": "skscan.extractors.moco",
    "NeighborLabelTrainer": "skscan.training.neighbor_labeling",
    "NeighborMiner": "skscan.neighbors",
    "NetworkFeatureExtractor": "skscan.extractors.network",
    "NetworkTraining": "skscan.training.network_settings",
    "OutlierScorer": "skscan.outliers",
    "PixelFeatureExtractor": "skscan.extractors.pixels",
    "SCANClassifier": "skscan.classifier",
    "SCANClusterer": "skscan.clusterer",
    "ScanObjective": "skscan.training.objectives",
    "SelfLabelTrainer": "skscan.training.self_labeling",
    "SimCLRFeatureExtractor": "skscan.extractors.simclr",
    "SkippedImage": "skscan.images",
    "TemiObjective": "skscan.training.objectives",
    "TimmFeatureExtractor": "skscan.extractors.timm",
    "TrainedNetwork": "skscan.networks.trained",
    "TurtleObjective": "skscan.training.objectives",
}
