"""
Heads and objectives compared
=============================

On the same features: SCAN's loss, TEMI's and TURTLE's, linear heads and such with
a hidden layer, one head from a random start as published and the choice among
many.
"""

# %%
# The features are the digits' pixels, scaled once.

from sklearn.datasets import load_digits

from skscan import FeatureScaler

X, y = load_digits(return_X_y=True)
Z = FeatureScaler().fit_transform(X)

# %%
# Everything is a parameter of `ClusterTrainer`. Labels serve the score alone.
# Networks are kept small and few here, so that the page takes a minute: this
# compares ways, not papers.

import time

import numpy as np
from sklearn.base import clone

from skscan import ClusterTrainer, SCANClusterer, ScanObjective, TemiObjective
from skscan.metrics import clustering_accuracy

as_published = {
    "starts": ("random",),
    "class_prior": "uniform",
    "selection": "scan_loss",
}
trainers = {
    "SCAN, one head, random start": ClusterTrainer(n_heads=1, **as_published),
    "SCAN, ten heads, random starts": ClusterTrainer(n_heads=10, **as_published),
    "SCAN, the default here": ClusterTrainer(),
    "SCAN, hidden layer": ClusterTrainer(
        objective=ScanObjective(head="mlp", hidden_sizes=(128, 64)), n_heads=3
    ),
    "TEMI, hidden layer": ClusterTrainer(
        objective=TemiObjective(head="mlp", hidden_sizes=(128, 64)), n_heads=2
    ),
    "TEMI, linear": ClusterTrainer(
        objective=TemiObjective(head="linear"), n_heads=4
    ),
    "TURTLE": ClusterTrainer(objective="turtle", n_heads=1),
}
accuracies, seconds = {}, {}
for name, trainer in trainers.items():
    clusterer = SCANClusterer(
        10, cluster_trainer=trainer, self_label_trainer="skip"
    )
    start = time.perf_counter()
    accuracies[name] = [
        clustering_accuracy(
            y, clone(clusterer).set_params(random_state=seed).fit_predict(Z)
        )
        for seed in range(3)
    ]
    seconds[name] = (time.perf_counter() - start) / 3
    mean = np.mean(accuracies[name])
    print(f"{name:32} accuracy {mean:.3f}, {seconds[name]:5.1f} s for a fit")

# %%
# One dot for each of three seeds: what a random start costs is not the mean alone
# but the luck.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for row, values in enumerate(accuracies.values()):
    ax.plot(values, [row] * len(values), "o", alpha=0.7)
ax.set_yticks(range(len(accuracies)), accuracies)
ax.invert_yaxis()
ax.set_xlabel("accuracy")
ax.grid(axis="x", alpha=0.3)

# %%
# How the heads were trained
# --------------------------
# Both terms of SCAN's loss, for random starts and for the default's: heads that
# start from partitions begin where others arrive late, or never.

from skscan.plotting import TrainingDisplay

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), sharey=True, layout="constrained"
)
shown = {left: "SCAN, ten heads, random starts", right: "SCAN, the default here"}
for ax, name in shown.items():
    clusterer = SCANClusterer(
        10,
        cluster_trainer=trainers[name],
        self_label_trainer="skip",
        random_state=0,
    )
    TrainingDisplay.from_estimator(clusterer.fit(Z), ax=ax)
    ax.set_title(name)
left.get_legend().remove()

# %%
# Which head is kept
# ------------------
# No labels are needed to choose. The head with the lowest SCAN loss of those that were
# drawn to equal sizes is kept, unless the evidence is that another one tells more of
# the neighbors. Beside the accuracy, which labels show:

report = clusterer.selection_report_
scaled = clusterer.transform(Z)
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
marks = {"balanced": "o", "lenient": "s", "estimated": "^"}
for entry in report:
    labels = clusterer.heads_.predict_proba(scaled, entry["head"]).argmax(axis=1)
    ax.plot(
        entry["consistency"] - entry["entropy"],
        clustering_accuracy(y, labels),
        marks[entry["prior"]],
        color="tab:orange" if entry["chosen"] else "gray",
        markersize=10 if entry["chosen"] else 6,
    )
for prior, mark in marks.items():
    ax.plot([], [], mark, color="gray", label=f"{prior} sizes")
ax.plot([], [], "o", color="tab:orange", markersize=10, label="kept")
ax.set(xlabel="SCAN loss, without labels", ylabel="accuracy")
_ = ax.legend(frameon=False)
