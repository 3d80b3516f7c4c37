"""skscan's parts in scikit-learn's tools: a pipeline, a grid search, other clusterers.

The features are the digits' pixels; ``TimmFeatureExtractor()`` at the head of a pipeline gives
those of photos.
"""

from sklearn.cluster import DBSCAN, SpectralClustering
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skscan import NeighborMiner, SCANClusterer


def main() -> None:
    """Run a pipeline, a grid search, and two clusterers of scikit-learn on the mined graph."""
    X, y = load_digits(return_X_y=True)  # y serves the scores alone

    print("A pipeline")
    pipeline = make_pipeline(PCA(32, random_state=0), SCANClusterer(10, random_state=0))
    print(f"  PCA, then SCANClusterer  ARI {adjusted_rand_score(y, pipeline.fit_predict(X)):.3f}")

    print("A grid search without labels, by the score of the clusterer")
    search = GridSearchCV(
        SCANClusterer(10, effort="fast", random_state=0),
        {"cluster_trainer__entropy_weight": [1, 2, 5]},
        cv=3,
    ).fit(X)
    results = search.cv_results_
    for parameters, score in zip(results["params"], results["mean_test_score"], strict=True):
        print(f"  {parameters}: {score:.3f}")
    ari = adjusted_rand_score(y, search.predict(X))
    print(f"  the best one, fitted on all  ARI {ari:.3f}")

    print("Other clusterers on the same neighbour graph")
    dbscan = make_pipeline(
        NeighborMiner(n_neighbors=20),
        DBSCAN(eps=22, min_samples=5, metric="precomputed"),
    )
    print(f"  DBSCAN                   ARI {adjusted_rand_score(y, dbscan.fit_predict(X)):.3f}")
    spectral = make_pipeline(
        NeighborMiner(n_neighbors=20),
        SpectralClustering(
            10, affinity="precomputed_nearest_neighbors", n_neighbors=20, random_state=0
        ),
    )
    print(f"  SpectralClustering       ARI {adjusted_rand_score(y, spectral.fit_predict(X)):.3f}")


if __name__ == "__main__":
    main()
