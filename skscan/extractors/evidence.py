"""Which representation of the same images groups them best, judged without labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from sklearn.exceptions import ConvergenceWarning

from skscan.neighbors import NeighborMiner
from skscan.scaling import FeatureScaler

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

__all__ = ["grouping_score", "moved_views", "mutual_links"]

_N_NEIGHBORS = 10
# Several granularities, because the number of classes is not known here.
_GROUP_COUNTS = (5, 10, 20)

# Views as a second scan or a second look would give them. No flips: a mirrored letter is another
# letter. No noise: it tells how tolerant a network is, not how well it groups.
_MAX_ANGLE = np.deg2rad(8)
_MAX_SHIFT = 0.08  # of the side
_MAX_LOG_ZOOM = 0.08


def grouping_score(features: np.ndarray, view_features: np.ndarray) -> float:
    """Tell how well images fall into groups that hold when they are moved a little.

    The images are sorted by k-means into 5, 10 and 20 groups. For each, two shares are multiplied,
    each less what chance would give:

    - *cohesion*: of all links to nearest neighbours, those that are mutual and stay within a group
      (the modularity of the partition, counting one-sided links as broken, since a representation
      that means little makes a few images everybody's neighbours);
    - *steadiness*: of all views, those in the group of their image.

    The mean of the products is the score. Cohesion alone rewards whatever varies smoothly, such as
    the position of an object, steadiness alone whatever is coarse, such as brightness.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        One representation of the images.
    view_features : ndarray of shape (n_views, n_features)
        The same representation of slightly moved views of the first `n_views` images.

    Returns
    -------
    score : float
        Higher is better, below 1; comparable between representations of the same images.
    """
    scaler = FeatureScaler(random_state=0).fit(features)
    Z, views = scaler.transform(features), scaler.transform(view_features)
    neighbors = NeighborMiner(min(_N_NEIGHBORS, len(Z) - 1)).fit(Z).kneighbors()[1]
    mutual = mutual_links(neighbors)
    products = []
    for n_groups in _GROUP_COUNTS:
        kmeans = _fit_kmeans(Z, min(n_groups, len(Z)))
        groups, view_groups = kmeans.labels_, kmeans.predict(views)
        shares = np.bincount(groups, minlength=n_groups) / len(groups)
        view_shares = np.bincount(view_groups, minlength=n_groups) / len(view_groups)
        unbroken = mutual & (groups[neighbors] == groups[:, None])
        cohesion = unbroken.mean() - mutual.mean() * (shares @ shares)
        steadiness = (groups[: len(views)] == view_groups).mean() - shares @ view_shares
        products.append(max(cohesion, 0.0) * max(steadiness, 0.0))
    return float(np.mean(products))


def moved_views(images: np.ndarray) -> np.ndarray:
    """Turn, shift and zoom each image a little, by amounts that are the same in every call.

    Parameters
    ----------
    images : ndarray of shape (n_images, side, side), dtype uint8
        Grey images.

    Returns
    -------
    views : ndarray of shape (n_images, side, side), dtype uint8
        One view of each; what comes in at an edge repeats the edge.
    """
    random_state = np.random.RandomState(0)
    side = images.shape[1]
    center = np.full(2, (side - 1) / 2)
    views = np.empty_like(images)
    for image, view in zip(images, views, strict=True):
        angle = random_state.uniform(-_MAX_ANGLE, _MAX_ANGLE)
        zoom = np.exp(random_state.uniform(-_MAX_LOG_ZOOM, _MAX_LOG_ZOOM))
        shift = side * random_state.uniform(-_MAX_SHIFT, _MAX_SHIFT, size=2)
        cosine, sine = np.cos(angle), np.sin(angle)
        # From a place in the view to the place in the image that is seen there.
        matrix = np.array([[cosine, -sine], [sine, cosine]]) / zoom
        offset = center - matrix @ (center + shift)
        ndimage.affine_transform(image, matrix, offset, output=view, order=1, mode="nearest")
    return views


def mutual_links(neighbors: np.ndarray) -> np.ndarray:
    """Tell which links to neighbours go both ways.

    Parameters
    ----------
    neighbors : int ndarray of shape (n_images, k)
        The nearest neighbours of each image.

    Returns
    -------
    mutual : bool ndarray of shape (n_images, k)
        Whether the image is among the neighbours of its neighbour.
    """
    n_images = len(neighbors)
    rows = np.arange(n_images)[:, None]
    return np.isin(neighbors * n_images + rows, rows * n_images + neighbors)


def _fit_kmeans(Z: np.ndarray, n_groups: int) -> KMeans:
    from sklearn.cluster import KMeans  # which takes long to load, and not every fit needs it

    with warnings.catch_warnings():
        # Fewer different images than groups: as many groups as there are.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(n_groups, n_init=3, random_state=0).fit(Z)
