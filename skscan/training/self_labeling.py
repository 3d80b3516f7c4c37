"""The self-labelling stage: a head learns from its own confident predictions."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from skscan._progress import progress
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.networks.heads import Heads
from skscan.selection import modularity, neighbor_information, silhouette_to_centers
from skscan.training.label_thresholds import ADAPTIVE, thresholds_of
from skscan.training.network_settings import NetworkTraining, check_scope
from skscan.training.results import SelfLabelResult, undone

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["SelfLabelResult", "SelfLabelTrainer", "self_label_schedule"]

AUTO_STEPS = 100
AUTO_BATCH_SIZE = 512
SAMPLES_PER_CLUSTER = 50
AUTO_LEARNING_RATE = 0.0003

_ONLY_NETWORK = {
    "label_statistics": "running",
    "averaging": "none",
    "decay": 0.999,
    "keep": "guarded",
    "network": None,
}


class SelfLabelTrainer(BaseEstimator):
    """Train the best head further on its own confident predictions.

    In each step the samples that the head is confident of become labels for strongly perturbed
    copies of themselves (section 2.3 of the paper). With ``scope="heads"`` features are frozen, and
    the perturbation moves a sample towards one of its neighbors, adds noise and drops features.
    With ``scope="network"`` the network of the feature extractor is trained too, on strongly
    augmented images, as in the paper.

    A new head on frozen features replaces the earlier one only if some label-free criterion
    (modularity of the graph, information of neighbors, silhouette) rises and none falls. The
    earlier head is kept with a warning if no sample is confident, if a cluster vanishes, or if
    criteria only fall. What is asked of a network stands at `keep`.

    Parameters
    ----------
    scope : {"heads", "network"}, default="heads"
        What is trained: the linear head on frozen features, or this and the network.
    threshold : float or "adaptive", default=0.99
        A sample is confident when its largest probability is above this. ``"adaptive"`` takes
        0.99, or, for a cluster that would have less than a fifth of its samples above that, as
        little as leaves a fifth; looked at anew before each pass.
    class_balancing : bool, default=True
        Let every class count the same, however many confident samples it has.
    n_epochs : int or "auto", default="auto"
        Passes over the data; ``"auto"`` makes about 100 steps of a head, 100 passes of a network.
    batch_size : int or "auto", default="auto"
        Samples in a batch. ``"auto"`` takes 512 for a head, or 50 for each cluster if that is
        more, and 1,000 for a network, or all if there are fewer.
    learning_rate : float or "auto", default="auto"
        For a head, of Adam, 0.0003: it falls to zero along a cosine. For a network it is constant,
        and 0.0001 with Adam.
    noise : float, default=0.3
        Heads only. Strength of the perturbation: share of features that are dropped, and standard
        deviation of the noise in units of the root mean square of the features.
    label_statistics : {"running", "batch"}, default="running"
        Network only. How batch normalisation works in the pass that gives the labels:
        ``"running"`` as in prediction, so that the label of an image depends on nothing else;
        ``"batch"`` by the statistics of the batch, as in the paper.
    averaging : {"none", "mean-teacher", "scaled-steps"}, default="none"
        Network only. ``"mean-teacher"``: labels come from a moving average of the weights, which
        is kept in the end. ``"scaled-steps"`` is what the paper's experiments on ImageNet amount
        to: steps are ``1 - decay`` times as long, and the statistics of batch normalisation stay
        those of the start.
    decay : float, default=0.999
        Network only. Of the moving average.
    keep : {"guarded", "last"}, default="guarded"
        Network only. ``"guarded"`` goes back to the earlier network, with a warning, when a cluster
        has shrunk to less than a tenth of its size, or when modularity and information of the
        earlier neighbors have both fallen by more than a hundredth; ``"last"`` keeps the last
        epoch whatever became of it, as in the paper. Without any confident sample nothing is
        trained either way.
    network : NetworkTraining or None, default=None
        Network only. What of it is trained, augmentation, optimiser, precision, checkpoints; None
        is the paper's.

    Examples
    --------
    >>> from skscan import SCANClusterer, SelfLabelTrainer
    >>> clusterer = SCANClusterer(10, self_label_trainer=SelfLabelTrainer(threshold="adaptive"))
    >>> without = SCANClusterer(10, self_label_trainer="skip")
    """

    _parameter_constraints: dict = {
        "scope": [StrOptions({"heads", "network"})],
        "threshold": [Interval(Real, 0, 1, closed="left"), StrOptions({ADAPTIVE})],
        "class_balancing": ["boolean"],
        "n_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "noise": [Interval(Real, 0, 1, closed="left")],
        "label_statistics": [StrOptions({"running", "batch"})],
        "averaging": [StrOptions({"none", "mean-teacher", "scaled-steps"})],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "keep": [StrOptions({"guarded", "last"})],
        "network": [NetworkTraining, None],
    }

    def __init__(
        self,
        *,
        scope: str = "heads",
        threshold: float | str = 0.99,
        class_balancing: bool = True,
        n_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        noise: float = 0.3,
        label_statistics: str = "running",
        averaging: str = "none",
        decay: float = 0.999,
        keep: str = "guarded",
        network: NetworkTraining | None = None,
    ) -> None:
        self.scope = scope
        self.threshold = threshold
        self.class_balancing = class_balancing
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.noise = noise
        self.label_statistics = label_statistics
        self.averaging = averaging
        self.decay = decay
        self.keep = keep
        self.network = network

    def train(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        heads: Any,
        best_head: int,
        *,
        random_state: np.random.RandomState,
        device: str = "cpu",
        n_jobs: int | None = None,
        verbose: int = 0,
        images: Any = None,
        extractor: Any = None,
    ) -> SelfLabelResult:
        """Train one head on its own labels and decide whether it got better.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        neighbors : csr_matrix of shape (n_samples, n_samples)
            Mined neighbors; self may be among them.
        heads : LinearHeads, MLPHeads or AveragedHeads
        best_head : int
            The head among `heads` to train.
        random_state : RandomState
            Source of every draw.
        device : str, default="cpu"
        n_jobs : int or None, default=None
            Threads; None leaves the numerical libraries at their own setting for large data.
        verbose : int, default=0
            With 1, a progress bar is shown on stderr.
        images : images or None, default=None
            Those that the features come from; a network needs them.
        extractor : transformer or None, default=None
            The fitted extractor of the features, whose `network_` is trained.

        Returns
        -------
        result : SelfLabelResult
            After the training of a network its head works on the features of its extractor.
        """
        self._validate_params()
        check_scope(self, _ONLY_NETWORK, {"noise": 0.3})
        if self.averaging == "none" and self.decay != _ONLY_NETWORK["decay"]:
            raise ValueError(
                f"decay={self.decay} has no meaning with averaging='none'; choose an averaging."
            )
        earlier = heads.select(best_head)
        labels, confidence = earlier.predict_with_confidence(features)
        thresholds = thresholds_of(self.threshold, labels, confidence, earlier.n_clusters)
        if not (confidence > thresholds[labels]).any():
            return undone(
                earlier,
                [],
                f"no sample has a confidence above threshold={self.threshold} (the largest is "
                f"{confidence.max():.3g}); a smaller threshold would let it begin",
            )
        if self.scope == "network":
            from skscan.training.network_self_labeling import train_network

            given = (images, extractor)
            with limit_threads(n_jobs):
                return train_network(
                    self, neighbors, earlier, *given, random_state, device, n_jobs, verbose
                )
        with limit_threads(suitable_n_jobs(n_jobs, features)):
            later, history = self._fit(features, neighbors, earlier, random_state, device, verbose)
        before, after = earlier.predict(features), later.predict(features)
        n_before, n_after = len(np.unique(before)), len(np.unique(after))
        if n_after < n_before:
            return undone(
                earlier, history, f"{n_before - n_after} of {n_before} clusters became empty"
            )
        table = neighbor_table(neighbors)
        better, worse = _compare(before, after, table, features)
        if worse and not better:
            reason = f"label-free criteria fell ({', '.join(worse)}) and none rose"
            return undone(earlier, history, reason)
        if worse or not better:
            rose, fell = ", ".join(better) or "none", ", ".join(worse) or "none"
            reason = f"label-free criteria do not favor the new head (rose: {rose}; fell: {fell})"
            return SelfLabelResult(earlier, history, False, reason)
        reason = f"label-free criteria rose ({', '.join(better)}) and none fell"
        return SelfLabelResult(later, history, True, reason)

    def _fit(
        self,
        features: NDArray[np.float32],
        neighbors: sparse.csr_matrix,
        heads: Heads,
        random_state: np.random.RandomState,
        device: str,
        verbose: int,
    ) -> tuple[Heads, list[dict[str, Any]]]:
        import torch

        from skscan.training.batched_heads import Adam
        from skscan.training.losses import self_label_loss
        from skscan.training.trainable_heads import trainable

        generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
        with warnings.catch_warnings():  # features that are mapped from a cache are only read
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            inputs = torch.as_tensor(features, device=device)
        table = torch.as_tensor(neighbor_table(neighbors), device=device)
        spread = float(torch.linalg.vector_norm(inputs)) / inputs.numel() ** 0.5
        batched = trainable(heads, device)
        n_batches, n_epochs = self_label_schedule(self, len(features), heads.n_clusters)
        learning_rate = self.learning_rate
        if isinstance(learning_rate, str):
            learning_rate = AUTO_LEARNING_RATE
        adam = Adam(batched.parameters.requires_grad_(), learning_rate, n_epochs * n_batches)
        history = []
        passes = progress(range(n_epochs), desc="self-labeling", unit="pass", verbose=verbose)
        for epoch in passes:
            losses, n_confident = [], 0
            sorted_in, sure = batched.to_numpy().predict_with_confidence(features)
            found = thresholds_of(self.threshold, sorted_in, sure, heads.n_clusters)
            thresholds = torch.from_numpy(found).to(device)
            order = torch.randperm(len(features), generator=generator).to(device)
            for batch in torch.tensor_split(order, n_batches):
                with torch.no_grad():
                    weak_logits = batched.logits(inputs[batch])[:, :, 0]
                confidence, labels = torch.softmax(weak_logits, dim=1).max(dim=1)
                confident = confidence > thresholds[labels]
                n_confident += int(confident.sum())
                if not confident.any():
                    continue
                strong = self._perturb(inputs, spread, table, batch, generator)
                strong_logits = batched.logits(strong)[:, :, 0]
                loss = self_label_loss(weak_logits, strong_logits, thresholds, self.class_balancing)
                [gradient] = torch.autograd.grad(loss, batched.parameters)
                with torch.no_grad():
                    adam.step(gradient)
                losses.append(loss.item())
            history.append(
                {
                    "pass": epoch,
                    "loss": float(np.mean(losses)) if losses else float("nan"),
                    "confident": n_confident / len(features),
                }
            )
        return batched.to_numpy(), history

    def _perturb(
        self,
        features: Tensor,
        spread: float,
        table: Tensor,
        batch: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Move samples towards a random neighbor, add noise, drop features."""
        import torch

        samples, device = features[batch], features.device
        columns = torch.randint(table.shape[1], (len(batch), 1), generator=generator).to(device)
        partners = features[table[batch].gather(1, columns).squeeze(1).long()]
        share = torch.rand(len(batch), 1, generator=generator).to(device)
        mixed = samples + share * (partners - samples)
        noise = torch.randn(mixed.shape, generator=generator).to(device)
        kept = torch.rand(mixed.shape, generator=generator).to(device) >= self.noise
        return (mixed + self.noise * spread * noise) * kept / (1 - self.noise)


def self_label_schedule(
    trainer: SelfLabelTrainer, n_samples: int, n_clusters: int
) -> tuple[int, int]:
    """Return the batches of a pass, and the passes, in which a head is trained."""
    batch_size, n_epochs = trainer.batch_size, trainer.n_epochs
    if isinstance(batch_size, str):
        batch_size = max(AUTO_BATCH_SIZE, SAMPLES_PER_CLUSTER * n_clusters)
    n_batches = max(n_samples // batch_size, 1)
    if isinstance(n_epochs, str):
        n_epochs = max(1, round(AUTO_STEPS / n_batches))
    return n_batches, n_epochs


def _compare(
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    table: NDArray[np.integer],
    features: NDArray[np.float32],
) -> tuple[list[str], list[str]]:
    """Names of the label-free criteria that rose and of those that fell."""
    nearest, near = symmetric_affinity(table, 3), symmetric_affinity(table, 5)
    change = {
        "modularity": modularity(after, nearest) - modularity(before, nearest),
        "information": neighbor_information(after, near) - neighbor_information(before, near),
        "silhouette": silhouette_to_centers(after, features)
        - silhouette_to_centers(before, features),
    }
    better = [name for name, difference in change.items() if difference > 0]
    worse = [name for name, difference in change.items() if difference < 0]
    return better, worse
