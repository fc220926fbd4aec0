"""Signing in as a browser does."""

import re
from collections.abc import Mapping

from httpx2 import Response
from starlette.testclient import TestClient

PASSWORD = "correct horse battery"


def token_of(html: str) -> str:
    """The token in the first form of a page."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found[1]


def sign_in(client: TestClient, name: str = "rev", password: str = PASSWORD, **more: str) -> Response:
    token = token_of(client.get("/sign-in").text)
    return client.post("/sign-in", data={"name": name, "password": password, "token": token, **more})


def send(client: TestClient, page: str, path: str, data: Mapping[str, str]) -> Response:
    """Send a form of a page."""
    return client.post(path, data={"token": token_of(client.get(page).text), **data})
