"""Draw the pictures of the README and the guide from real output: ``python docs/make_pictures.py``.

All show scikit-learn's handwritten digits. matplotlib is needed: ``pip install 'skscan[plot]'``.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from skscan import ClusterTrainer, NeighborMiner, SCANClusterer
from skscan.metrics import match_clusters, neighbor_purity
from skscan.plotting import ClusterDisplay, TrainingDisplay

IMAGES = Path(__file__).parent / "images"
N_SHOWN = 24
SIDE = 32
GAP = 4
GRAYS = {"cmap": "gray_r", "vmin": 0, "vmax": 16}


def sorted_digits(path: Path) -> None:
    """Draw a row for each cluster of digits, the most typical ones first."""
    digits = load_digits()
    images = digits.images / digits.images.max()
    clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(images)
    cell = SIDE + GAP
    sheet = Image.new("L", (N_SHOWN * cell + GAP, 10 * cell + GAP), 255)
    confidences = clusterer.probabilities_.max(axis=1)
    for cluster in range(10):
        members = np.flatnonzero(clusterer.labels_ == cluster)
        typical = members[np.argsort(-confidences[members], kind="stable")][:N_SHOWN]
        for column, i in enumerate(typical):
            tile = Image.fromarray((255 - images[i] * 255).astype(np.uint8))
            place = (GAP + column * cell, GAP + cluster * cell)
            sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    sheet.quantize(16).save(path, optimize=True)


def save(figure: mpl.figure.Figure, name: str) -> None:
    """Write a figure as a small PNG."""
    path = IMAGES / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)


def pile_of_images(digits) -> None:
    """1: images, in no order."""
    rng = np.random.RandomState(0)
    figure, axes = plt.subplots(6, 20, figsize=(7.4, 2.3))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0.1, 0.1)
    for ax, row in zip(axes.flat, rng.permutation(len(digits.data)), strict=False):
        ax.imshow(digits.images[row], **GRAYS)
        ax.axis("off")
    save(figure, "how-1-images")


def map_of_features(digits, places) -> None:
    """2: features, as a map of images."""
    figure, ax = plt.subplots(figsize=(7.4, 4.6), layout="constrained")
    ax.scatter(*places.T, s=4, color="#c3c9d1", linewidths=0)
    rng = np.random.RandomState(0)
    taken: list[np.ndarray] = []
    span = np.ptp(places, axis=0)
    for row in rng.permutation(len(places)):
        place = places[row]
        if all((np.abs(place - other) / span > (0.035, 0.055)).any() for other in taken):
            taken.append(place)
            box = (*(place - span * (0.014, 0.022)), *(span * (0.028, 0.044)))
            inset = ax.inset_axes(box, transform=ax.transData)
            inset.imshow(digits.images[row], **GRAYS)
            inset.axis("off")
    ax.axis("off")
    save(figure, "how-2-features")


def nearest_neighbors(digits, graph) -> None:
    """3: some images and their nearest neighbors, the wrong ones framed."""
    rng = np.random.RandomState(3)
    wrong = [
        row
        for row in rng.permutation(len(digits.data))
        if (digits.target[graph[row].indices] != digits.target[row]).any()
    ]
    others = [int(np.flatnonzero(digits.target == digit)[0]) for digit in (2, 6, 8)]
    rows = [*others, wrong[0]]
    figure, axes = plt.subplots(4, 12, figsize=(7.4, 2.7))
    figure.subplots_adjust(0.02, 0.02, 0.99, 0.9, 0.12, 0.12)
    for line, row in zip(axes, rows, strict=True):
        neighbors = graph[row].indices[np.argsort(graph[row].data, kind="stable")]
        line[0].imshow(digits.images[row], **GRAYS)
        for ax, neighbor in zip(line[1:], neighbors[1:12], strict=False):
            ax.imshow(digits.images[neighbor], **GRAYS)
            if digits.target[neighbor] != digits.target[row]:
                ax.add_patch(
                    plt.Rectangle((-0.5, -0.5), 8, 8, fill=False, color="#c8102e", linewidth=3)
                )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        for edge in ax.spines.values():
            edge.set_visible(False)
    axes[0, 0].set_title("image", fontsize=9)
    axes[0, 1].set_title("its nearest neighbors", fontsize=9, loc="left")
    save(figure, "how-3-neighbors")


def agreement(digits, graph) -> None:
    """4: the probabilities of an image and its neighbor, before and after training."""
    clusterers = {n_epochs: one_head(n_epochs).fit(digits.data) for n_epochs in (1, 60)}
    before, after = (fitted.probabilities_ for fitted in clusterers.values())
    pairs = graph.tocoo()  # of all pairs, the one that training has brought together most
    gain = (after[pairs.row] * after[pairs.col]).sum(axis=1)
    gain -= (before[pairs.row] * before[pairs.col]).sum(axis=1)
    row, neighbor = int(pairs.row[gain.argmax()]), int(pairs.col[gain.argmax()])
    figure, axes = plt.subplots(2, 3, figsize=(7.4, 2.9), width_ratios=[1, 3, 3])
    figure.subplots_adjust(0.01, 0.13, 0.99, 0.9, 0.12, 0.3)
    for line, image in zip(axes, (row, neighbor), strict=True):
        line[0].imshow(digits.images[image], **GRAYS)
        line[0].axis("off")
    axes[0, 0].set_title("image", fontsize=9)
    axes[1, 0].set_title("neighbor", fontsize=9)
    for column, (n_epochs, clusterer) in enumerate(clusterers.items(), 1):
        title = f"after {n_epochs} pass{'es' if n_epochs > 1 else ''}"
        for line, image in zip(axes, (row, neighbor), strict=True):
            line[column].bar(np.arange(10), clusterer.probabilities_[image], color="#0b5fa5")
            line[column].set(ylim=(0, 1), xticks=np.arange(10), yticks=[0, 1])
            line[column].spines[["top", "right"]].set_visible(False)
            line[column].tick_params(labelsize=7)
        axes[0, column].set_title(f"probability of each cluster, {title}", fontsize=9)
    save(figure, "how-4-agreement")


def one_head(n_epochs: int) -> SCANClusterer:
    """Return a clusterer with a single head from a random start, as published."""
    trainer = ClusterTrainer(
        n_heads=1, starts=("random",), class_prior="uniform", n_epochs=n_epochs
    )
    return SCANClusterer(10, cluster_trainer=trainer, self_label_trainer="skip", random_state=1)


def training(digits, places) -> None:
    """5: the map, colored by cluster, while a head is trained; beside it the terms of its loss."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), layout="constrained")
    colors = mpl.colormaps["tab10"](np.arange(10))
    for ax, n_epochs in zip(axes, (1, 8, 60), strict=False):
        clusterer = one_head(n_epochs).fit(digits.data)
        ax.scatter(*places.T, s=3, c=colors[clusterer.labels_], linewidths=0)
        ax.set_title(f"{n_epochs} pass{'es' if n_epochs > 1 else ''}", fontsize=9)
        ax.axis("off")
    TrainingDisplay.from_estimator(clusterer, ax=axes[3])
    axes[3].get_legend().remove()
    axes[3].set_ylabel("")
    axes[3].set_title("entropy (above), consistency", fontsize=9)
    axes[3].tick_params(labelsize=7)
    save(figure, "how-5-training")


def many_heads(digits) -> None:
    """6: the best of many heads, its surest images, and its least certain ones."""
    clusterer = SCANClusterer(10, random_state=0).fit(digits.data)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 4.2), layout="constrained")
    shown = (16 - digits.images) / 16
    for ax, order, title in (
        (left, "typical", "most typical"),
        (right, "uncertain", "least certain"),
    ):
        ClusterDisplay.from_estimator(clusterer, shown, n_images=9, order=order, ax=ax)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
    save(figure, "how-6-clusters")
    matched = match_clusters(digits.target, clusterer.labels_, 10)
    print("right:", (matched[clusterer.labels_] == digits.target).mean())


def how_it_works() -> None:
    """Draw the six pictures of "How SCAN works"."""
    digits = load_digits()
    graph = NeighborMiner(20).fit_transform(digits.data)
    print("neighbors of the same class:", neighbor_purity(graph, digits.target))
    places = TSNE(init="pca", random_state=0).fit_transform(digits.data)
    pile_of_images(digits)
    map_of_features(digits, places)
    nearest_neighbors(digits, graph)
    agreement(digits, graph)
    training(digits, places)
    many_heads(digits)


if __name__ == "__main__":
    mpl.use("Agg")
    sorted_digits(IMAGES / "digits.png")
    how_it_works()
