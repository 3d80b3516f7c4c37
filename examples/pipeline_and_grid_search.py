"""
Pipeline and GridSearchCV
=========================

skscan's parts in scikit-learn's tools: a pipeline, a grid search without labels,
and other clusterers on the graph of neighbors. The features are the digits'
pixels; ``TimmFeatureExtractor()`` at the head of a pipeline gives those of
photographs.
"""

# %%
# A pipeline
# ----------
# A matrix is taken as features, so any transformer can stand before the
# clusterer.

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from skscan import SCANClusterer

X, y = load_digits(return_X_y=True)  # y serves the scores alone
pipeline = make_pipeline(
    PCA(32, random_state=0), SCANClusterer(10, random_state=0)
)
print(f"ARI {adjusted_rand_score(y, pipeline.fit_predict(X)):.3f}")

# %%
# A grid search without labels
# ----------------------------
# ``SCANClusterer.score`` needs no y: it asks, on images that were left out,
# whether neighbors share a cluster while all clusters are in use. Parameters of
# parts are reached with two underscores.

from sklearn.model_selection import GridSearchCV

search = GridSearchCV(
    SCANClusterer(10, effort="fast", self_label_trainer="skip", random_state=0),
    {"cluster_trainer__entropy_weight": [0.2, 0.5, 1, 2, 5, 10]},
    cv=3,
).fit(X)
print(search.best_params_)

# %%
# Does that score know what is good? Beside it the ARI, which needs labels, of a
# fit on everything.

import matplotlib.pyplot as plt

weights = [
    p["cluster_trainer__entropy_weight"] for p in search.cv_results_["params"]
]
aris = [
    adjusted_rand_score(
        y, search.best_estimator_.set_params(**parameters).fit_predict(X)
    )
    for parameters in search.cv_results_["params"]
]
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(
    weights,
    search.cv_results_["mean_test_score"],
    "o-",
    label="score, without labels",
)
ax.set(xscale="log", xlabel="entropy_weight", ylabel="score")
other = ax.twinx()
other.plot(weights, aris, "s--", color="tab:orange", label="ARI, with labels")
other.set(ylabel="ARI", ylim=(0, 1))
_ = figure.legend(loc="outside upper center", ncols=2, frameon=False)

# %%
# Other clusterers on the same neighbors
# --------------------------------------
# `NeighborMiner` gives the graph that scikit-learn's ``metric="precomputed"``
# means.

from sklearn.cluster import DBSCAN, SpectralClustering

from skscan import NeighborMiner

dbscan = make_pipeline(
    NeighborMiner(20), DBSCAN(eps=22, min_samples=5, metric="precomputed")
)
print(
    f"DBSCAN              ARI {adjusted_rand_score(y, dbscan.fit_predict(X)):.3f}"
)
spectral = make_pipeline(
    NeighborMiner(20),
    SpectralClustering(
        10,
        affinity="precomputed_nearest_neighbors",
        n_neighbors=20,
        random_state=0,
    ),
)
print(
    f"SpectralClustering  ARI {adjusted_rand_score(y, spectral.fit_predict(X)):.3f}"
)
