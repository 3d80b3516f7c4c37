"""Images in an array: sort scikit-learn's handwritten digits into ten classes.

The labels are used only at the end, to see how well it went.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skscan import SCANClusterer
from skscan.metrics import clustering_accuracy


def main() -> None:
    """Sort the digits twice, as images and as a matrix of pixels, and compare with k-means."""
    digits = load_digits()
    images = digits.images / digits.images.max()  # (1797, 8, 8), grey, from 0 to 1

    # Images in, classes out. What turns images into features is chosen without labels.
    clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(images)
    accuracy = clustering_accuracy(digits.target, clusterer.labels_)
    print(f"features from {type(clusterer.feature_extractor_).__name__}")
    print(f"SCANClusterer on images  {accuracy:.3f}")

    # A 2-D matrix counts as features, and goes straight to clustering.
    pixels = images.reshape(len(images), -1)
    labels = SCANClusterer(n_clusters=10, random_state=0).fit_predict(pixels)
    print(f"SCANClusterer on pixels  {clustering_accuracy(digits.target, labels):.3f}")

    labels = KMeans(n_clusters=10, n_init=10, random_state=0).fit_predict(pixels)
    print(f"KMeans on pixels         {clustering_accuracy(digits.target, labels):.3f}")

    # Each sample has a probability for each cluster: the uncertain ones are worth a look.
    confidence = clusterer.probabilities_.max(axis=1)
    least_certain = np.argsort(confidence)[:5]
    print(f"least certain images: {least_certain.tolist()}")
    print(f"most typical image of each cluster: {clusterer.prototype_indices_.tolist()}")


if __name__ == "__main__":
    main()
