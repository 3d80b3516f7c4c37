"""A server of results, and a client of one that does not run.

Tests that import this module are skipped where the packages of the extra `serve` are not installed.
"""

import pytest

for package in ("starlette", "uvicorn", "filelock", "httpx2"):
    pytest.importorskip(package, reason=f"{package} is not installed (extras `serve` and `test`)")

from starlette.testclient import TestClient  # noqa: E402

from skscan.serving import ReportServer  # noqa: E402

__all__ = ["ReportServer", "client_of"]


def client_of(server: ReportServer) -> TestClient:
    """Make a client whose requests go straight to the application of a server."""
    return TestClient(server.app, base_url=server.address.rsplit("/", 2)[0])
