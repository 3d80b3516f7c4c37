"""SCANClassifier: scikit-learn's conventions, labels of all kinds, constraints, and quality."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pytest
from image_factory import write_pictures
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import skscan
from skscan import FeatureScaler, LabelTrainer, SCANClassifier, SCANClusterer
from skscan.class_names import encode_labels, extend_names
from skscan.exceptions import SkippedImagesWarning, SkscanWarning
from skscan.metrics import clustering_accuracy

EXPECTED_FAILURES = {
    "check_classifiers_classes": (
        "the check has -1 as the name of a class, which stands for unknown; scikit-learn spares "
        "its own semi-supervised classifiers by their names"
    )
}


@parametrize_with_checks(
    [SCANClassifier(effort="fast", random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def labels_given(y, n_per_class, seed=0):
    """Keep so many labels of each class; -1 for the others."""
    rng = np.random.RandomState(seed)
    few = np.full(len(y), -1)
    for c in np.unique(y):
        rows = rng.choice(np.flatnonzero(y == c), n_per_class, replace=False)
        few[rows] = c
    return few


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def few():
    """240 digits of three classes, 4 labels of each."""
    X, y = load_digits(n_class=3, return_X_y=True)
    X, y = X[:240].astype(np.float32), y[:240]
    return X, y, labels_given(y, 4)


@pytest.fixture(scope="module")
def small(few):
    return SCANClassifier(effort="fast", random_state=0).fit(few[0], few[2])


def fast(**params):
    return SCANClassifier(effort="fast", random_state=0, **params)


def test_few_labels_beat_none_and_a_probe(digits):
    X, y = digits
    given = labels_given(y, 3)
    rest = given < 0
    model = SCANClassifier(random_state=0).fit(X, given)
    Z = FeatureScaler().fit_transform(X)
    probe = LogisticRegression(C=0.1, max_iter=500).fit(Z[~rest], y[~rest])
    clusters = SCANClusterer(10, random_state=0).fit_predict(X)
    ours = (model.labels_[rest] == y[rest]).mean()
    assert ours >= 0.92
    assert ours > probe.score(Z[rest], y[rest]) + 0.03
    assert ours > clustering_accuracy(y[rest], clusters[rest]) - 0.03


def test_attributes(small, few):
    X, y, given = few
    n = len(y)
    np.testing.assert_array_equal(small.classes_, [0, 1, 2])
    assert small.probabilities_.shape == (n, 3)
    np.testing.assert_allclose(small.probabilities_.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(small.labels_, small.probabilities_.argmax(axis=1))
    np.testing.assert_array_equal(small.is_labeled_, given >= 0)
    np.testing.assert_array_equal(small.labels_[small.is_labeled_], given[given >= 0])
    np.testing.assert_array_equal(small.predict(X)[given < 0], small.labels_[given < 0])
    np.testing.assert_array_equal(small.labels_[small.prototype_indices_], [0, 1, 2])
    assert small.neighbors_.shape == (n, n)
    assert (small.best_head_, len(small.heads_)) == (0, 1)
    assert {entry["stage"] for entry in small.history_} == {"clustering", "labels"}
    assert small.n_features_in_ == 64
    assert list(small.timings_)[-1] == "labels"
    assert small.score(X[given < 0], y[given < 0]) > 0.85


def test_same_seed_gives_the_same(small, few):
    X, _, given = few
    again = clone(small).fit(X, given)
    np.testing.assert_array_equal(again.probabilities_, small.probabilities_)


def test_order_of_rows_and_scale_matter_little(few, small):
    X, y, given = few
    order = np.random.RandomState(1).permutation(len(X))
    shuffled = fast().fit(X[order], given[order])
    rest = given < 0
    right = [(shuffled.labels_ == y[order])[rest[order]].mean(), (small.labels_ == y)[rest].mean()]
    assert min(right) > 0.85  # heads start elsewhere, so single samples may fall otherwise
    scaled = fast().fit(X.astype(np.float64) * 1000, given)
    assert (scaled.labels_ == small.labels_).mean() > 0.97


def test_names_are_only_names(few, small):
    X, _, given = few
    permuted = np.array([7, 3, 5])
    other = fast().fit(X, np.where(given < 0, -1, permuted[given]))
    np.testing.assert_array_equal(other.classes_, [3, 5, 7])
    assert (other.labels_ == permuted[small.labels_]).mean() > 0.97


@pytest.mark.parametrize("kind", ["object", "object of strings", "strings", "list", "column"])
def test_strings_as_labels(few, small, kind):
    X, _, given = few
    names = np.array(["ant", "bee", "cat"])
    y = [-1 if code < 0 else str(names[code]) for code in given]
    if kind == "object":
        y = np.array(y, dtype=object)
    elif kind == "object of strings":
        y = np.array([str(label) for label in y], dtype=object)
    elif kind == "strings":
        y = np.array([str(label) for label in y])
    elif kind == "column":
        y = np.array(y, dtype=object)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fast().fit(X, y)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    np.testing.assert_array_equal(model.labels_, names[small.labels_])
    assert model.score(X, y) == small.score(X, given)


def test_labels_of_other_kinds(few, small):
    X, _, given = few
    as_float = fast().fit(X, given.astype(np.float64))
    np.testing.assert_array_equal(as_float.labels_, small.labels_)
    everything = fast().fit(X, few[1] > 0)
    assert everything.classes_.tolist() == [False, True]
    np.testing.assert_array_equal(everything.labels_, few[1] > 0)


def test_score_leaves_unknown_out(small, few):
    X, y, given = few
    assert small.score(X, given) == small.score(X[given >= 0], y[given >= 0])
    with pytest.raises(ValueError, match="at least one sample whose class is known"):
        small.score(X, np.full(len(y), -1))
    with pytest.raises(ValueError, match="y has shape"):
        small.score(X, y[:5])
    weight = (small.predict(X) == y).astype(float)
    assert small.score(X, y, sample_weight=weight) == 1


def test_more_clusters_than_labelled_classes(few):
    X, y, given = few
    known = np.where(given == 2, -1, given)
    model = fast(n_clusters=3).fit(X, known)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    assert (model.labels_ == y).mean() > 0.93
    names = np.array(["new 1", "zero"])
    strings = fast(n_clusters=4).fit(X, [-1 if code < 0 else names[code] for code in known])
    assert strings.classes_.tolist() == ["new 1", "zero", "new 2", "new 3"]
    alone = fast(n_clusters=3).fit(X, np.where(given == 1, 8, -1))
    np.testing.assert_array_equal(alone.classes_, [8, 9, 10])
    assert (alone.labels_[y == 1] == 8).mean() > 0.9
    with pytest.raises(ValueError, match="y holds labels of type bool, beside which"):
        fast(n_clusters=3).fit(X, y > 0)
    with pytest.raises(ValueError, match=r"y holds labels of type datetime64\[D\], beside"):
        fast(n_clusters=4).fit(X, y.astype("datetime64[D]"))
    with pytest.warns(SkscanWarning, match="n_clusters=2 is less than the 3 classes in y; 3 are"):
        assert len(fast(n_clusters=2).fit(X, given).classes_) == 3


@pytest.mark.parametrize(
    ("names", "extra"),
    [
        (np.array([0, 1, 254, 255], np.uint8), [2, 3]),
        (np.array([124, 127], np.int8), [0, 1]),
        (np.array([125, 126], np.int8), [0, 1]),
        (np.array([0, 2**63 - 1]), [1, 2]),
        (np.arange(256, dtype=np.uint8), [256, 257]),
        (np.array([1.0, 2.0**53]), [0.0, 2.0]),
        (np.array([-5, -3]), [0, 1]),
        (np.array([1.5, 2.5]), [3.0, 4.0]),
    ],
)
def test_numbers_of_further_clusters_are_not_taken(names, extra):
    extended = extend_names(names, 2)
    assert extended.tolist() == [*names.tolist(), *extra]


def test_pairs_are_obeyed(few):
    X, y, given = few
    rest = np.flatnonzero(given < 0)
    chain = [rest[y[rest] == 0][0], rest[y[rest] == 1][0], rest[y[rest] == 0][1]]
    zeros = rest[y[rest] == 0][5:8]
    model = fast().fit(
        X,
        given,
        must_link=list(pairwise(chain)),
        cannot_link=[(zeros[0], zeros[1]), (zeros[1], zeros[2]), (zeros[0], zeros[2])],
    )
    assert len(set(model.labels_[chain])) == 1
    assert len(set(model.labels_[zeros])) == 3
    np.testing.assert_array_equal(model.labels_[given >= 0], given[given >= 0])
    taught = fast().fit(X, given, must_link=[(rest[0], np.flatnonzero(given == 1)[0])])
    assert taught.labels_[rest[0]] == 1
    assert taught.is_labeled_[rest[0]]
    assert rest[0] not in taught.suggest(50)


def test_right_pairs_help(digits):
    X, y = digits
    X, y = X[:600], y[:600]
    given = labels_given(y, 1)
    rng = np.random.RandomState(0)
    pairs = rng.choice(len(y), (400, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    same = y[pairs[:, 0]] == y[pairs[:, 1]]
    with_pairs = fast().fit(X, given, must_link=pairs[same], cannot_link=pairs[~same])
    without = fast().fit(X, given)
    touched = np.isin(np.arange(len(y)), pairs)
    gain = (with_pairs.labels_ == y)[touched].mean() - (without.labels_ == y)[touched].mean()
    assert gain > 0


def test_wrong_input_is_explained(few):
    X, _, given = few
    with pytest.raises(ValueError, match="y has 5 labels for 240 samples"):
        fast().fit(X, given[:5])
    with pytest.raises(ValueError, match=r"no label at all.*SCANClusterer"):
        fast().fit(X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="one class only, 1"):
        fast().fit(X, np.where(given == 1, 1, -1))
    with pytest.raises(ValueError, match="target y is None"):
        fast().fit(X, None)
    with pytest.raises(ValueError, match="y mixes labels that cannot be sorted"):
        fast().fit(X, np.array([0, "a", *given[2:]], dtype=object))
    with pytest.raises(ValueError, match="cannot_link has the index 240"):
        fast().fit(X, given, cannot_link=[(0, 240)])
    first, second = np.flatnonzero(given == 0)[0], np.flatnonzero(given == 1)[0]
    with pytest.raises(ValueError, match=f"must_link joins samples .*{first}"):
        fast().fit(X, given, must_link=[(first, second)])


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("names", [[0, 1], ["a", "b"]])
def test_missing_labels_are_refused_by_one_message(missing, names):
    y = np.array([names[0], missing, names[1], missing], dtype=object)
    with pytest.raises(ValueError, match=r"y contains NaN .*\(2 of 4, the first at 1\).*-1"):
        encode_labels(y)


def test_missing_labels_of_pandas_own_types_are_refused():
    pd = pytest.importorskip("pandas")
    for dtype in ("string", "category", "Int64"):
        values = [1, 2, None] if dtype == "Int64" else ["a", "b", None]
        with pytest.raises(ValueError, match="another missing value"):
            encode_labels(pd.Series(values, dtype=dtype))


def test_one_label_of_each_of_many_classes_is_no_reason_to_warn(recwarn):
    X, _ = load_digits(return_X_y=True)
    given = np.full(300, -1)
    given[:25] = np.arange(25)
    fast().fit(X[:300], given)
    assert not [str(each.message) for each in recwarn if "regression" in str(each.message)]


def test_suggestions(small, few):
    _, _, given = few
    chosen = small.suggest(20)
    assert len(set(chosen)) == 20
    assert (given[chosen] < 0).all()
    np.testing.assert_array_equal(small.suggest(), chosen[:1])
    for wrong in (0, 229, 1.5):
        with pytest.raises(ValueError, match="1 to the number of samples without a label, 228"):
            small.suggest(wrong)


def test_nothing_is_suggested_where_all_have_labels(few):
    X, y, _ = few
    with pytest.raises(ValueError, match=r"no sample to name: all .* have labels"):
        fast().fit(X[:60], y[:60]).suggest()


def test_pipeline_and_grid_search(few):
    X, y, given = few
    model = make_pipeline(PCA(30), fast()).fit(X, given)
    assert model.score(X, y) > 0.85
    grid = {"label_trainer__spreading": [0.0, 0.9], "cluster_trainer__n_heads": [3]}
    search = GridSearchCV(fast(), grid, cv=2, error_score="raise").fit(X, given)
    assert isinstance(search.best_estimator_.label_trainer, LabelTrainer)
    assert search.best_score_ > 0.7


def test_pickle_and_save(small, few, tmp_path):
    X, _, given = few
    for again in (
        pickle.loads(pickle.dumps(small)),
        skscan.load(skscan.save(small, tmp_path / "model")),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), small.predict_proba(X))
        np.testing.assert_array_equal(again.labels_, small.labels_)
        np.testing.assert_array_equal(again.suggest(5), small.suggest(5))
    y = np.array([-1 if code < 0 else f"digit {code}" for code in given], dtype=object)
    named = fast(label_trainer=LabelTrainer(n_steps=20)).fit(X, y)
    again = skscan.load(skscan.save(named, tmp_path / "named"))
    np.testing.assert_array_equal(again.predict(X), named.predict(X))
    assert again.get_params()["label_trainer__n_steps"] == 20


def test_transform_and_cache(small, few, tmp_path):
    X, _, given = few
    model = fast(memory=str(tmp_path))
    Z = model.fit_transform(X, given)
    np.testing.assert_allclose(Z, small.transform(X), atol=1e-5)
    again = fast(memory=str(tmp_path)).fit(X, given)
    np.testing.assert_array_equal(again.probabilities_, model.probabilities_)


def test_images_of_which_some_cannot_be_read(tmp_path):
    folder = tmp_path / "photos"
    write_pictures(folder)
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file()) * 3
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    paths.insert(1, str(broken))
    y = np.full(len(paths), -1)
    y[[0, 2]] = 4, 7
    model = fast(feature_extractor=skscan.PixelFeatureExtractor(), cluster_trainer=None)
    with pytest.warns(SkippedImagesWarning):
        model.fit(paths, y)
    assert model.labels_[[0, 1, 2]].tolist() == [4, -1, 7]
    assert np.isnan(model.probabilities_[1]).all()
    assert 1 not in model.suggest(len(paths) - 3)
    with pytest.warns(SkippedImagesWarning):
        assert model.predict(paths)[1] == -1
    y[1] = 9
    with (
        pytest.warns(SkippedImagesWarning),
        pytest.raises(ValueError, match="no image with the label 9 could be read"),
    ):
        model.fit(paths, y)
    with pytest.raises(ValueError, match=f"y has 3 labels for {len(paths)} samples"):
        model.fit(paths, y[:3])
