"""scikit-learn's checks of parameters, for the parts that its checks of data do not fit."""

import pickle

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks

from skscan import (
    ClusterTrainer,
    DefaultFeatureExtractor,
    LabelTrainer,
    MoCoFeatureExtractor,
    NeighborLabelTrainer,
    PixelFeatureExtractor,
    ScanObjective,
    SelfLabelTrainer,
    SimCLRFeatureExtractor,
    TemiObjective,
    TimmFeatureExtractor,
    TurtleObjective,
)
from skscan.training.network_settings import NetworkTraining

PARTS = [
    ClusterTrainer(),
    DefaultFeatureExtractor(),
    LabelTrainer(),
    NeighborLabelTrainer(),
    PixelFeatureExtractor(),
    ScanObjective(),
    SelfLabelTrainer(),
    TemiObjective(),
    TimmFeatureExtractor(),
    TurtleObjective(),
]
# What trains a network has its optimiser, its views and its checkpoints besides.
TRAINING_PARTS = [MoCoFeatureExtractor(), NetworkTraining(), SimCLRFeatureExtractor()]
CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
]


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("part", [*PARTS, *TRAINING_PARTS], ids=lambda part: type(part).__name__)
def test_sklearn_checks_of_parameters(part, name):
    getattr(estimator_checks, name)(type(part).__name__, clone(part))


@pytest.mark.parametrize("part", [*PARTS, *TRAINING_PARTS], ids=lambda part: type(part).__name__)
def test_pickle_keeps_parameters(part):
    assert pickle.loads(pickle.dumps(part)).get_params() == part.get_params()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_at_most_twelve_parameters(part):
    assert len(part.get_params(deep=False)) <= 12
