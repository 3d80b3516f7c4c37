"""What a person, or a log, is told while work is done."""

import io

import pytest

from skscan import _progress
from skscan._progress import announce, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run_loop(monkeypatch, stream, seconds):
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_LINES", seconds)
    for _ in progress(range(4), desc="extraction", unit="img"):
        announce("a line", verbose=1)
    return stream.getvalue()


def test_a_log_gets_whole_lines(monkeypatch):
    lines = run_loop(monkeypatch, io.StringIO(), 0.0).splitlines()
    assert [line for line in lines if line != "a line"] != []
    assert lines.count("a line") == 4
    assert lines[-1].startswith("extraction: 4/4 [")
    assert "img/s" in lines[-1]
    assert all("\r" not in line and line for line in lines)


def test_a_log_gets_few_lines(monkeypatch):
    lines = run_loop(monkeypatch, io.StringIO(), 10.0).splitlines()
    assert [line for line in lines if line != "a line"] == lines[-1:]


def test_a_terminal_gets_a_bar(monkeypatch):
    assert "\r" in run_loop(monkeypatch, Terminal(), 10.0)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_nothing_is_shown_when_quiet(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    list(progress(range(3), verbose=0))
    announce("a line", verbose=0)
    assert stream.getvalue() == ""
