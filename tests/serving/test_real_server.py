"""The server itself, as a process and on a real socket."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPConnection

import pytest
from serving_client import ReportServer
from typer.testing import CliRunner

from skscan.cli import app


@pytest.fixture
def running(serve, results):
    server: ReportServer = serve(results)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def place(address):
    return re.fullmatch(r"http://([0-9.]+):(\d+)/([^/]+)/", address).groups()


def ask(address, method, target, body=None, **headers):
    host, port, _ = place(address)
    with closing(HTTPConnection(host, int(port), timeout=10)) as connection:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def talk(address, data, *, end=False):
    """Send bytes as they are, perhaps as the last ones; return the first line of the answer."""
    host, port, _ = place(address)
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(1000).split(b"\r\n")[0]


def test_no_way_leads_out_of_the_collection(running, made_once):
    host, port, token = place(running.address)
    (made_once[0].parent / "secret.txt").write_text("hidden")
    here = f"Host: {host}:{port}\r\n\r\n".encode()
    for target in (
        f"/{token}/../out/clusters.csv",
        f"/{token}/thumbnails/../../../../../../etc/passwd",
        f"/{token}/thumbnails/0/%2e%2e%2f%2e%2e%2fsecret.txt",
        f"/{token}/thumbnails/0/..%5c..%5csecret.txt",
        f"/{token}//etc/passwd",
        f"/{token}/%00",
        f"/{token}/thumbnails/0/{'9' * 5000}.jpeg",
        "http://attacker.example/",
        "*",
    ):
        line = talk(running.address, f"GET {target} HTTP/1.1\r\n".encode() + here)
        assert re.match(rb"HTTP/1.1 4\d\d", line), target
    assert ask(running.address, "GET", f"/{token}/")[0] == 200


def test_bad_requests_leave_it_alive(running):
    host, port, token = place(running.address)
    here = f"Host: {host}:{port}\r\n"
    get, put = f"GET /{token}/ HTTP/1.1\r\n", f"PUT /{token}/decisions HTTP/1.1\r\n{here}"
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    for data in (
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a browser that tries TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n" * 100,
        f"{get}\r\n".encode(),  # no Host
        f"{get}{here}Host: evil\r\n\r\n".encode(),
        f"{put}Content-Length: -1\r\n\r\n".encode(),
        f"{put}Content-Length: 99\r\n\r\n{{".encode(),
        f"{get}{here}X: {'x' * 100_000}\r\n\r\n".encode(),
        f"{get}{here}{upgrade}Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n".encode(),
    ):
        try:
            line = talk(running.address, data, end=True)
        except ConnectionResetError:
            continue
        assert b"HTTP/1.1 5" not in line
    assert ask(running.address, "GET", f"/{token}/")[0] == 200


def test_a_large_upload_is_refused_before_it_is_read(running):
    _, _, token = place(running.address)
    stated = {"Content-Length": str(10**12)}
    status, _ = ask(running.address, "PUT", f"/{token}/decisions", b"x", **stated)
    assert status == 413


def test_only_this_machine_can_reach_it(running):
    host, port, _ = place(running.address)
    assert host == "127.0.0.1"
    assert running._socket.getsockname() == ("127.0.0.1", int(port))
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", int(port)))  # it does not listen on all addresses


def test_the_command_serves_until_it_is_interrupted(results, document, tmp_path):
    command = [sys.executable, "-m", "skscan", "serve", str(results), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        told = json.loads(process.stdout.readline())
        assert told["n_images"] == 12
        address = told["address"]
        _, _, token = place(address)
        sent = json.dumps({"based_on": 0, "decisions": document})
        assert ask(address, "PUT", f"/{token}/decisions", sent)[0] == 200
        assert ask(address, "GET", "/decisions")[0] == 403
        process.send_signal(signal.SIGINT)
        rest, remarks = process.communicate(timeout=10)
    assert process.returncode == 130
    assert rest == ""
    assert "refused (403): GET /…: the token in the address is missing" in remarks
    assert "The page has ended; decisions are in" in remarks
    assert "Traceback" not in remarks
    assert token not in remarks
    to = tmp_path / "sorted"
    done = CliRunner().invoke(
        app,
        ["apply", str(results), str(results / "decisions.json"), "--to", str(to), "--mode", "copy"],
    )
    assert done.exit_code == 0, done.stderr
    assert len(list((to / "cats").iterdir())) == 4


def test_wrong_use_is_told_in_one_line(results, tmp_path, server):
    def fails(*arguments):
        outcome = CliRunner().invoke(app, ["serve", *map(str, arguments)])
        return outcome.exit_code, outcome.stderr.splitlines()[-1]

    assert fails(tmp_path / "none")[0] == 2
    assert fails(results, "--images", tmp_path / "none") == (
        2,
        f"Error: no such folder or zip: --images {tmp_path / 'none'}",
    )
    assert fails(results, "--port", "70000")[0] == 2
    code, message = fails(results)
    assert code == 1
    assert "is served by another `skscan serve` already" in message
    server.close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, message = fails(results, "--port", taken.getsockname()[1])
    assert code == 1
    assert "Address already in use: 127.0.0.1:" in message


def test_what_is_missing_is_named(results, monkeypatch):
    monkeypatch.setattr("skscan.cli.serve.find_spec", lambda name: None)
    outcome = CliRunner().invoke(app, ["serve", str(results)])
    assert outcome.exit_code == 1
    assert "needs starlette and uvicorn and filelock: pip install 'skscan[serve]'" in outcome.stderr
