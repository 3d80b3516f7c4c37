"""The server of one results folder."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from skscan._files import TEMPORARY_PREFIX
from skscan.images import as_collection
from skscan.report.map_layout import MAX_ON_MAP
from skscan.report.page import Additions, served_page
from skscan.report.page_data import PageData, build_page_data
from skscan.report.run import Run, find_images_of_run, read_run
from skscan.serving.app import MAX_UPLOAD, make_app
from skscan.serving.decisions_file import DecisionsFile
from skscan.serving.new_images import NewImages
from skscan.serving.thumbnails import ThumbnailCache

__all__ = ["ReportServer"]

HOST = "127.0.0.1"
LOCK = f"{TEMPORARY_PREFIX}serve.lock"
_TOKEN_BYTES = 24
_N_TRIED = 10
_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("merging.js", "keeping.js", "new_images.js")
_PROMISE = (
    "This page is served by skscan on this computer, to this computer only; it asks no other "
    "address for anything."
)


class ReportServer:
    """The report of a run as a live page on the loopback of this machine.

    Thumbnails are made as they are looked at; decisions are saved at once to ``decisions.json`` in
    the results folder; images that are dropped into the page are sorted with the model of the run.
    Nothing else is written, and only images of the run are read. The address holds a random token,
    and whoever does not know it is refused.

    Parameters
    ----------
    folder : str or path-like
        What ``skscan cluster`` has written.
    images : str or path-like or None, default=None
        The folder or zip of the images, where it is no longer where it was.
    port : int, default=0
        Where to listen; 0 is any free port.
    max_upload : int, default=67108864
        Bytes that an image dropped into the page may have.
    max_shown : int, default=50000
        Of more images, a sample of so many is on the page; decisions on classes hold for all.

    Attributes
    ----------
    address : str
        Of the page, with the token.
    n_images : int
        Images on the page.
    finds_images : bool
        Whether any of a few images was found where the run read it, or in `images`.
    decisions : DecisionsFile
        What was decided.

    Raises
    ------
    ValueError
        If `folder` holds no results or damaged ones, or is served by another process.
    OSError
        If the port is taken, or the folder cannot be written to.

    Examples
    --------
    >>> from skscan.serving import ReportServer
    >>> with ReportServer("photos-clusters") as server:  # doctest: +SKIP
    ...     print(server.address)
    ...     server.run()
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        images: str | os.PathLike | None = None,
        port: int = 0,
        max_upload: int = MAX_UPLOAD,
        max_shown: int = MAX_ON_MAP,
    ) -> None:
        folder = Path(folder)
        self._running: Any = None
        run = read_run(folder)
        self._lock = _lock(folder)
        # With the protocol named, asyncio turns Nagle's delay off: 40 ms for each thumbnail.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            _listen(self._socket, port)
            self.decisions = DecisionsFile(folder, run.run_id)
            data = build_page_data(run, max_shown)
            paths = _image_paths(run, data, images)
            self.n_images = len(paths)
            thumbnails = ThumbnailCache(as_collection(paths))
            tried = range(0, len(paths), len(paths) // _N_TRIED + 1)
            self.finds_images = not paths or any(map(thumbnails.get, tried))
            new_images = NewImages(run.model)
            own = {"sorts": new_images.can_sort, "max_upload": max_upload}
            about = data.content["run"] | {"next": _next_command(folder, self.decisions.path)}
            port = self._socket.getsockname()[1]
            token = secrets.token_urlsafe(_TOKEN_BYTES)
            self.address = f"http://{HOST}:{port}/{token}/"
            self.app = make_app(
                served_page(data, _additions(), serving=own, run=about),
                self.decisions,
                thumbnails,
                new_images,
                token=token,
                port=port,
                max_upload=max_upload,
            )
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Serve until the process gets a signal to end (Ctrl-C), or `stop` is called."""
        import uvicorn

        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._running = uvicorn.Server(config)
        self._running.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run`, which another thread is in, after the requests that are under way."""
        if self._running is not None:
            self._running.should_exit = True

    def close(self) -> None:
        """Give the port and the folder back."""
        self._socket.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _lock(folder: Path) -> Any:
    """Keep other servers off the folder: each would overwrite what the other has saved."""
    import filelock

    lock = filelock.FileLock(folder / LOCK, thread_local=False)
    try:
        return lock.acquire(timeout=0).lock
    except filelock.Timeout:
        raise ValueError(
            f"{folder} is served by another `skscan serve` already; use its address, or end it"
        ) from None


def _listen(own: socket.socket, port: int) -> None:
    if os.name == "posix":  # elsewhere it would let another program take the same port
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((HOST, port))
    except OSError as error:
        error.filename = f"{HOST}:{port}"
        raise
    own.listen(128)


def _image_paths(run: Run, data: PageData, images: str | os.PathLike | None) -> list[str]:
    wanted = [run.paths[row] for row in data.shown]
    return find_images_of_run(run.summary, wanted, None if images is None else Path(images))


def _next_command(folder: Path, decisions: Path) -> str:
    places = " ".join(shlex.quote(str(place)) for place in (folder, decisions))
    return f"skscan apply {places} --to NEWFOLDER --mode copy"


def _additions() -> Additions:
    return Additions(
        scripts=[(_ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPTS],
        style=(_ASSETS / "served.css").read_text(encoding="utf-8"),
        promise=_PROMISE,
    )
