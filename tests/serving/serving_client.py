"""A client of a server that does not run: requests go straight to its application."""

from starlette.testclient import TestClient

from skscan.serving import ReportServer


def client_of(server: ReportServer) -> TestClient:
    return TestClient(server.app, base_url=server.address.rsplit("/", 2)[0])
