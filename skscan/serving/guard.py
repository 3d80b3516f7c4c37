"""Who may ask: requests of this machine's own page, and no others.

The server listens on the loopback only. That alone keeps out no page that the user's browser has
open: such a page can send requests to 127.0.0.1, and by a DNS name that it has pointed here
(rebinding) even read the answers. So every request has to carry the token of the address, which
only the user's own page knows, and the Host of that address.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skscan.images.names import printable

__all__ = ["Guard", "logger", "refusal"]

logger = logging.getLogger("skscan.serving")

_LONGEST_LOGGED = 200
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),  # the address holds the token
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Guard:
    """Lets through what comes from the page itself; every refusal is logged.

    Parameters
    ----------
    app : ASGI application
    token : str
        First part of the path of every address.
    hosts : iterable of str
        What the Host of a request may be, such as ``"127.0.0.1:8000"``.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {host.encode() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # nothing here speaks anything else
            return
        request = Request(scope)
        objection = self._objection(scope)
        if objection is not None:
            response = refusal(request, 403, objection, PlainTextResponse)
            await response(scope, receive, _with_headers(send))
            return
        try:
            await self._app(scope, receive, _with_headers(send))
        except Exception:  # answered with status 500 by the application; the server goes on
            logger.exception("failed: %s", _describe(request))

    def _objection(self, scope: Scope) -> str | None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "the request is meant for another host"
        token = scope["path"].split("/")[1:2]
        if not token or not compare_digest(token[0].encode("utf-8", "replace"), self._token):
            return "the token in the address is missing or wrong"
        if scope["method"] not in ("GET", "HEAD"):
            origins = _values(scope, b"origin")
            if origins and origins != [b"http://" + hosts[0]]:
                return "the request comes from another page"
        return None


def refusal(
    request: Request, status: int, reason: str, kind: type[Any] = JSONResponse, **more: Any
) -> Any:
    """Log that a request is refused, and return the answer that says why.

    Parameters
    ----------
    request : Request
    status : int
        Of HTTP.
    reason : str
        For people.
    kind : type, default=JSONResponse
        Of the answer.
    **more : object
        More of the JSON object beside ``"error"``.

    Returns
    -------
    Response
    """
    logger.warning("refused (%d): %s: %s", status, _describe(request), printable(reason))
    return kind({"error": reason} | more if kind is JSONResponse else f"{reason}\n", status)


def _describe(request: Request) -> str:
    """Return what was asked for, without the token: a log goes further than it should."""
    path = "/".join(["", "…", *request.scope["path"].split("/")[2:]])
    if len(path) > _LONGEST_LOGGED:
        path = f"{path[:_LONGEST_LOGGED]}…"
    return f"{printable(request.method)} {printable(path)}"


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers + _HEADERS}
        await send(message)

    return send_with_headers
