"""
Patches of photographs
======================

What the embedded backbone sees in photographs: two that scikit-learn ships are
cut into patches, and the patches are sorted. No patch has a name or a place for
the clusterer; what it finds are things.

The backbone was trained on ImageNet with labels, as :doc:`/guide/backbones` says.
"""

# %%
# 270 patches of 80 pixels, in steps of 40.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

SIDE, STEP = 80, 40
photos = load_sample_images().images
patches, places = [], []
for number, photo in enumerate(photos):
    for top in range(0, photo.shape[0] - SIDE + 1, STEP):
        for left in range(0, photo.shape[1] - SIDE + 1, STEP):
            patches.append(photo[top : top + SIDE, left : left + SIDE])
            places.append((number, top, left))
patches = np.array(patches)
print(patches.shape)

# %%
# Arrays with colors go through the embedded backbone; its features are sorted
# into six clusters.

from skscan import SCANClusterer

N_CLUSTERS = 6
clusterer = SCANClusterer(N_CLUSTERS, random_state=0).fit(patches)
print(
    "seconds:",
    {stage: round(time, 1) for stage, time in clusterer.timings_.items()},
)

# %%
# One row for each cluster, the most typical patches first.

from skscan.plotting import ClusterDisplay

_ = ClusterDisplay.from_estimator(clusterer, patches, n_images=10)

# %%
# Where they lie: the middle of each patch, painted in the color of its cluster.

colors = plt.colormaps["tab10"](np.arange(N_CLUSTERS))
figure, axes = plt.subplots(2, 2, figsize=(8, 5.6), layout="constrained")
for number, (photo, (above, below)) in enumerate(
    zip(photos, axes.T, strict=True)
):
    painted = np.full((*photo.shape[:2], 4), np.nan)
    for (of, top, left), cluster in zip(places, clusterer.labels_, strict=True):
        if of == number:
            middle = (SIDE - STEP) // 2
            rows = slice(top + middle, top + middle + STEP)
            columns = slice(left + middle, left + middle + STEP)
            painted[rows, columns] = colors[cluster]
    above.imshow(photo)
    below.imshow(photo)
    below.imshow(painted, alpha=0.6)
for ax in axes.flat:
    ax.axis("off")
