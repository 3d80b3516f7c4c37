"""
How many classes?
=================

``n_clusters="auto"`` looks for the number of classes, shows its evidence, and
leaves the choice open: any other number is cut from the same tree within seconds.
"""

# %%
# The search over-clusters resamples of the digits into small groups and merges
# these step by step.

from sklearn.datasets import load_digits

from skscan import SCANClusterer

digits = load_digits()
clusterer = SCANClusterer(n_clusters="auto", random_state=0).fit(digits.data)
print("proposals:", clusterer.cluster_count_.proposals[:4])

# %%
# The evidence
# ------------
# A high score says: so many clusters can be apart without mixing much, and merging
# down to them was cheap, while going on is not. Look at the first two or three.

from skscan.plotting import ClusterCountDisplay

_ = ClusterCountDisplay.from_estimator(clusterer)

# %%
# The tree of merges
# ------------------
# Its last 20 merges. Heights are what a merge costs; a line that crosses ten
# branches makes ten clusters.

import matplotlib.pyplot as plt
from scipy.cluster.hierarchy import dendrogram

tree = clusterer.merge_tree_
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
dendrogram(
    tree.linkage,
    p=20,
    truncate_mode="lastp",
    no_labels=True,
    color_threshold=0,
    ax=ax,
)
heights = tree.linkage[::-1, 2]
ax.axhline(
    (heights[8] * heights[9]) ** 0.5,
    linestyle="--",
    color="tab:orange",
    label="ten clusters",
)
ax.set(
    yscale="log",
    ylim=(heights[18] / 1.5, heights[0] * 1.5),
    ylabel="cost of the merge",
)
_ = ax.legend(frameon=False)

# %%
# Another number
# --------------
# ``cut`` gives a fitted clusterer: two groups of digits that are most alike, and
# how these look.

from skscan.plotting import ClusterDisplay

coarse = clusterer.cut(2)
_ = ClusterDisplay.from_estimator(
    coarse, digits.images / 16, order="random", random_state=0
)

# %%
# Too many clusters do less harm than too few: 14 of them split some digits by the
# hand that wrote them, and merging two is easier than splitting one.

fine = clusterer.cut(14)
_ = ClusterDisplay.from_estimator(fine, digits.images / 16)
