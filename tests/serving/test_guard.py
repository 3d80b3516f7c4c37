"""Who is let in."""

import logging

import pytest
from serving_client import client_of


@pytest.fixture(scope="module")
def server(shared_server):
    return shared_server


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


def test_the_page_is_given_to_who_knows_its_address(client, server):
    answer = client.get(server.address)
    assert answer.status_code == 200
    assert "<!doctype html>" in answer.text
    assert server.address.startswith("http://127.0.0.1:")
    assert len(server.address.split("/")[3]) >= 32


def test_each_server_has_a_token_of_its_own(serve, results, server):
    assert serve(results).address.split("/")[3] != server.address.split("/")[3]


WRONG_PATHS = {
    "no path": "/",
    "no token": "/decisions",
    "half a token": "/{half}/decisions",
    "more than the token": "/{token}x/decisions",
    "other case": "/{swapped}/decisions",
    "later in the path": "/x/{token}/decisions",
    "empty": "/%2fdecisions",
    "as a query": "/?token={token}",
    "other letters": "/tökén/decisions",
    "not of its root": "/%2e%2e/{token}/decisions",
}


@pytest.mark.parametrize("path", WRONG_PATHS.values(), ids=WRONG_PATHS)
def test_wrong_tokens_are_refused(client, server, path):
    token = server.address.split("/")[3]
    path = path.format(token=token, half=token[: len(token) // 2], swapped=token.swapcase())
    answer = client.get(path)
    assert answer.status_code == 403
    assert token not in answer.text
    assert client.get(server.address).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_method_goes_without_the_token(client, method):
    assert client.request(method, "/decisions").status_code == 403


@pytest.mark.parametrize(
    "host", ["attacker.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_names_that_were_pointed_at_this_machine_are_refused(client, server, host):
    port = server.address.split(":")[2].split("/")[0]
    answer = client.get(server.address, headers={"Host": host.format(port=port)})
    assert answer.status_code == 403
    assert "meant for another host" in answer.text


def test_localhost_is_this_machine(client, server):
    port = server.address.split(":")[2].split("/")[0]
    host = {"Host": f"localhost:{port}"}
    assert client.get(server.address, headers=host).status_code == 200


def test_other_pages_change_nothing(serve, results, document):
    server = serve(results)
    client = client_of(server)
    sent = {"based_on": 0, "decisions": document}
    for origin in ("http://attacker.example", "null", "https://127.0.0.1"):
        answer = client.put(server.address + "decisions", json=sent, headers={"Origin": origin})
        assert answer.status_code == 403, origin
    own = {"Origin": server.address.rsplit("/", 2)[0]}
    assert client.put(server.address + "decisions", json=sent, headers=own).status_code == 200


def test_other_pages_get_no_leave_to_read(client, server):
    asking = {"Origin": "http://attacker.example", "Access-Control-Request-Method": "PUT"}
    for method in ("OPTIONS", "GET", "HEAD"):
        answer = client.request(method, server.address + "decisions", headers=asking)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.options(server.address + "decisions").status_code == 405


def test_answers_are_for_this_page_alone(client, server):
    for address in (server.address, server.address + "decisions", server.address + "nothing"):
        headers = client.get(address).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_refusals_are_logged_on_one_line_and_without_the_token(client, server, caplog):
    token = server.address.split("/")[3]
    with caplog.at_level(logging.WARNING, "skscan.serving"):
        client.get(f"/wrong/a%0aforged%1b[31m{'x' * 999}")
        client.post(server.address + "decisions")
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("refused (403): GET /…/a\\nforged\\x1b[31mxxx")
    assert "\n" not in first
    assert len(first) < 400
    assert second.startswith("refused (405): POST /…/decisions")
    assert token not in first + second


def test_what_goes_wrong_inside_is_logged_and_the_server_goes_on(
    client, server, caplog, monkeypatch
):
    broken = {"version": 1, "broken": {1, 2}}  # a set is no JSON
    monkeypatch.setattr(server.decisions, "_document", broken)
    answer = client.get(server.address + "decisions")
    assert answer.status_code == 500
    assert "failed: GET /…/decisions" in caplog.text
    assert client.get(server.address).status_code == 200
