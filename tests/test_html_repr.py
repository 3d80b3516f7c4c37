"""What a notebook shows of fitted estimators."""

from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs

from skscan import SCANClassifier, SCANClusterer
from skscan._html_repr import MAX_ROWS, html_summary


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(90, n_features=5, centers=3, random_state=0)


def test_a_fitted_clusterer_shows_its_clusters(blobs):
    clusterer = SCANClusterer(3, effort="fast", random_state=0).fit(blobs[0])
    summary = Tags(html_summary(clusterer))
    assert not summary.open
    assert "script" not in summary.seen
    assert "90 samples in 3 clusters" in summary.text[0]
    for size in np.bincount(clusterer.labels_):
        assert str(size) in summary.text
    assert html_summary(clusterer) in clusterer._repr_mimebundle_()["text/html"]
    assert html_summary(clone(clusterer)) == ""
    assert clone(clusterer)._repr_mimebundle_()["text/html"]


def test_a_converted_clusterer_has_no_samples_to_show(blobs):
    clusterer = SCANClusterer(3, effort="fast", random_state=0).fit(blobs[0])
    clusterer.probabilities_ = np.empty((0, 3), dtype=np.float32)
    assert html_summary(clusterer) == ""


def test_names_of_classes_are_escaped(blobs):
    X, y = blobs
    names = np.array(["<script>alert(1)</script>", 'a "b" & c', "x" * 100], dtype=object)[y]
    names[30:] = -1
    html = html_summary(SCANClassifier(effort="fast", random_state=0).fit(X, names))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "x" * 50 not in html


def test_many_clusters_are_counted():
    clusterer = SCANClusterer(30, effort="fast", self_label_trainer="skip", random_state=0)
    clusterer.fit(np.random.RandomState(0).normal(size=(300, 4)))
    summary = Tags(html_summary(clusterer))
    assert summary.seen.count("tr") == MAX_ROWS + 2
    assert "and 10 more" in summary.text
