"""What is known of some samples: their labels, and pairs that are together or apart."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from skscan.exceptions import SkscanWarning

__all__ = ["Constraints", "check_pairs"]


def check_pairs(pairs: Any, name: str, n_samples: int) -> NDArray[np.int64]:
    """Check pairs of samples.

    Parameters
    ----------
    pairs : array-like of shape (n_pairs, 2) or None
        Indices of samples.
    name : str
        Of the argument, for errors.
    n_samples : int

    Returns
    -------
    pairs : ndarray of shape (n_pairs, 2), dtype int64

    Raises
    ------
    ValueError
        If the shape, the type or an index is not as it should be.
    """
    if pairs is None:
        return np.empty((0, 2), dtype=np.int64)
    array = np.asarray(pairs)
    if array.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must hold pairs of sample indices, integers of shape (n_pairs, 2); "
            f"got {array.dtype} of shape {array.shape}."
        )
    outside = array[(array < 0) | (array >= n_samples)]
    if outside.size:
        raise ValueError(
            f"{name} has the index {outside[0]}, but there are {n_samples} samples: indices go "
            f"from 0 to {n_samples - 1}."
        )
    return array.astype(np.int64)


@dataclass(frozen=True)
class Constraints:
    """Labels and pairs, brought together and free of contradictions.

    Samples that must be together form a group; every sample is in exactly one.

    Parameters
    ----------
    labels : int ndarray of shape (n_samples,)
        Class of each labelled sample, also of those whose class follows from their group; -1 for
        the others.
    groups : int ndarray of shape (n_samples,)
        Group of each sample.
    apart : int ndarray of shape (n_pairs, 2)
        Pairs of groups that must not be of one class.
    """

    labels: NDArray[np.integer]
    groups: NDArray[np.integer]
    apart: NDArray[np.integer]

    @classmethod
    def from_pairs(
        cls,
        labels: NDArray[np.integer],
        must_link: NDArray[np.integer],
        cannot_link: NDArray[np.integer],
        names: NDArray | None = None,
    ) -> Constraints:
        """Build constraints, and draw the conclusions.

        Parameters
        ----------
        labels : int ndarray of shape (n_samples,)
            -1 for unknown.
        must_link, cannot_link : int ndarray of shape (n_pairs, 2)
        names : ndarray of shape (n_classes,) or None, default=None
            Names of the classes, for errors.

        Returns
        -------
        constraints : Constraints

        Raises
        ------
        ValueError
            If labels and pairs contradict each other.
        """
        n_samples = len(labels)
        links = sparse.csr_matrix(
            (np.ones(len(must_link), dtype=bool), (must_link[:, 0], must_link[:, 1])),
            shape=(n_samples, n_samples),
        )
        n_groups, groups = connected_components(links, directed=False)
        labelled = np.flatnonzero(labels >= 0)
        witness = np.full(n_groups, -1)
        witness[groups[labelled]] = labelled
        others = witness[groups[labelled]]
        clash = np.flatnonzero(labels[labelled] != labels[others])
        if clash.size:
            first, second = labelled[clash[0]], others[clash[0]]
            raise ValueError(
                f"must_link joins samples {first} and {second}, directly or through others, but y "
                f"gives them different labels: {_name(labels[first], names)} and "
                f"{_name(labels[second], names)}."
            )
        of_group = np.where(witness >= 0, labels[witness], -1)
        apart = groups[cannot_link]
        inside = np.flatnonzero(apart[:, 0] == apart[:, 1])
        if inside.size:
            first, second = cannot_link[inside[0]]
            raise ValueError(
                f"cannot_link holds the pair ({first}, {second}), but must_link joins the two "
                "samples, directly or through others."
                if first != second
                else f"cannot_link holds the pair ({first}, {second}), a sample and itself."
            )
        same = (of_group[apart[:, 0]] == of_group[apart[:, 1]]) & (of_group[apart[:, 0]] >= 0)
        if same.any():
            first, second = cannot_link[np.flatnonzero(same)[0]]
            raise ValueError(
                f"cannot_link holds the pair ({first}, {second}), but both samples have the label "
                f"{_name(of_group[groups[first]], names)}, given in y or through must_link."
            )
        return cls(of_group[groups], groups, np.unique(np.sort(apart, axis=1), axis=0))

    @property
    def labelled(self) -> NDArray[np.intp]:
        """Indices of the samples with a label."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def has_pairs(self) -> bool:
        """Whether there is more than labels."""
        return len(self.apart) > 0 or int(self.groups.max()) + 1 < len(self.groups)

    def subset(self, rows: NDArray[np.intp]) -> Constraints:
        """Return the constraints of some samples, in this order; pairs with others are dropped."""
        kept, groups = np.unique(self.groups[rows], return_inverse=True)
        place = np.full(int(self.groups.max()) + 1, -1)
        place[kept] = np.arange(len(kept))
        apart = place[self.apart]
        return Constraints(self.labels[rows], groups, apart[(apart >= 0).all(axis=1)])

    def impose_labels(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the probabilities with one-hot rows for labelled samples."""
        imposed = probabilities.copy()
        imposed[self.labelled] = 0
        imposed[self.labelled, self.labels[self.labelled]] = 1
        return imposed

    def group_means(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the mean row of each group, shape (n_groups, n_columns)."""
        sizes = np.bincount(self.groups)
        members = sparse.csr_matrix(
            (1 / sizes[self.groups], (self.groups, np.arange(len(self.groups)))),
            shape=(len(sizes), len(self.groups)),
        )
        return members @ values

    def reconcile(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give groups their mean, and move groups that are apart away from each other.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_classes)
            Not negative; rows need not sum to 1.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
        """
        means = self.group_means(scores)
        sums = means.sum(axis=1, keepdims=True)
        shares = self._impose_on_groups(means / np.where(sums > 0, sums, 1))
        allowed = np.ones_like(means)
        for own, other in (self.apart.T, self.apart.T[::-1]):
            np.multiply.at(allowed, own, 1 - shares[other])
        return (means * allowed)[self.groups]

    def _impose_on_groups(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        groups = self.groups[self.labelled]
        values[groups] = 0
        values[groups, self.labels[self.labelled]] = 1
        return values

    def decide(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Make probabilities obey all constraints.

        Groups take their most probable class that no group apart from them has taken; those with
        the fewest classes left choose first, and among them the most certain.

        Parameters
        ----------
        probabilities : ndarray of shape (n_samples, n_classes)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Rows of a group are equal, rows of labelled samples one-hot, and the largest entries of
            groups that are apart are in different columns.

        Warns
        -----
        SkscanWarning
            If some group had no class left.
        """
        if not self.has_pairs:
            return self.impose_labels(probabilities)
        means = self.group_means(self.impose_labels(probabilities))
        neighbors: dict[int, list[int]] = {}
        for first, second in self.apart.tolist():
            neighbors.setdefault(first, []).append(second)
            neighbors.setdefault(second, []).append(first)
        free = {group: np.ones(means.shape[1], dtype=bool) for group in neighbors}
        undecided, n_stuck = set(neighbors), 0
        while undecided:
            # a labelled group has one class only and so comes before all that must avoid it
            group = min(undecided, key=lambda g: _urgency(means[g], free[g]))
            undecided.remove(group)
            options = free[group] & (means[group] > 0)
            options = options if options.any() else free[group]
            n_stuck += not options.any()
            options = options if options.any() else np.ones_like(options)
            chosen = int(np.where(options, means[group], -1).argmax())
            means[group] = _within(means[group], options, chosen)
            for other in neighbors[group]:
                free[other][chosen] = False
        if n_stuck:
            warnings.warn(
                f"{n_stuck} samples or groups of must_link had no class left that cannot_link "
                "allows; they keep their most probable one. Give fewer pairs that are all apart, "
                "or more n_clusters.",
                SkscanWarning,
                stacklevel=4,
            )
        for group, others in neighbors.items():
            chosen = int(means[group].argmax())
            taken = np.zeros(means.shape[1], dtype=bool)
            taken[[int(means[other].argmax()) for other in others]] = True
            taken[chosen] = False
            means[group] = _within(means[group], ~taken, chosen)
        return means[self.groups].astype(probabilities.dtype, copy=False)


def _urgency(mean: NDArray[np.floating], free: NDArray[np.bool_]) -> tuple[int, float]:
    options = free & (mean > 0)
    return int(options.sum()), -float(np.where(options, mean, 0).max())


def _within(
    mean: NDArray[np.floating], options: NDArray[np.bool_], chosen: int
) -> NDArray[np.floating]:
    """Keep the classes that are options, and make sure that the chosen one is the largest."""
    kept = np.where(options, mean, 0)
    if kept[chosen] <= 0:
        kept = np.zeros_like(mean)
        kept[chosen] = 1
    return kept / kept.sum()


def _name(label: int, names: NDArray | None) -> str:
    return repr(int(label)) if names is None else repr(names[label : label + 1].tolist()[0])
