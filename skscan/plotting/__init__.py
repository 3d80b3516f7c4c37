"""Pictures of fitted clusterers: displays as in scikit-learn, drawn with matplotlib.

Each takes one line, draws on `ax` if it is given one, and keeps what it drew on in ``ax_`` and
``figure_``. matplotlib comes with ``pip install 'skscan[plot]'``.

>>> from sklearn.datasets import load_digits
>>> from skscan import SCANClusterer
>>> from skscan.plotting import ClusterDisplay
>>> digits = load_digits()
>>> clusterer = SCANClusterer(10, effort="fast", random_state=0).fit(digits.data)
>>> display = ClusterDisplay.from_estimator(clusterer, digits.images / 16)
"""

from skscan.plotting.cluster_count import ClusterCountDisplay
from skscan.plotting.clusters import ClusterDisplay
from skscan.plotting.confusion import ConfusionDisplay
from skscan.plotting.embedding import EmbeddingDisplay
from skscan.plotting.reliability import ReliabilityDisplay
from skscan.plotting.training import TrainingDisplay

__all__ = [
    "ClusterCountDisplay",
    "ClusterDisplay",
    "ConfusionDisplay",
    "EmbeddingDisplay",
    "ReliabilityDisplay",
    "TrainingDisplay",
]
