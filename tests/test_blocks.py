"""What is computed in blocks of rows is what all rows at once give, and takes bounded memory."""

import numpy as np
import pytest
from scipy import sparse

from skscan import ClusterTrainer, NeighborMiner, SCANClusterer, _blocks, _fitted, selection
from skscan._blocks import edges_in_blocks, row_blocks
from skscan._files import allocate_array, release_pages
from skscan.duplicates import near_duplicates
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.outliers import OutlierScorer
from skscan.selection import criteria_of_heads, scan_terms_of_heads
from skscan.training.batched_heads import center_heads


@pytest.fixture
def sample():
    rng = np.random.RandomState(0)
    features = rng.randn(300, 6).astype(np.float32)
    features[7] = features[200] + 1e-4
    graph = NeighborMiner(8).fit_transform(features)
    heads = center_heads(features, rng.randint(4, size=(300, 2)), 4)
    return features, graph, heads


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_blocks, "MAX_ENTRIES", 50)
    monkeypatch.setattr(_blocks, "MAX_EDGES", 70)


def test_blocks_cover_all_rows_once():
    for n_rows, n_columns, most in [(10, 3, 7), (10, 3, 2), (1, 1, 1), (0, 4, 8)]:
        rows = np.arange(n_rows)
        blocks = [rows[block] for block in row_blocks(n_rows, n_columns, most)]
        assert np.concatenate([rows[:0], *blocks]).tolist() == rows.tolist()
        assert all(len(block) * n_columns <= max(most, n_columns) for block in blocks)


def test_edges_come_in_order_also_of_empty_rows(small_blocks):
    graph = sparse.random(90, 90, 0.1, random_state=0, format="csr")
    graph = sparse.vstack([sparse.csr_matrix((30, 90)), graph[30:]]).tocsr()
    expected = graph.tocoo()
    rows, columns, values = map(np.concatenate, zip(*edges_in_blocks(graph), strict=True))
    np.testing.assert_array_equal(rows, expected.row)
    np.testing.assert_array_equal(columns, expected.col)
    np.testing.assert_array_equal(values, expected.data)


def results_of(features, graph, heads):
    table = neighbor_table(graph)
    found = {"table": table, "affinity": symmetric_affinity(table).toarray()}
    found |= criteria_of_heads(heads, features, table)
    found["duplicates"] = near_duplicates(graph)
    found["outliers"] = OutlierScorer.fit(features, np.zeros(len(features)), graph)[1]
    found["labels"], found["confidences"] = heads.predict_with_confidence(features, 1)
    found["predicted"] = heads.predict(features)
    return found


def test_blocks_give_what_all_rows_at_once_give(sample, monkeypatch):
    expected = results_of(*sample)
    monkeypatch.setattr(_blocks, "MAX_ENTRIES", 50)
    monkeypatch.setattr(_blocks, "MAX_EDGES", 70)
    found = results_of(*sample)
    assert [7, 200] in expected["duplicates"].tolist()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_loss_of_some_samples_is_near_that_of_all(sample, monkeypatch):
    features, graph, heads = sample
    table = neighbor_table(graph)
    consistency, entropy = scan_terms_of_heads(heads, features, table)
    monkeypatch.setattr(selection, "LOSS_ENTRIES", 1)
    of_all = scan_terms_of_heads(heads, features, table)
    np.testing.assert_allclose(of_all, [consistency, entropy], rtol=1e-5)
    monkeypatch.setattr(selection, "LOSS_SAMPLES", 150)
    of_some = scan_terms_of_heads(heads, features, table)
    np.testing.assert_allclose(of_some, [consistency, entropy], rtol=0.05)


def test_large_probabilities_are_mapped_from_a_file(sample, monkeypatch):
    features = sample[0]
    trainer = ClusterTrainer(n_heads=2, starts=["k-means"], n_epochs=2)
    parts = {"cluster_trainer": trainer, "self_label_trainer": "skip", "random_state": 0}
    clusterer = SCANClusterer(4, **parts).fit(features)
    expected = clusterer.predict_proba(features)
    assert not isinstance(clusterer.probabilities_, np.memmap)
    monkeypatch.setattr(_fitted, "MAX_PROBABILITY_BYTES", 0)
    mapped = SCANClusterer(4, **parts).fit(features)
    assert isinstance(mapped.probabilities_, np.memmap)
    np.testing.assert_allclose(mapped.probabilities_, expected, atol=1e-6)
    np.testing.assert_array_equal(mapped.labels_, mapped.predict(features))
    np.testing.assert_array_equal(mapped.ambiguous_indices_, clusterer.ambiguous_indices_)


def test_released_pages_keep_their_content():
    mapped = allocate_array((100, 5), np.float32, "numbers", 0)
    mapped[:] = 3
    release_pages(np.asarray(mapped)[10:20])
    release_pages(np.ones(3))
    assert (mapped == 3).all()


def test_privately_mapped_changes_are_not_lost(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(5000))
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[:] = 1
    release_pages(private[10:])
    assert (private == 1).all()
