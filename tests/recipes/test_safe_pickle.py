"""Pickles are read without running what they ask for."""

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from skscan.recipes.safe_pickle import UnsafePickleError, read_plain_pickle

DATA = {
    "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    b"labels": [1, 2, 3],
    "nested": {"names": ("a", b"b\xff", None, True, 1.5)},
}


def dump(folder: Path, value: object, protocol: int = 2) -> Path:
    path = folder / "file"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_pickle_wrote(tmp_path, protocol):
    read = read_plain_pickle(dump(tmp_path, DATA, protocol))
    for name in ("data", "columns first"):
        np.testing.assert_array_equal(read[name], DATA[name])
        assert read[name].dtype == DATA[name].dtype
    assert read[b"labels"] == DATA[b"labels"]
    assert read["nested"] == DATA["nested"]


def test_reads_pickles_of_python_2(tmp_path):
    # what Python 2 wrote for {"data": array([[1, 255]], dtype=uint8)}: strings are its own
    by_hand = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x01K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbs."
    )
    path = tmp_path / "file"
    path.write_bytes(by_hand)
    pickletools.dis(by_hand, out=open(os.devnull, "w"))  # noqa: SIM115
    np.testing.assert_array_equal(read_plain_pickle(path)[b"data"], [[1, 255]])


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_refuses_by_name_what_a_malicious_file_wants(tmp_path, protocol):
    victim = tmp_path / "made by the attack"
    attack = {"data": Malicious(os.mkdir, str(victim))}
    with pytest.raises(UnsafePickleError, match=r"file: refused, it asks for \w+\.mkdir"):
        read_plain_pickle(dump(tmp_path, attack, protocol))
    assert not victim.exists()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Malicious(eval, "1"), r"__builtin__\.eval"),
        (Malicious(getattr, "a", "upper"), "getattr"),
        (np.float64(1), "scalar"),
        (np.ones(3), "type 'f8'"),
        (np.array([None]), "type 'O8'"),
        (np.array(["a"]), "type 'U1'"),
        (Path("x"), "Path"),
        (np.ma.masked_array([1]), "numpy"),
        (np.ndarray, "something else"),
        (np.dtype("u1"), "something else"),
        ({1, 2}, "set"),
    ],
)
def test_refuses_everything_but_plain_data(tmp_path, value, wanted):
    with pytest.raises(UnsafePickleError, match=wanted):
        read_plain_pickle(dump(tmp_path, {"data": value}))


@pytest.mark.parametrize(
    "by_hand",
    [
        b"cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",  # writes an attribute to a stand-in
        b"cnumpy\nndarray\nN}X\x09\x00\x00\x00__class__K\x01s\x86b.",  # changes its class
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"\x80\x04\x82\x01.",  # an extension code
        b"Pname\n.",
        b"(I1\nI2\nd.x",
        b"",
        b"\x80",
        b"not a pickle",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nI0\n(lNtR.",
    ],
)
def test_odd_files_are_clear_errors(tmp_path, by_hand):
    path = tmp_path / "file"
    path.write_bytes(by_hand)
    if by_hand == b"(I1\nI2\nd.x":
        assert read_plain_pickle(path) == {1: 2}  # what follows the end is never read
        return
    with pytest.raises(ValueError, match=str(path)):
        read_plain_pickle(path)


def test_every_cut_of_a_file_is_a_clear_error(tmp_path):
    whole = pickle.dumps(DATA, protocol=2)
    path = tmp_path / "file"
    for n_bytes in range(0, len(whole), 7):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(ValueError, match=r"cut short|refused"):
            read_plain_pickle(path)


def test_random_damage_never_escapes(tmp_path):
    whole = pickle.dumps(DATA, protocol=2)
    rng = np.random.RandomState(0)
    path = tmp_path / "file"
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.randint(len(whole), size=3):
            damaged[place] = rng.randint(256)
        path.write_bytes(bytes(damaged))
        try:
            read_plain_pickle(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    nested: list = [0] * 100
    for _ in range(5):
        nested = [nested] * 100
    with pytest.raises(UnsafePickleError, match="far more than its size"):
        read_plain_pickle(dump(tmp_path, nested))


def test_a_claimed_place_in_the_memo_takes_no_memory(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"Nr\xff\xff\xff\xff.")  # remember None as object number 2^32 - 1
    assert read_plain_pickle(path) is None
