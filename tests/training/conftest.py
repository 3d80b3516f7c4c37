"""What several tests of training begin with."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skscan import ClusterTrainer, FeatureScaler, NeighborMiner


@pytest.fixture(scope="module")
def clustered_digits():
    """Features, graph, the picked one of three heads, and classes of the digits."""
    X, y = load_digits(return_X_y=True)
    features = FeatureScaler().fit_transform(X)
    graph = NeighborMiner(20).fit_transform(features)
    trainer = ClusterTrainer(n_heads=3, starts=["cut"])
    result = trainer.train(features, graph, 10, random_state=np.random.RandomState(0))
    return features, graph, result.heads.select(result.best_head), y
