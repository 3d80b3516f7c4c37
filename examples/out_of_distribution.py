"""
Images that do not belong
=========================

Every image gets a cluster, also one that is of no kind the clusterer knows, and often
with high confidence. How far an image is from everything that was fitted on is another
question, and has an answer of its own.
"""

# %%
# Digits from 0 to 7 are sorted. Eights and nines are kept away: to the clusterer they
# are something new.

import numpy as np
from sklearn.datasets import load_digits

from skscan import SCANClusterer

digits = load_digits()
known = digits.target < 8
rng = np.random.RandomState(0)
fitted = known & (rng.uniform(size=len(known)) < 0.7)
later = known & ~fitted  # the same digits, but new images
X = digits.data
clusterer = SCANClusterer(8, self_label_trainer="skip", random_state=0).fit(
    X[fitted]
)

# %%
# Three kinds of new images: the same digits, digits that it never saw, and noise.
# ``assess`` gives clusters, probabilities and outlier scores at once. A score of 1 is
# typical of what was fitted on, more is odder.

kinds = {
    "0 to 7": X[later],
    "8 and 9": X[~known],
    "noise": rng.uniform(0, 16, size=(300, 64)),
}
found = {kind: clusterer.assess(images) for kind, images in kinds.items()}
for kind, assessment in found.items():
    confidence = assessment.probabilities.max(axis=1).mean()
    score = np.median(assessment.outlier_scores)
    print(
        f"{kind:8} mean confidence {confidence:.2f}, median outlier score {score:.2f}"
    )

# %%
# Two ways to tell them apart
# ---------------------------
# How well confidence and outlier scores tell the new kinds from the known one, as the
# area under the ROC curve: 0.5 is chance, 1 is perfect.

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
measures = {
    "confidence": lambda assessment: assessment.probabilities.max(axis=1),
    "outlier score": lambda assessment: assessment.outlier_scores,
}
for ax, (name, measure) in zip(axes, measures.items(), strict=True):
    values = {kind: measure(assessment) for kind, assessment in found.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=40)
    for kind, these in values.items():
        ax.hist(these, edges, density=True, alpha=0.6, label=kind)
    ax.set(xlabel=name, yticks=[])
    sign = -1 if name == "confidence" else 1
    for kind in ("8 and 9", "noise"):
        both = sign * np.concatenate([values["0 to 7"], values[kind]])
        is_new = np.repeat([0, 1], [len(values["0 to 7"]), len(values[kind])])
        print(f"{name:13} {kind:8} AUROC {roc_auc_score(is_new, both):.3f}")
_ = axes[0].legend(frameon=False)

# %%
# Being undecided between clusters and being far from all of them are different things;
# for what does not belong, the distance is the better question.
#
# Which images are odd?
# ---------------------
# The most outlying of each cluster, of the images that were fitted on: some are badly
# written, some alone in their way of writing. ``outlier_indices_`` names all of them,
# the oddest first.

from skscan.plotting import ClusterDisplay

print(len(clusterer.outlier_indices_), "of", fitted.sum(), "images are outlying")
images = digits.images[fitted] / 16
_ = ClusterDisplay.from_estimator(
    clusterer, images, order="outlying", n_images=10
)

# %%
# Uncertain is something else
# ---------------------------
# ``ambiguous_indices_`` are images between two clusters: not odd, but undecided.

odd = set(clusterer.outlier_indices_)
undecided = set(clusterer.ambiguous_indices_)
print(
    len(undecided), "are ambiguous,", len(odd & undecided), "of them outlying too"
)
figure, axes = plt.subplots(2, 10, figsize=(8, 1.9), layout="constrained")
for ax, row in zip(axes.flat, clusterer.ambiguous_indices_, strict=False):
    ax.imshow(images[row], cmap="gray")
for ax in axes.flat:
    ax.axis("off")

# %%
# Can confidence be trusted?
# --------------------------
# Probabilities are calibrated without labels, by the neighbors. With labels it can be
# seen how well that went: bars at the dotted line are right as often as they are sure.
# Nearly all samples are in the last one; the others hold so few that they jump about.

from skscan.plotting import ReliabilityDisplay

_ = ReliabilityDisplay.from_predictions(
    digits.target[fitted], clusterer.probabilities_, n_bins=8
)
