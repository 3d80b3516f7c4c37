"""
First clusters
==============

Images in, classes out: scikit-learn's handwritten digits, sorted without labels.
The labels are used only at the end, to see how well it went.
"""

# %%
# 1,797 images of 8 x 8 pixels. A uint8 array, values from 0 to 1, paths, PIL
# images, a folder or a zip would do as well.

from sklearn.datasets import load_digits

digits = load_digits()
images = digits.images / digits.images.max()
print(images.shape)

# %%
# One call. What turns the images into features (pixels, the embedded network, or
# both) is chosen without labels as well.

from skscan import SCANClusterer

clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(images)
print(clusterer.labels_[:20])
print(
    "features:",
    type(clusterer.feature_extractor_).__name__,
    clusterer.feature_extractor_.choice_,
)

# %%
# Look at the clusters
# --------------------
# One row for each, the most typical images first, with the number of images.

from skscan.plotting import ClusterDisplay

_ = ClusterDisplay.from_estimator(clusterer, images)

# %%
# The images that it is least sure of are worth a look: some are hard for anybody.

_ = ClusterDisplay.from_estimator(
    clusterer, images, order="uncertain", n_images=8
)

# %%
# A map
# -----
# Each point is an image, near others that it resembles; a picture stands where
# the most typical image of each cluster is.

from skscan.plotting import EmbeddingDisplay

_ = EmbeddingDisplay.from_estimator(clusterer, images, random_state=0)

# %%
# How well did it go?
# -------------------
# Clusters have no names, so each is matched to the class that makes most images
# right. Which digits are taken for which?

from skscan.plotting import ConfusionDisplay

_ = ConfusionDisplay.from_predictions(digits.target, clusterer.labels_)

# %%
# Beside k-means with ten starts, on the pixels:

from sklearn.cluster import KMeans

from skscan.metrics import clustering_accuracy

kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(digits.data)
print(
    f"SCANClusterer  {clustering_accuracy(digits.target, clusterer.labels_):.3f}"
)
print(f"k-means        {clustering_accuracy(digits.target, kmeans.labels_):.3f}")
