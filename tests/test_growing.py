"""New samples in a fitted clusterer, beside what a fit on all of them would find."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits

from skscan import NeighborMiner, PixelFeatureExtractor, SCANClusterer, _growing, load, save
from skscan._growing import Growth, grow
from skscan.images import as_collection

N_OLD = 150


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Paths of 200 digits of four kinds; the first 150 are those of the fit."""
    folder = tmp_path_factory.mktemp("digits")
    images = load_digits(n_class=4).images[:200]
    paths = []
    for number, image in enumerate(images):
        path = folder / f"{number:03d}.png"
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def fitted(digits):
    return SCANClusterer(
        4, feature_extractor=PixelFeatureExtractor(), effort="fast", random_state=0
    ).fit(digits[:N_OLD])


def grown_by(model, paths, earlier):
    return grow(model, as_collection(paths), np.asarray(earlier))


def test_earlier_samples_stay_and_new_ones_are_predicted(fitted, digits):
    growth = grown_by(fitted, digits, [*range(N_OLD), *[-1] * 50])
    model = growth.model
    assert_array_equal(model.labels_[:N_OLD], fitted.labels_)
    assert_array_equal(model.probabilities_[:N_OLD], fitted.probabilities_)
    assert_array_equal(model.labels_, fitted.predict(digits))
    assert_array_equal(growth.new, np.arange(N_OLD, 200))
    assert len(fitted.labels_) == N_OLD  # the model that was given is left as it is
    assert fitted.neighbors_.shape == (N_OLD, N_OLD)


def test_neighbors_of_new_samples_are_the_nearest_of_all(fitted, digits):
    # new ones stand between the others
    paths = [path for pair in zip(digits[:50], digits[150:], strict=True) for path in pair]
    paths += digits[50:N_OLD]
    earlier = [row for number in range(50) for row in (number, -1)] + list(range(50, N_OLD))
    model = grown_by(fitted, paths, earlier).model
    expected = NeighborMiner(20).fit_transform(fitted.transform(paths))
    for row in range(1, 100, 2):
        part = slice(model.neighbors_.indptr[row], model.neighbors_.indptr[row + 1])
        own = expected[row]
        assert model.neighbors_.indices[part][0] == row
        assert set(model.neighbors_.indices[part]) == set(own.indices)
        np.testing.assert_allclose(
            np.sort(model.neighbors_.data[part]), np.sort(own.data), atol=1e-4
        )
    old = expected.shape[0] - 1
    assert set(model.neighbors_[old].indices) <= set(np.flatnonzero(np.asarray(earlier) >= 0))


def test_samples_that_are_gone_are_nobody_s_neighbor_or_prototype(fitted, digits):
    gone = set(fitted.prototype_indices_.tolist())
    earlier = [row for row in range(N_OLD) if row not in gone]
    model = grown_by(fitted, [digits[row] for row in earlier], earlier).model
    assert model.neighbors_.shape == (N_OLD - 4, N_OLD - 4)
    for row in (0, 70, 145):
        before = [old for old in fitted.neighbors_[earlier[row]].indices if old not in gone]
        assert [earlier[now] for now in model.neighbors_[row].indices] == before
    assert_array_equal(model.labels_[model.prototype_indices_], np.arange(4))
    for cluster, row in enumerate(model.prototype_indices_):
        members = model.probabilities_[model.labels_ == cluster, cluster]
        assert model.probabilities_[row, cluster] == members.max()


def test_growing_twice_is_growing_once(fitted, digits, tmp_path):
    once = grown_by(fitted, digits, [*range(N_OLD), *[-1] * 50]).model
    half = grown_by(fitted, digits[:175], [*range(N_OLD), *[-1] * 25]).model
    half = load(save(half, tmp_path / "model"))
    twice = grown_by(half, digits, [*range(175), *[-1] * 25])
    assert_array_equal(twice.model.labels_, once.labels_)
    np.testing.assert_allclose(twice.model.outlier_scores_, once.outlier_scores_, rtol=1e-5)
    last = slice(once.neighbors_.indptr[175], None)
    # those that came last were compared with all
    assert_array_equal(twice.model.neighbors_.indices[last], once.neighbors_.indices[last])
    assert twice.n_added == 50


def test_copies_of_earlier_images_are_near_duplicates(fitted, digits):
    growth = grown_by(fitted, [*digits[:N_OLD], digits[7]], [*range(N_OLD), -1])
    pairs = growth.model.near_duplicates_.tolist()
    assert [7, N_OLD] in pairs
    # measured to others than itself, as in the fit
    assert growth.model.outlier_scores_[N_OLD] == pytest.approx(fitted.outlier_scores_[7], rel=1e-3)


def test_of_many_samples_some_are_compared_with(fitted, digits, monkeypatch):
    monkeypatch.setattr(_growing, "MAX_REFERENCES", 100)
    model = grown_by(fitted, digits[:175], [*range(N_OLD), *[-1] * 25]).model
    assert len(model._known_rows) == len(set(model._known_rows)) == 100
    assert model.labels_.shape == (175,)
    again = grown_by(model, digits, [*range(175), *[-1] * 25]).model
    compared = {*model._known_rows.tolist(), *range(175, 200)}
    assert set(again.neighbors_[199].indices) <= compared


def test_a_model_of_a_search_has_its_number_and_can_no_longer_be_cut(digits):
    model = SCANClusterer(
        "auto", feature_extractor=PixelFeatureExtractor(), effort="fast", random_state=0
    ).fit(digits[:N_OLD])
    grown = grown_by(model, digits[:160], [*range(N_OLD), *[-1] * 10]).model
    assert grown.n_clusters == model.n_clusters_
    with pytest.raises(ValueError, match="cut needs the merge tree"):
        grown.cut(2)
    assert model.cut(2).n_clusters_ == 2


def test_a_new_fit_forgets_the_growth(fitted, digits):
    grown = grown_by(fitted, digits, [*range(N_OLD), *[-1] * 50]).model
    anew = grown.fit(digits[:100])
    again = grown_by(anew, digits[:120], [*range(100), *[-1] * 20])
    assert again.n_added == 20
    assert again.model.neighbors_.shape == (120, 120)


def test_a_model_without_its_samples_is_refused(fitted, digits, tmp_path):
    model = load(save(fitted, tmp_path / "model"))
    del model._outlier_scorer
    with pytest.raises(ValueError, match="holds none of the samples"):
        grown_by(model, digits[:2], [0, 1])


@pytest.mark.parametrize(
    ("n_added", "n_far", "fits"),
    [
        (9, 9, True),  # too few to tell
        (10, 10, False),
        (60, 16, True),  # more than a fifth, as may be by chance
        (60, 19, False),
        (10_000, 2_050, True),
        (10_000, 2_100, False),
        (0, 0, True),
    ],
)
def test_classes_do_not_suit_where_surely_many_lie_far_off(fitted, n_added, n_far, fits):
    nothing = np.zeros(0, dtype=np.intp)
    assert Growth(fitted, nothing, nothing, n_added, n_far).fits is fits
