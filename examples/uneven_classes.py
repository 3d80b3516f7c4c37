"""
Uneven classes
==============

SCAN as published wants clusters of equal size. Where classes are not, it cuts
large ones in pieces to fill the small ones. The default here does not assume
that; and sizes that are known can be said.
"""

# %%
# Digits with a long tail: 170 zeros, and each next digit rarer, down to 17 nines.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
rng = np.random.RandomState(0)
rows = []
for digit in range(10):
    size = int(170 * 10 ** (-digit / 9))
    rows.extend(
        rng.choice(np.flatnonzero(digits.target == digit), size, replace=False)
    )
X, y = digits.data[rows], digits.target[rows]
print(np.bincount(y))

# %%
# The same images, with three ideas about sizes. Accuracy hides what happens to
# rare classes; macro accuracy, the mean over classes, does not.

from skscan import ClusterTrainer, SCANClusterer
from skscan.metrics import clustering_accuracy, macro_accuracy

priors = {
    "uniform, as in the paper": "uniform",
    "auto, the default": "auto",
    "given": np.bincount(y) / len(y),
}
found = {}
for name, prior in priors.items():
    clusterer = SCANClusterer(
        10,
        cluster_trainer=ClusterTrainer(class_prior=prior),
        self_label_trainer="skip",
        random_state=0,
    ).fit(X)
    found[name] = clusterer
    labels = clusterer.labels_
    print(
        f"{name:25} accuracy {clustering_accuracy(y, labels):.3f}, "
        f"macro {macro_accuracy(y, labels):.3f}"
    )

# %%
# The sizes of the clusters, largest first, beside those of the classes.

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
places = np.arange(10)
ax.step(
    places,
    np.sort(np.bincount(y))[::-1],
    where="mid",
    color="black",
    label="classes",
)
for (name, clusterer), shift in zip(found.items(), (-0.27, 0, 0.27), strict=True):
    counts = np.sort(np.bincount(clusterer.labels_, minlength=10))[::-1]
    ax.bar(places + shift, counts, 0.25, label=name)
ax.set(xticks=[], xlabel="clusters, largest first", ylabel="images")
_ = ax.legend(frameon=False)

# %%
# What the equal sizes cost: large classes in two clusters, rare ones without any.

from skscan.plotting import ConfusionDisplay

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 5.6), layout="constrained"
)
for ax, name in (
    (left, "uniform, as in the paper"),
    (right, "auto, the default"),
):
    display = ConfusionDisplay.from_predictions(y, found[name].labels_, ax=ax)
    ax.set_title(f"{name}: {ax.get_title()}", fontsize="medium")

# %%
# Which heads were compared, and why this one was kept, stands in
# ``selection_report_``.

report = found["auto, the default"].selection_report_
for entry in sorted(report, key=lambda entry: -entry["score"])[:5]:
    mark = "kept" if entry["chosen"] else ""
    print(
        f"{entry['start']:18} {entry['prior']:10} evidence {entry['score']:6.2f} {mark}"
    )
