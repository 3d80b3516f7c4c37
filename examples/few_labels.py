"""
A few labels
============

A handful of labels gives the classes their names, and makes them better.
`SCANClassifier` takes them as scikit-learn's semi-supervised estimators do: -1 is
unknown.
"""

# %%
# Three labels for each digit; 1,767 images have none.

import numpy as np
from sklearn.datasets import load_digits

X, digits = load_digits(return_X_y=True)
names = np.array([f"digit {i}" for i in range(10)], dtype=object)[digits]


def with_labels(n_each, seed=0):
    """Hide all labels but some of each class."""
    rng = np.random.RandomState(seed)
    rows = [
        rng.choice(np.flatnonzero(digits == c), n_each, replace=False)
        for c in range(10)
    ]
    y = np.full(len(names), -1, dtype=object)
    y[np.concatenate(rows)] = names[np.concatenate(rows)]
    return y


y = with_labels(3)
print((y != -1).sum(), "labels")

# %%
# Beside a classifier that sees the labelled images alone, scored on the others:

from sklearn.linear_model import LogisticRegression

from skscan import SCANClassifier

known = y != -1
alone = LogisticRegression(C=0.01, max_iter=1000).fit(X[known], names[known])
model = SCANClassifier(random_state=0).fit(X, y)
print(
    f"LogisticRegression on 30 labels  {alone.score(X[~known], names[~known]):.3f}"
)
print(
    f"SCANClassifier on the same       {model.score(X[~known], names[~known]):.3f}"
)
print(model.predict(X[:3]))

# %%
# More labels
# -----------
# What each number of labels gives, and what no labels give once somebody has
# named the clusters.

import matplotlib.pyplot as plt

from skscan import SCANClusterer
from skscan.metrics import clustering_accuracy

counts = [1, 3, 10, 30]
scores = {"SCANClassifier": [], "LogisticRegression": []}
for n_each in counts:
    few = with_labels(n_each)
    hidden = few == -1
    steered = SCANClassifier(random_state=0).fit(X, few)
    scores["SCANClassifier"].append(steered.score(X[hidden], names[hidden]))
    probe = LogisticRegression(C=0.01, max_iter=1000).fit(
        X[~hidden], names[~hidden]
    )
    scores["LogisticRegression"].append(probe.score(X[hidden], names[hidden]))
clusters = SCANClusterer(
    10, self_label_trainer="skip", random_state=0
).fit_predict(X)

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, values), style in zip(scores.items(), ("o-", "s--"), strict=True):
    ax.plot(counts, values, style, label=name)
ax.axhline(
    clustering_accuracy(digits, clusters),
    color="gray",
    linestyle=":",
    label="no labels, named rightly",
)
ax.set(
    xscale="log", xlabel="labels for each class", ylabel="accuracy on the others"
)
ax.set_xticks(counts, counts)
_ = ax.legend(frameon=False)

# %%
# With one label a class the classifier stays below what the clusters themselves
# would give: a label that happens to be odd misleads it.
#
# Which images to label next?
# ---------------------------
# ``suggest`` names images that are uncertain, have many like them, and differ
# from each other.

from skscan.plotting import ClusterDisplay

wanted = model.suggest(20)
figure, axes = plt.subplots(2, 10, figsize=(8, 1.9), layout="constrained")
for ax, row in zip(axes.flat, wanted, strict=True):
    ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
    ax.axis("off")

# %%
# Somebody looks at them, and the model is fitted again.

y[wanted] = names[wanted]
model = SCANClassifier(random_state=0).fit(X, y)
rest = y == -1
print(f"with 20 suggested labels more    {model.score(X[rest], names[rest]):.3f}")
_ = ClusterDisplay.from_estimator(model, X.reshape(-1, 8, 8) / 16)

# %%
# Pairs
# -----
# "These two belong together" says less than a label, and is easier to say. Both
# are kept to.

first, second = np.flatnonzero(digits == 8)[:2], np.flatnonzero(digits == 9)[:2]
model.fit(X, y, must_link=[first], cannot_link=[(first[0], second[0])])
print(f"pair that belongs together: {model.labels_[first].tolist()}")
print(f"pair that does not: {model.labels_[[first[0], second[0]]].tolist()}")
