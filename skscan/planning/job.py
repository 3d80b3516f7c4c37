"""What there is to do in a fit: counts, without seconds."""

from __future__ import annotations

from dataclasses import dataclass

from skscan.training.clustering import ClusterTrainer
from skscan.training.head_clustering import HeadSchedule, head_schedule, prior_names
from skscan.training.neighbor_labeling import NeighborLabelTrainer, neighbor_label_batch_size
from skscan.training.starts import KMEANS_SAMPLE, KMEANS_SAMPLES_PER_CLUSTER, MANY_CLUSTERS

__all__ = ["Job"]

MOST_COMPONENTS = 128
N_NEIGHBORS = 20


@dataclass(frozen=True)
class Job:
    """A fit of linear heads on frozen features, with the default parts.

    Parameters
    ----------
    n_samples, n_features, n_clusters : int
    n_heads : int
    """

    n_samples: int
    n_features: int
    n_clusters: int
    n_heads: int = 24

    @property
    def trainer(self) -> ClusterTrainer:
        """The trainer of the heads."""
        return ClusterTrainer(n_heads=self.n_heads)

    @property
    def n_components(self) -> int:
        """Features after scaling."""
        return min(MOST_COMPONENTS, self.n_features)

    @property
    def n_starts(self) -> int:
        """Partitions that are made: heads with different priors share them."""
        return -(-self.n_heads // len(prior_names(self.trainer)))

    @property
    def sample_of_starts(self) -> int:
        """Samples that k-means is fitted on."""
        many = self.n_clusters > MANY_CLUSTERS
        wanted = KMEANS_SAMPLES_PER_CLUSTER * self.n_clusters if many else 0
        return min(self.n_samples, max(KMEANS_SAMPLE, wanted))

    @property
    def batch_size(self) -> int:
        """Samples in a step of the heads."""
        return self._schedule.batch_size

    @property
    def heads_together(self) -> int:
        """Heads that make a step together."""
        return min(self._schedule.group_size, self.n_heads)

    @property
    def n_groups(self) -> int:
        """Groups of heads that are trained one after the other."""
        return -(-self.n_heads // self.heads_together)

    @property
    def self_label_batch_size(self) -> int:
        """Samples in a step of self-labelling."""
        return min(neighbor_label_batch_size(self.n_clusters), self.n_samples)

    @property
    def self_label_steps(self) -> int:
        """Steps of self-labelling, in all rounds."""
        trainer = NeighborLabelTrainer()
        return trainer.n_rounds * trainer.n_steps

    @property
    def label_steps(self) -> int:
        """Steps in which a group learns its start."""
        return self._steps(self._schedule.label_epochs)

    @property
    def head_steps(self) -> int:
        """Steps in which a group is trained."""
        return self._steps(self._schedule.n_epochs)

    def _steps(self, n_epochs: int) -> int:
        return n_epochs * max(self.n_samples // self.batch_size, 1)

    @property
    def _schedule(self) -> HeadSchedule:
        return head_schedule(self.trainer, self.n_samples, self.n_clusters)
