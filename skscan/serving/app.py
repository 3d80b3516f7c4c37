"""What the server answers, to the page's requests."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from skscan.exceptions import ImageReadError
from skscan.images.names import printable
from skscan.report.thumbnails import IMAGE_TYPE
from skscan.serving.decisions_file import DecisionsFile, OutdatedRunError, StaleVersionError
from skscan.serving.guard import Guard, logger, refusal
from skscan.serving.new_images import NewImages
from skscan.serving.thumbnails import ThumbnailCache

__all__ = ["MAX_UPLOAD", "make_app"]

MAX_UPLOAD = 64 * 2**20
"""Bytes of an image that is dropped into the page."""

_MAX_DECISIONS = 256 * 2**20
_SECONDS_FOR_A_BODY = 60
_SECONDS_KEPT = 3600
_LONGEST_NAME = 255
_THUMBNAIL = re.compile(r"([0-9]{1,9})\." + IMAGE_TYPE)


def make_app(
    page: str,
    decisions: DecisionsFile,
    thumbnails: ThumbnailCache,
    new_images: NewImages,
    *,
    token: str,
    port: int,
    max_upload: int = MAX_UPLOAD,
) -> ASGIApp:
    """Put the server together.

    Parameters
    ----------
    page : str
        HTML.
    decisions : DecisionsFile
    thumbnails : ThumbnailCache
        Of the images on the page, in its order.
    new_images : NewImages
    token : str
        First part of the path of every address.
    port : int
        That the server listens at; it is a part of the Host that requests must name.
    max_upload : int, default=67108864
        Bytes that a new image may have.

    Returns
    -------
    ASGI application
    """
    endpoints = _Endpoints(page, decisions, thumbnails, new_images, max_upload)
    routes = [
        Route("/", endpoints.page),
        Route("/thumbnails/{folder}/{name}", endpoints.thumbnail),
        Route("/decisions", endpoints.decisions),
        Route("/decisions", endpoints.save, methods=["PUT"]),
        Route("/new-images", endpoints.sort, methods=["POST"]),
    ]
    app = Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        exception_handlers={HTTPException: _refuse, ClientDisconnect: _gone},
    )
    return Guard(app, token, [f"127.0.0.1:{port}", f"localhost:{port}"])


class _Endpoints:
    def __init__(
        self,
        page: str,
        decisions: DecisionsFile,
        thumbnails: ThumbnailCache,
        new_images: NewImages,
        max_upload: int,
    ) -> None:
        self._page = page.encode("utf-8")
        self._decisions = decisions
        self._thumbnails = thumbnails
        self._new_images = new_images
        self._max_upload = max_upload
        self._one_at_a_time = anyio.Semaphore(1)  # uploads are held in memory, and keep all cores

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    def thumbnail(self, request: Request) -> Response:
        number = _THUMBNAIL.fullmatch(request.path_params["name"])
        if number is None:
            raise HTTPException(404)
        thumbnail = self._thumbnails.get(int(number[1]))
        if thumbnail is None:
            return Response(status_code=404)
        keeping = {"cache-control": f"private, max-age={_SECONDS_KEPT}"}
        return Response(thumbnail, media_type=f"image/{IMAGE_TYPE}", headers=keeping)

    def decisions(self, request: Request) -> Response:
        return JSONResponse(self._present())

    async def save(self, request: Request) -> Response:
        body = await _body(request, _MAX_DECISIONS)
        return await run_sync(self._save, request, body)

    def _save(self, request: Request, body: bytes) -> Response:
        try:
            sent = json.loads(body)
            if not isinstance(sent, dict) or type(sent.get("based_on")) is not int:
                raise ValueError("'based_on' is missing")
            version = self._decisions.save(sent["based_on"], sent.get("decisions"))
        except StaleVersionError:
            return JSONResponse(self._present(), 409)
        except OutdatedRunError:
            reason = "OUT holds another run by now; start skscan serve anew"
            return refusal(request, 410, reason)
        except (ValueError, RecursionError) as error:
            return refusal(request, 422, f"not saved: {error}")
        except OSError as error:
            return refusal(request, 507, f"not saved: {error.strerror}: {error.filename}")
        return JSONResponse({"version": version})

    def _present(self) -> dict[str, Any]:
        document = self._decisions.document
        return {"version": (document or {}).get("version", 0), "decisions": document}

    async def sort(self, request: Request) -> Response:
        if not self._new_images.can_sort:
            raise HTTPException(501, "the model of this run sorts features, not images")
        name = PurePosixPath(request.query_params.get("name", "")).name[:_LONGEST_NAME]
        async with self._one_at_a_time:
            data = await _body(request, self._max_upload)
            return await run_sync(self._sort, request, name, data)

    def _sort(self, request: Request, name: str, data: bytes) -> Response:
        try:
            return JSONResponse({"clusters": self._new_images.sort(name, data)})
        except ImageReadError as error:
            logger.warning("no picture: %s", printable(name))
            return refusal(request, 415, error.reason)
        except Exception as error:  # whatever keeps the model from its work, the page lives on
            logger.exception("sorting %s failed", printable(name))
            return refusal(request, 500, f"it cannot be sorted: {error}")


async def _body(request: Request, limit: int) -> bytes:
    """Read what is sent, without ever holding much more than what is allowed."""
    too_large = HTTPException(413, f"too large: at most {limit / 2**20:.0f} MB are taken")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(_SECONDS_FOR_A_BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, "what was sent did not arrive in time") from None
    return bytes(body)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response: Response = refusal(request, error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it
