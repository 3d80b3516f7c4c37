"""The losses of the three stages as pure functions of tensors.

Every function takes logits or features and returns scalars that can be differentiated. They are
written with log-softmax throughout, so saturated logits give finite values and useful gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "log_agreement",
    "prior_divergence",
    "scan_loss",
    "scan_losses",
    "self_label_loss",
    "simclr_loss",
]

LOG_AGREEMENT_FLOOR = -100.0
"""Smallest log-probability of agreement that enters the loss, as in binary cross-entropy."""

SMALLEST_PROBABILITY = 1e-8
"""Mean probabilities are clamped to this before the entropy is taken."""

SMALLEST_SIZE = 1e-6
"""Expected sizes of clusters, as shares, are clamped to this."""


def scan_loss(
    anchor_logits: Tensor, neighbor_logits: Tensor, entropy_weight: float = 5.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""SCAN clustering loss: agree with a neighbor, use all clusters.

    With :math:`p, q` the softmax of the anchor's and the neighbor's logits and
    :math:`\bar p` the mean of p over the batch,

    .. math::
        L = -\tfrac{1}{B} \sum_b \log \langle p_b, q_b \rangle - \lambda H(\bar p)

    Parameters
    ----------
    anchor_logits : Tensor of shape (batch, n_clusters)
    neighbor_logits : Tensor of shape (batch, n_clusters)
        Row b belongs to a neighbor of anchor b.
    entropy_weight : float, default=5.0
        :math:`\lambda`, the weight of the entropy term.

    Returns
    -------
    total, consistency, entropy : Tensor scalars, natural logarithms
        ``total = consistency - entropy_weight * entropy``.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, eq. 2.

    Examples
    --------
    >>> import torch
    >>> from skscan.training.losses import scan_loss
    >>> total, consistency, entropy = scan_loss(torch.zeros(8, 10), torch.zeros(8, 10))
    >>> round(total.item(), 4)
    -9.2103
    """
    import torch

    weights = torch.tensor([entropy_weight], device=anchor_logits.device)
    sizes = torch.full((1, anchor_logits.shape[1]), 1 / anchor_logits.shape[1])
    terms = scan_losses(
        anchor_logits[:, None], neighbor_logits[:, None], weights, sizes.to(weights.device)
    )
    total, consistency, entropy = (term.squeeze(0) for term in terms)
    return total, consistency, entropy


def scan_losses(
    anchor_logits: Tensor, neighbor_logits: Tensor, entropy_weights: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""SCAN loss of several heads, each with its own weight and expected sizes of clusters.

    The entropy term is generalised to expected sizes :math:`\pi`, as shares of the C clusters:
    :math:`\lambda \sum_c \bar p_c \log (\bar p_c / C \pi_c)` is :math:`-\lambda H(\bar p)`, that of
    :func:`scan_loss`, when they are equal.

    Parameters
    ----------
    anchor_logits, neighbor_logits : Tensor of shape (batch, n_heads, n_clusters)
    entropy_weights : Tensor of shape (n_heads,)
        :math:`\lambda`.
    sizes : Tensor of shape (n_heads, n_clusters)
        :math:`\pi`; rows sum to 1.

    Returns
    -------
    total, consistency, entropy : Tensor of shape (n_heads,)
        The entropy is that of the mean prediction, whatever sizes are expected.
    """
    import torch

    log_p = torch.log_softmax(anchor_logits, dim=2)
    log_q = torch.log_softmax(neighbor_logits, dim=2)
    consistency = -log_agreement(log_p, log_q).mean(dim=0)
    divergence, entropy = prior_divergence(log_p.exp().mean(dim=0), sizes)
    return consistency + entropy_weights * divergence, consistency, entropy


def log_agreement(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Logarithm of the probability that two draws agree, :math:`\log \langle p, q \rangle`.

    Parameters
    ----------
    log_p, log_q : Tensor of shape (..., n_clusters)
        Log-probabilities.

    Returns
    -------
    log_agreement : Tensor of shape (...)
        At least `LOG_AGREEMENT_FLOOR`.
    """
    import torch

    agreement = torch.logsumexp(log_p + log_q, dim=-1)
    # The floor bounds the value only: pairs below it keep their gradient and can still be mended.
    return agreement + (LOG_AGREEMENT_FLOOR - agreement).clamp(min=0).detach()


def prior_divergence(mean_probability: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    r"""Divergence of mean predictions from expected sizes, and their entropy.

    Parameters
    ----------
    mean_probability, sizes : Tensor of shape (n_heads, n_clusters)
        Rows sum to 1.

    Returns
    -------
    divergence, entropy : Tensor of shape (n_heads,)
        :math:`\sum_c \bar p_c \log (\bar p_c / C \pi_c)`, which is minus the entropy for equal
        sizes, and the entropy.
    """
    mean_probability = mean_probability.clamp(min=SMALLEST_PROBABILITY)
    log_mean = mean_probability.log()
    entropy = -(mean_probability * log_mean).sum(dim=1)
    expected = (sizes.clamp(min=SMALLEST_SIZE) * sizes.shape[1]).log()
    return (mean_probability * (log_mean - expected)).sum(dim=1), entropy


def self_label_loss(
    weak_logits: Tensor,
    strong_logits: Tensor,
    threshold: float | Tensor = 0.99,
    class_balancing: bool = True,
) -> Tensor:
    r"""Cross-entropy of strongly perturbed samples to their own confident labels.

    Samples whose weak view has a largest probability above the threshold take that class as label
    for their strong view. With class balancing every class that is present counts the same:
    :math:`L = \operatorname{mean}_c \operatorname{mean}_{i: y_i = c} \ell_i`.

    Parameters
    ----------
    weak_logits : Tensor of shape (batch, n_clusters)
        Only read for the labels: no gradient flows through it.
    strong_logits : Tensor of shape (batch, n_clusters)
    threshold : float or Tensor of shape (n_clusters,), default=0.99
        A sample is kept when its largest probability is strictly above this value, or above that
        of its class.
    class_balancing : bool, default=True
        Average over the classes that are present instead of over the samples.

    Returns
    -------
    loss : Tensor scalar

    Raises
    ------
    ValueError
        If no sample is above the threshold.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020,
    section 2.3 and eq. 3.

    Examples
    --------
    >>> import torch
    >>> from skscan.training.losses import self_label_loss
    >>> weak = torch.tensor([[9.0, 0.0], [0.1, 0.0]])  # the second is not confident
    >>> round(float(self_label_loss(weak, torch.zeros(2, 2))), 4)
    0.6931
    """
    import torch

    confidence, labels = torch.softmax(weak_logits.detach(), dim=1).max(dim=1)
    kept = confidence > (threshold[labels] if isinstance(threshold, torch.Tensor) else threshold)
    if not bool(kept.any()):
        raise ValueError(
            f"No sample has a confidence above threshold={threshold}: the largest is "
            f"{confidence.max().item():.3g}. Use a smaller threshold or train the clusters longer."
        )
    labels, strong_logits = labels[kept], strong_logits[kept]
    losses = torch.nn.functional.cross_entropy(strong_logits, labels, reduction="none")
    if not class_balancing:
        return losses.mean()
    class_sizes = torch.bincount(labels, minlength=strong_logits.shape[1])
    sample_weights = 1.0 / class_sizes[labels].to(losses.dtype)
    return (sample_weights * losses).sum() / sample_weights.sum()


def simclr_loss(features: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Contrastive loss of two views, with the first views as the only anchors.

    With :math:`z^1_i, z^2_i` the normalised features of the two views of image i,

    .. math::
        L = -\tfrac{1}{B} \sum_i \log \frac{\exp(z^1_i \cdot z^2_i / \tau)}
            {\sum_{j \ne i} \exp(z^1_i \cdot z^1_j / \tau)
             + \sum_j \exp(z^1_i \cdot z^2_j / \tau)}

    Parameters
    ----------
    features : Tensor of shape (batch, 2, n_features)
        L2-normalised features of both views.
    temperature : float, default=0.1
        :math:`\tau`.

    Returns
    -------
    loss : Tensor scalar

    Notes
    -----
    The usual NT-Xent takes both views as anchors; this form takes the first only, as the SCAN
    pretext task does.

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020, eq. 1.

    Examples
    --------
    >>> import torch
    >>> from skscan.training.losses import simclr_loss
    >>> features = torch.eye(2).repeat_interleave(2, dim=0).reshape(2, 2, 2)  # equal views
    >>> round(float(simclr_loss(features, temperature=1.0)), 4)
    0.5514
    """
    import torch

    first, second = features.unbind(dim=1)
    among_first = first @ first.T / temperature
    to_second = first @ second.T / temperature
    itself = torch.eye(len(first), dtype=torch.bool, device=features.device)
    similarities = torch.cat([among_first.masked_fill(itself, -torch.inf), to_second], dim=1)
    return (torch.logsumexp(similarities, dim=1) - to_second.diagonal()).mean()
