"""SCANClusterer on features: scikit-learn's conventions and the quality of the classes."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from skscan import ClusterTrainer, FeatureScaler, NeighborMiner, SCANClusterer, SelfLabelTrainer
from skscan.exceptions import SkscanWarning
from skscan.metrics import clustering_accuracy


@parametrize_with_checks([SCANClusterer(n_clusters=3, random_state=0)])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def few(digits):
    """Some digits of three classes."""
    X, y = digits
    kept = np.flatnonzero(y < 3)[:240]
    return X[kept], y[kept]


@pytest.fixture(scope="module")
def fitted(digits):
    return SCANClusterer(n_clusters=10, random_state=0).fit(digits[0])


@pytest.fixture(scope="module")
def small(few):
    return SCANClusterer(n_clusters=3, effort="fast", random_state=0).fit(few[0])


def test_digits_are_sorted_better_than_by_kmeans(fitted, digits):
    X, y = digits
    ours = clustering_accuracy(y, fitted.labels_)
    kmeans = KMeans(10, n_init=10, random_state=0).fit_predict(FeatureScaler().fit_transform(X))
    assert ours >= 0.86
    assert ours > clustering_accuracy(y, kmeans)


def test_attributes(fitted, digits):
    X, _ = digits
    n = len(X)
    assert fitted.labels_.shape == (n,)
    assert set(fitted.labels_) == set(range(10))
    assert fitted.probabilities_.shape == (n, 10)
    np.testing.assert_allclose(fitted.probabilities_.sum(axis=1), 1, atol=1e-5)
    assert fitted.neighbors_.shape == (n, n)
    assert (np.diff(fitted.neighbors_.indptr) == 21).all()
    np.testing.assert_array_equal(fitted.labels_[fitted.prototype_indices_], np.arange(10))
    assert fitted.n_features_in_ == 64
    assert fitted.n_iter_ >= 1
    assert 0 <= fitted.best_head_ < len(fitted.heads_)
    assert {"consistency", "entropy", "head", "pass"} <= set(fitted.history_[0])
    assert list(fitted.timings_) == [
        "extraction",
        "scaling",
        "mining",
        "clustering",
        "self_labeling",
        "evidence",
    ]
    assert fitted.skipped_ == []
    assert fitted.feature_extractor_ is None


def test_labels_equal_predict(fitted, digits):
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(digits[0]))
    np.testing.assert_array_equal(fitted.labels_, fitted.predict_proba(digits[0]).argmax(axis=1))


def test_same_seed_gives_the_same_labels(few, small):
    again = clone(small).fit(few[0])
    np.testing.assert_array_equal(small.labels_, again.labels_)
    np.testing.assert_array_equal(small.probabilities_, again.probabilities_)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"n_clusters": "auto"},
        {"effort": "best"},
        {"cluster_trainer": ClusterTrainer(objective="temi", n_heads=2, n_epochs=2)},
        {"cluster_trainer": ClusterTrainer(objective="turtle", n_heads=2, n_epochs=2)},
        {"self_label_trainer": SelfLabelTrainer()},
    ],
    ids=["fast", "auto", "best", "temi", "turtle", "paper's third stage"],
)
def test_labels_are_never_looked_at(few, small, changed):
    X, y = few
    model = clone(small).set_params(**changed)
    without = clone(model).fit(X)
    for given in (y, np.random.RandomState(0).permutation(y)):
        found = clone(model).fit(X, given)
        np.testing.assert_array_equal(found.labels_, without.labels_)
        np.testing.assert_array_equal(found.probabilities_, without.probabilities_)
    assert without.score(X, y) == without.score(X)


def test_order_of_rows_matters_no_more_than_the_seed(digits):
    X, _ = digits
    model = SCANClusterer(10, effort="fast", random_state=0)
    labels = clone(model).fit_predict(X)
    other_seeds = [clone(model).set_params(random_state=s).fit_predict(X) for s in (1, 2, 3)]
    agreements = [clustering_accuracy(labels, other) for other in other_seeds]
    order = np.random.RandomState(1).permutation(len(X))
    shuffled = clone(model).fit_predict(X[order])
    assert clustering_accuracy(labels[order], shuffled) >= min(agreements) - 0.02


def test_scale_and_layout_of_features_do_not_matter(few, small, tmp_path):
    X, _ = few
    np.save(tmp_path / "X.npy", X)
    read_only = X.copy()
    read_only.flags.writeable = False
    for variant in (
        np.asfortranarray(X),
        read_only,
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        X.tolist(),
    ):
        np.testing.assert_array_equal(small.predict(variant), small.labels_)
        assert clustering_accuracy(clone(small).fit(variant).labels_, small.labels_) > 0.99
    scaled = clone(small).fit(X.astype(np.float64) * 1000)
    assert clustering_accuracy(scaled.labels_, small.labels_) > 0.99


def test_fit_transform_equals_transform(few):
    X, _ = few
    clusterer = SCANClusterer(3, effort="fast", random_state=0)
    Z = clusterer.fit_transform(X)
    np.testing.assert_allclose(Z, clusterer.transform(X), atol=1e-6)
    assert Z.dtype == np.float32


def test_score_is_the_negated_selection_loss(few, small):
    X, _ = few
    distances = 1 - np.clip(_cosines(X), -1, 1)
    np.fill_diagonal(distances, np.inf)
    neighbors = np.argsort(distances, axis=1)[:, :5]
    p = small.heads_.predict_proba(small.transform(X), small.best_head_).astype(float)
    agreement = np.log(np.einsum("ic,ikc->ik", p, p[neighbors])).mean()
    mean = p.mean(axis=0)
    assert small.score(X) == pytest.approx(agreement - (mean * np.log(mean)).sum(), abs=1e-4)
    assert small.score(X) <= np.log(3)


def _cosines(X):
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("dump", [pickle.dumps, lambda model: pickle.dumps(clone(model))])
def test_pickle(dump, few, small):
    model = pickle.loads(dump(small))
    if hasattr(model, "labels_"):
        np.testing.assert_array_equal(model.predict_proba(few[0]), small.predict_proba(few[0]))
    assert model.get_params() == small.get_params()


def test_joblib(few, small, tmp_path):
    joblib.dump(small, tmp_path / "model.joblib")
    model = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(model.predict(few[0]), small.labels_)


def test_fits_in_parallel(few):
    seeds = [0, 0]
    models = [SCANClusterer(3, effort="fast", random_state=seed) for seed in seeds]
    labels = joblib.Parallel(n_jobs=2)(joblib.delayed(m.fit_predict)(few[0]) for m in models)
    np.testing.assert_array_equal(*labels)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output(container, few):
    pytest.importorskip(container)
    clusterer = SCANClusterer(3, effort="fast", random_state=0).set_output(transform=container)
    frame = clusterer.fit_transform(few[0])
    assert list(frame.columns) == list(clusterer.get_feature_names_out())
    assert frame.columns[0] == "scanclusterer0"


class TestParts:
    """Nested parameters, parts of one's own, inheritance of settings."""

    def test_a_nested_parameter_puts_the_default_part_there(self):
        clusterer = SCANClusterer(3)
        assert clusterer.cluster_trainer is None
        clusterer.set_params(cluster_trainer__n_heads=4, neighbor_miner__n_neighbors=7)
        assert clusterer.cluster_trainer.n_heads == 4
        assert clusterer.neighbor_miner.n_neighbors == 7
        assert clusterer.get_params()["cluster_trainer__n_heads"] == 4
        copy = clone(clusterer)
        assert copy.cluster_trainer.n_heads == 4
        assert copy.cluster_trainer is not clusterer.cluster_trainer

    def test_a_name_is_replaced_by_its_extractor(self):
        clusterer = SCANClusterer(3, feature_extractor="efficientnet_lite0")
        clusterer.set_params(feature_extractor__image_size=96)
        assert clusterer.feature_extractor.model_name == "efficientnet_lite0"
        assert clusterer.feature_extractor.image_size == 96

    def test_skip_has_no_parameters(self):
        clusterer = SCANClusterer(3, self_label_trainer="skip")
        with pytest.raises(ValueError, match="self_label_trainer='skip' has no parameters"):
            clusterer.set_params(self_label_trainer__threshold=0.9)

    def test_unknown_nested_parameter(self):
        with pytest.raises(ValueError, match="colour"):
            SCANClusterer(3).set_params(cluster_trainer__colour="red")

    def test_parts_of_ones_own_are_not_changed(self, few):
        parts = {
            "feature_scaler": FeatureScaler(8),
            "neighbor_miner": NeighborMiner(9),
            "cluster_trainer": ClusterTrainer(n_heads=2),
            "self_label_trainer": SelfLabelTrainer(),
        }
        before = {name: part.get_params() for name, part in parts.items()}
        clusterer = SCANClusterer(3, **parts, random_state=0, n_jobs=1).fit(few[0])
        assert {name: part.get_params() for name, part in parts.items()} == before
        assert not hasattr(parts["feature_scaler"], "components_")
        assert clusterer.transform(few[0]).shape == (240, 8)
        assert (np.diff(clusterer.neighbors_.indptr) == 10).all()

    def test_sklearn_scaler_and_skipped_self_labelling(self, few):
        clusterer = SCANClusterer(
            3, feature_scaler=PCA(5), self_label_trainer="skip", effort="fast", random_state=0
        ).fit(few[0])
        assert "self_labeling" not in clusterer.timings_
        assert clusterer.n_features_in_ == 64
        assert clusterer.transform(few[0]).shape == (240, 5)

    def test_pipeline(self, few):
        X, y = few
        model = make_pipeline(PCA(20), SCANClusterer(3, effort="fast", random_state=0))
        assert clustering_accuracy(y, model.fit_predict(X)) > 0.9
        np.testing.assert_array_equal(model.predict(X), model[-1].labels_)

    def test_grid_search_with_and_without_labels(self, few):
        X, y = few
        grid = {"cluster_trainer__entropy_weight": [1, 5], "neighbor_miner__n_neighbors": [10]}
        search = GridSearchCV(SCANClusterer(3, effort="fast", random_state=0), grid, cv=2)
        without, right, shuffled = (
            clone(search).fit(X, labels)
            for labels in (None, y, np.random.RandomState(0).permutation(y))
        )
        for other in (right, shuffled):
            scores = [each.cv_results_["mean_test_score"] for each in (without, other)]
            assert np.isfinite(scores).all()
            np.testing.assert_array_equal(*scores)
            np.testing.assert_array_equal(
                without.best_estimator_.labels_, other.best_estimator_.labels_
            )
        assert without.best_estimator_.labels_.shape == y.shape


class TestMemory:
    """Caching of the stages before the heads."""

    def test_cached_results_are_the_same(self, few, small, tmp_path):
        clusterer = clone(small).set_params(memory=str(tmp_path))
        first = clusterer.fit(few[0]).labels_
        files = sorted(path for path in tmp_path.rglob("output.pkl"))
        second = clone(clusterer).fit(few[0]).labels_
        np.testing.assert_array_equal(first, small.labels_)
        np.testing.assert_array_equal(second, small.labels_)
        assert files
        assert sorted(tmp_path.rglob("output.pkl")) == files

    @pytest.mark.parametrize(
        "written", ["numpy_pickle.dump", "_store_backends.StoreBackendMixin.store_cached_func_code"]
    )
    def test_a_full_disk_costs_only_the_cache(self, written, few, small, tmp_path, monkeypatch):
        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(f"joblib.{written}", full)
        clusterer = clone(small).set_params(memory=str(tmp_path))
        with pytest.warns(SkscanWarning, match=r"memory=.*No space left on device"):
            labels = clusterer.fit(few[0]).labels_
        np.testing.assert_array_equal(labels, small.labels_)


class TestBadInput:
    """What users get for input that cannot work."""

    @pytest.mark.parametrize("value", [0, -3, 2.5, "ten", None])
    def test_n_clusters(self, value, few):
        with pytest.raises(ValueError, match="n_clusters"):
            SCANClusterer(value).fit(few[0])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("effort", "maximal"),
            ("memory", 3),
            ("cluster_trainer", "fast"),
            ("neighbor_miner", 20),
            ("feature_extractor", None),
            ("self_label_trainer", "no"),
            ("random_state", "seed"),
        ],
    )
    def test_parameters(self, name, value, few):
        with pytest.raises(ValueError, match=name):
            SCANClusterer(3, **{name: value}).fit(few[0])

    def test_unknown_device(self, few):
        with pytest.raises(ValueError, match="device='abacus'"):
            SCANClusterer(3, device="abacus").fit(few[0])

    def test_fewer_samples_than_clusters(self, few):
        with pytest.raises(ValueError, match=r"n_clusters=10 .* n_samples=4"):
            SCANClusterer(10).fit(few[0][:4])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, value, few, small):
        X = few[0].copy()
        X[3, 5] = value
        for method in (SCANClusterer(3).fit, small.predict, small.score):
            with pytest.raises(ValueError, match=r"X contains|Input X"):
                method(X)

    def test_sparse(self, few):
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            SCANClusterer(3).fit(csr_matrix(few[0]))

    def test_other_width(self, small):
        with pytest.raises(ValueError, match="has 7 features, but SCANClusterer is expecting 64"):
            small.predict(np.ones((4, 7)))

    def test_images_for_a_model_of_features(self, small):
        with pytest.raises(ValueError, match="X holds images"):
            small.predict(np.zeros((3, 32, 32, 3), dtype=np.uint8))

    def test_a_number(self):
        with pytest.raises(TypeError, match=r"X .*int"):
            SCANClusterer(2).fit(3)

    def test_one_sample(self):
        with pytest.raises(ValueError, match="at least 2 samples, got X with 1 sample"):
            SCANClusterer(1).fit(np.ones((1, 5)))

    def test_a_failed_fit_leaves_an_unfitted_clusterer(self, few):
        clusterer = SCANClusterer(10)
        with pytest.raises(ValueError, match="n_clusters"):
            clusterer.fit(few[0][:4])
        with pytest.raises(NotFittedError):
            clusterer.predict(few[0])

    def test_score_of_one_sample(self, few, small):
        with pytest.raises(ValueError, match="at least 2 samples"):
            small.score(few[0][:1])


class TestEdgeCases:
    """Input that is odd, but works."""

    @pytest.mark.parametrize("n_clusters", [1, 2, 19, 20])
    def test_few_samples(self, n_clusters):
        X = np.random.RandomState(0).randn(20, 40)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clusterer = SCANClusterer(n_clusters, effort="fast", random_state=0).fit(X)
        assert clusterer.probabilities_.shape == (20, n_clusters)
        assert clusterer.labels_.min() >= 0

    @pytest.mark.parametrize("n_features", [1, 3, 64])
    def test_all_rows_equal(self, n_features):
        X = np.full((30, n_features), 2.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clusterer = SCANClusterer(2, effort="fast", random_state=0).fit(X)
        assert np.isfinite(clusterer.probabilities_).all()
        assert len(set(clusterer.labels_)) == 1

    def test_empty_clusters_are_told(self):
        with pytest.warns(SkscanWarning, match="1 of n_clusters=2 clusters are empty"):
            SCANClusterer(2, effort="fast", random_state=0).fit(np.ones((30, 5)))

    def test_constant_columns(self, few):
        X, y = few
        X = np.column_stack([X, np.ones(len(X)), np.zeros(len(X))])
        clusterer = SCANClusterer(3, effort="fast", random_state=0).fit(X)
        assert clustering_accuracy(y, clusterer.labels_) > 0.9

    def test_own_scaler_need_not_be_ours(self, few):
        identity = FunctionTransformer()
        clusterer = SCANClusterer(3, feature_scaler=identity, effort="fast", random_state=0)
        assert clusterer.fit_transform(few[0]).shape == few[0].shape


def test_rows_of_unreadable_images_are_named_in_the_error():
    X = np.random.RandomState(0).standard_normal((20, 4))
    fitted = SCANClusterer(2, effort="fast", random_state=0).fit(X)
    X[3] = np.nan
    for call in (fitted.predict, SCANClusterer(2).fit):
        with pytest.raises(ValueError, match=r"contains NaN.*could not be read.*leave these rows"):
            call(X)
