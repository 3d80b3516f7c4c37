"""
SimCLR from scratch on small images
===================================

No network that anybody trained before, no label anywhere: a small ResNet learns
features from the images alone, as in the first stage of the paper. Here it is
very small, and learns for half a minute.
"""

# %%
# 1,500 images of clothes where Fashion-MNIST is installed (Debian's package
# dataset-fashion-mnist), else digits.

import gzip
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

FASHION = Path("/usr/share/datasets/fashion-mnist")
N_IMAGES = 1500


def read_idx(name, header):
    """Read a file of Fashion-MNIST."""
    return np.frombuffer(
        gzip.decompress((FASHION / name).read_bytes()), np.uint8
    )[header:]


if FASHION.is_dir():
    images = read_idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[
        :N_IMAGES
    ]
    y = read_idx("t10k-labels-idx1-ubyte.gz", 8)[:N_IMAGES]
else:
    digits = load_digits()
    images = np.kron(digits.images[:N_IMAGES] * 15, np.ones((3, 3))).astype(
        np.uint8
    )
    y = digits.target[:N_IMAGES]
print(images.shape)

# %%
# The network learns that two random views of an image belong together, and that
# views of different images do not. These are such views of five images, one a
# row: crops, flips, other contrasts.

import matplotlib.pyplot as plt
import torch

from skscan.training.augmentations.named import make_augmentation

augmentation = make_augmentation("simclr", 20, mean=(0, 0, 0), std=(1, 1, 1))
pixels = torch.from_numpy(np.repeat(images[:5, None], 3, axis=1))
pixels = pixels.repeat_interleave(8, dim=0)
draws = augmentation.draw(
    len(pixels), *images.shape[1:], torch.Generator().manual_seed(0)
)
views = augmentation(pixels, draws).numpy().transpose(0, 2, 3, 1)
figure, axes = plt.subplots(5, 9, figsize=(7, 4), layout="constrained")
for row, shown in enumerate(axes):
    shown[0].imshow(images[row], cmap="gray")
    for column, ax in enumerate(shown[1:]):
        ax.imshow(views[8 * row + column].clip(0, 1))
    for ax in shown:
        ax.axis("off")
axes[0, 0].set_title("image")
_ = axes[0, 1].set_title("views", loc="left")

# %%
# Train. The paper's network has 8 times the width and twice the depth, sees
# 50,000 images and goes over them 500 times; the call is the same.

from skscan import SimCLRFeatureExtractor

extractor = SimCLRFeatureExtractor(
    backbone={"stem": "cifar", "depth": 10, "width": 8},
    image_size=20,
    n_epochs=25,
    batch_size=128,
    learning_rate=0.1,
    output="backbone",
    random_state=0,
).fit(images)
print({name: round(seconds, 1) for name, seconds in extractor.timings_.items()})
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot([epoch["loss"] for epoch in extractor.history_])
_ = ax.set(xlabel="epoch", ylabel="loss")

# %%
# What has it learned?
# --------------------
# Which images it takes for the most alike: an image at the left, then its nearest
# neighbors, by pixels and by the features that were learned.

from skscan import NeighborMiner

flat = images.reshape(len(images), -1) / 255
features = extractor.transform(images)
figure, axes = plt.subplots(4, 13, figsize=(9, 3), layout="constrained")
for title, matrix, start in (("pixels", flat, 1), ("learned", features, 7)):
    neighbors = NeighborMiner(6).fit(matrix).kneighbors()[1]
    for row in range(4):
        for column in range(6):
            axes[row, start + column].imshow(
                images[neighbors[row, column]], cmap="gray"
            )
    axes[0, start].set_title(title, loc="left")
for row in range(4):
    axes[row, 0].imshow(images[row], cmap="gray")
for ax in axes.flat:
    ax.axis("off")

# %%
# And what it is worth: the same clusterers on pixels and on the learned features.

from sklearn.cluster import KMeans

from skscan import SCANClusterer
from skscan.metrics import clustering_accuracy, neighbor_purity

for name, matrix in (("pixels", flat), ("learned", features)):
    purity = neighbor_purity(NeighborMiner(20).fit_transform(matrix), y)
    kmeans = KMeans(10, n_init=10, random_state=0).fit_predict(matrix)
    scan = SCANClusterer(10, random_state=0).fit_predict(matrix)
    print(
        f"{name:8} neighbors of the same class {purity:.2f}, "
        f"k-means {clustering_accuracy(y, kmeans):.3f}, "
        f"SCANClusterer {clustering_accuracy(y, scan):.3f}"
    )

# %%
# With ``scope="network"`` the later stages train the network further, as in the
# paper: :doc:`/guide/paper` shows the call, and what a longer training gives.
