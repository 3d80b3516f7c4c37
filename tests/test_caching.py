"""A cache that is damaged, full or no folder."""

import gc
import os
import warnings
import weakref

import numpy as np
import pytest
from joblib import Memory
from sklearn.datasets import load_digits

from skscan import NeighborMiner, SCANClusterer
from skscan._caching import call_cached, checked_memory
from skscan._matrices import cached_graph
from skscan.exceptions import SkscanWarning

calls: list[int] = []


def squares(n: int) -> np.ndarray:
    calls.append(n)
    return np.arange(n) ** 2


def failing(n: int) -> None:
    calls.append(n)
    raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


@pytest.fixture
def full(monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("joblib.numpy_pickle.dump", fail)


def cut_short(folder):
    entries = list(folder.rglob("output.pkl"))
    assert entries
    for entry in entries:
        os.truncate(entry, 20)


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_results_that_were_cut_short_are_told_of_once_and_replaced(tmp_path, mmap_mode, caplog):
    memory = Memory(str(tmp_path), verbose=0)
    expected = np.array(call_cached(memory, squares, (5,), mmap_mode=mmap_mode))
    cut_short(tmp_path)
    with pytest.warns(SkscanWarning, match=r"memory=.* are damaged or cut short") as told:
        found = call_cached(memory, squares, (5,), mmap_mode=mmap_mode)
    assert len(told) == 1
    assert str(tmp_path) in str(told[0].message)
    assert not caplog.records
    np.testing.assert_array_equal(found, expected)
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(call_cached(memory, squares, (5,)), expected)
    assert calls == [5, 5]


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_what_was_computed_is_not_lost_with_a_full_disk(tmp_path, mmap_mode, full):
    memory = Memory(str(tmp_path), verbose=0)
    with pytest.warns(SkscanWarning, match=r"memory=.*\(.*No space left on device\)") as told:
        found = call_cached(memory, squares, (4,), mmap_mode=mmap_mode)
    assert len(told) == 1
    assert calls == [4]
    np.testing.assert_array_equal(found, [0, 1, 4, 9])


def test_large_results_are_mapped_and_what_was_computed_is_let_go_of(tmp_path):
    computed = []

    def count(n):
        result = np.arange(n)
        computed.append(weakref.ref(result))
        return result

    gc.disable()
    try:
        for _ in range(2):  # as it is computed, and from the cache
            memory = Memory(str(tmp_path), verbose=0)
            found = call_cached(memory, count, (9,), mmap_mode="r")
            assert isinstance(found, np.memmap)
            np.testing.assert_array_equal(found, np.arange(9))
        assert [result() is None for result in computed] == [True]
    finally:
        gc.enable()


def test_compressed_results_are_read(tmp_path):
    with warnings.catch_warnings(action="error"):
        for _ in range(2):
            memory = Memory(str(tmp_path), compress=True, verbose=0)
            found = call_cached(memory, squares, (6,), mmap_mode="r")
            np.testing.assert_array_equal(found, np.arange(6) ** 2)
    assert calls == [6]


def test_a_fit_takes_large_features_as_they_are_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("skscan._matrices.MAX_BYTES_READ", 0)
    X = load_digits().data[:600].astype(np.float32)
    plain = SCANClusterer(10, random_state=0).fit(X)
    for _ in range(2):
        mapped = SCANClusterer(10, memory=tmp_path, random_state=0)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*not writable.*")
            mapped.fit(X)
        assert not mapped.neighbors_.data.flags.writeable
        np.testing.assert_array_equal(mapped.labels_, plain.labels_)


def test_a_note_of_a_function_that_is_no_text_is_made_anew(tmp_path):
    memory = Memory(tmp_path, verbose=0)
    call_cached(memory, squares, (4,))
    (note,) = tmp_path.rglob("func_code.py")
    note.write_bytes(b"\x8e\x00\xff")
    with pytest.warns(SkscanWarning, match=r"memory='.*' are damaged or cut short"):
        assert call_cached(memory, squares, (4,)).tolist() == [0, 1, 4, 9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_cached(memory, squares, (4,))
        call_cached(memory, squares, (4,))
    assert calls == [4, 4, 4]  # kept again from the second call on


def test_an_error_of_the_function_is_its_own(tmp_path):
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(OSError, match="No space left"),
    ):
        call_cached(Memory(str(tmp_path), verbose=0), failing, (1,))
    assert calls == [1]


def test_warnings_of_the_function_pass(tmp_path):
    memory = Memory(str(tmp_path), verbose=0)
    X = np.random.RandomState(0).rand(5, 2)
    with pytest.warns(SkscanWarning, match="n_neighbors=9 is more than"):
        cached_graph(memory, NeighborMiner(9), X)


@pytest.mark.parametrize("place", ["afile", "afile/within"])
def test_a_memory_that_is_no_folder_is_named(place, tmp_path):
    (tmp_path / "afile").write_text("")
    memory = str(tmp_path / place)
    X, _ = load_digits(return_X_y=True)
    with pytest.raises(ValueError, match=r"memory='.*' cannot be used .* takes a folder") as error:
        SCANClusterer(2, memory=memory).fit(X)
    assert repr(memory) in str(error.value)


def test_a_folder_that_cannot_be_written_to_is_found_before_any_work(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied", options["dir"])

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for memory in (str(tmp_path), Memory(tmp_path, verbose=0)):
        with pytest.raises(ValueError, match=r"memory='.*' cannot be used \(Permission denied\)"):
            checked_memory(memory)
    assert checked_memory(None).location is None


def test_a_disk_without_room_for_a_folder_costs_only_the_cache(tmp_path, monkeypatch):
    def refuse(**options):
        raise OSError(28, "No space left on device", options["dir"])

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.warns(SkscanWarning, match=r"memory=.*No space left on device"):
        memory = checked_memory(str(tmp_path))
    assert memory.location is None
