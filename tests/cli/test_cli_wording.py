"""What a command says besides its results: in the words of its options, and not with --quiet."""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from skscan.cli import main
from skscan.cli.terminal import complain, note, speaking
from skscan.cli.wording import in_options
from skscan.engines.choice import check_choice
from skscan.exceptions import SkscanWarning
from skscan.networks.heads import LinearHeads
from skscan.training.results import undone

CLUSTER = {"-k", "--device", "--engine", "--errors", "--precision", "--backbone", "--weights"}


@pytest.fixture
def command(capsys):
    """Run a command as the script does; return exit code, stdout and stderr."""

    def run(*arguments):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def with_an_empty_image(digits_folder):
    (digits_folder / "empty.png").write_bytes(b"")
    return digits_folder


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("device='abacus' cannot be used", "--device abacus cannot be used"),
        ("(engine='onnx', precision=\"bfloat16\")", "(--engine onnx, --precision bfloat16)"),
        ("a file, weights=path", "a file, --weights path"),
        ("2 of n_clusters=9 clusters are empty", "2 of the 9 clusters are empty"),
        (
            "n_clusters=5 must not be more than the number of samples, got X with n_samples=4.",
            "-k 5 must not be more than the number of samples, of which 4 could be read.",
        ),
        (
            'Mend or remove them, or stop at the first with errors="raise".',
            "Mend or remove them, or stop at the first with --errors raise.",
        ),
        (
            "Features could not be kept in memory='/c' (full). Make room there, or choose another "
            "place.",
            "Features could not be kept in the cache folder /c (full). Make room there, or name "
            "another folder by SKSCAN_CACHE.",
        ),
        (
            "memory='/c' cannot be used (Not a directory); memory takes a folder, or None.",
            "the cache folder /c cannot be used (Not a directory); name one that can be written to "
            "by SKSCAN_CACHE",
        ),
        ("/photos/device=3.jpg, n_jobs=2", "/photos/device=3.jpg, n_jobs=2"),
    ],
)
def test_parameters_are_named_as_options(message, expected):
    assert in_options(message, CLUSTER) == expected


def test_options_that_the_command_lacks_are_not_advised():
    message = 'Mend or remove them, or stop at the first with errors="raise".'
    assert in_options(message, {"--engine"}) == "Mend or remove them."
    assert in_options("engine='onnx'", {"--errors"}) == "engine='onnx'"


def test_a_folder_that_was_given_is_no_cache_folder():
    message = "memory='/c' cannot be used; choose another memory."
    assert in_options(message, {"--memory"}) == "--memory /c cannot be used; choose another memory."


def test_messages_of_the_library_are_those_that_are_reworded(
    command, with_an_empty_image, tmp_path, results
):
    output = tmp_path / "features.npy"
    code, _, said = command(
        "extract", with_an_empty_image, "-o", output, "--backbone", "pixels", "--jobs", 1
    )
    assert code == 0
    assert "stop at the first with --errors raise." in said
    code, _, said = command("predict", results, with_an_empty_image, "-o", tmp_path / "new.csv")
    assert code == 0
    assert re.search(r"warning: 1 of 201 images .* Mend or remove them\.\n", said)


def test_self_labeling_that_is_undone_names_no_parameter():
    heads = LinearHeads(np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), np.float32))
    with pytest.warns(SkscanWarning) as caught:
        undone(heads, [], "no sample has a confidence above threshold=0.99 (the largest is 0.5)")
    said = in_options(str(caught[0].message), [])
    assert said.startswith("Self-labelling was undone: no sample has a confidence above 0.99")
    assert not re.search(r"\w+_\w+=|'skip'", said)


def test_too_many_clusters(command, shared_digits, tmp_path):
    options = ["--effort", "fast", "--backbone", "pixels", "--no-report"]
    out = tmp_path / "out"
    code, _, said = command("cluster", shared_digits, "-k", 60, "-o", out, *options)
    assert code == 0
    assert "of 60 clusters empty" in said
    assert not re.search(r"\w+_\w+=|'skip'", said)
    code, _, said = command("cluster", shared_digits, "-k", 60, "-o", out, *options, "--quiet")
    assert (code, said) == (0, "")


def test_a_cache_that_is_no_folder_is_named(command, shared_digits, tmp_path, monkeypatch):
    place = tmp_path / "file"
    place.write_text("")
    monkeypatch.setenv("SKSCAN_CACHE", str(place))
    code, _, said = command("cluster", shared_digits, "-k", 3, "-o", tmp_path / "out", "-q")
    assert code == 1
    assert f"Error: the cache folder {place} cannot be used" in said
    assert "SKSCAN_CACHE" in said


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder of the system")
def test_a_cache_that_cannot_be_made_is_named_and_stops_no_report(command, results, monkeypatch):
    monkeypatch.setenv("SKSCAN_CACHE", "/proc/nowhere")
    code, _, said = command("report", results)
    assert code == 0
    assert "/proc/nowhere" in said
    assert "name another folder by SKSCAN_CACHE" in said


def test_what_only_prints_its_result_prints_it_quietly(command, results):
    for name in ("info", "evaluate"):
        loud, quiet = command(name, results), command(name, results, "--quiet")
        assert loud[:2] == quiet[:2]
        assert quiet[1]
        assert quiet[2] == ""


@pytest.mark.parametrize("name", ["extract", "predict", "report", "export"])
def test_quiet_leaves_nothing_on_stderr(
    name, command, with_an_empty_image, tmp_path, results, skscan
):
    if name == "export":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    arguments = {
        "extract": [with_an_empty_image, "-o", tmp_path / "f.npy", "--backbone", "pixels"],
        "predict": [results, with_an_empty_image, "-o", tmp_path / "new.csv"],
        "report": [results, "--images", with_an_empty_image],
        "export": [results, "-o", tmp_path / "m.onnx", "--check", with_an_empty_image],
    }
    loud = command(name, *arguments[name])
    quiet = command(name, *arguments[name], "--quiet")
    assert loud[0] == quiet[0] == 0
    assert loud[1]
    assert loud[2]
    assert quiet[1:] == ("", "")


def test_errors_are_said_with_quiet_too(command, tmp_path, capsys):
    code, _, said = command("extract", tmp_path / "nowhere", "-o", tmp_path / "f.npy", "--quiet")
    assert code == 2
    assert "nowhere" in said
    with speaking([], quiet=True):
        note("a remark")
        complain("a failure")
    note("another remark")
    assert capsys.readouterr().err == "a failure\nanother remark\n"


def test_an_engine_that_lacks_the_precision_is_wrong_use(command, shared_digits, tmp_path):
    options = ["--engine", "onnx", "--precision", "bfloat16"]
    for arguments in (
        ["cluster", shared_digits, "-k", 3, "-o", tmp_path / "out"],
        ["extract", shared_digits, "-o", tmp_path / "f.npy"],
    ):
        code, _, said = command(*arguments, *options)
        assert code == 2
        assert "--precision bfloat16 is not what --engine onnx computes with" in said
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="runs on the CPU"):
        check_choice("onnx", "float32", "cuda")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_full_disk_is_named(suffix, command, shared_digits, tmp_path):
    output = tmp_path / f"features{suffix}"
    output.symlink_to("/dev/full")
    code, _, said = command("extract", shared_digits, "-o", output, "--backbone", "pixels", "-q")
    assert code == 1
    assert str(output) in said
    assert "unexpected" not in said
