import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from enforcer.console.guard import BODY_MOST, HEADERS, Guard


async def echo(request: Request) -> Response:
    try:
        return PlainTextResponse(str(len(await request.body())))
    except ClientDisconnect:
        return PlainTextResponse("gone", 400)


def client(*, secure: bool = True) -> TestClient:
    routes = [Route("/", echo, methods=["GET", "POST"]), Route("/healthz", echo), Route("/static/x", echo)]
    return TestClient(Guard(Starlette(routes=routes), hosts={"c.test"}, secure=secure), base_url="https://c.test")


def test_every_answer_has_the_headers() -> None:
    for path in ("/", "/nothing", "/static/x"):
        answer = client().get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "max-age" in answer.headers["strict-transport-security"]
    assert "strict-transport-security" not in client(secure=False).get("/").headers


def test_the_headers_are_these() -> None:
    """By name and value, so that none can go or weaken unseen."""
    policy = dict(each.split(" ", 1) for each in HEADERS["content-security-policy"].split("; "))
    own = ("script-src", "style-src", "img-src", "connect-src", "form-action")
    none = ("default-src", "base-uri", "frame-ancestors")
    assert policy == {**dict.fromkeys(own, "'self'"), **dict.fromkeys(none, "'none'")}
    others = {name: value for name, value in HEADERS.items() if name != "content-security-policy"}
    assert others == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }


def test_pages_are_not_kept() -> None:
    assert client().get("/").headers["cache-control"] == "no-store"
    assert "cache-control" not in client().get("/static/x").headers


@pytest.mark.parametrize("host", ["evil.test", "c.test:8080", "c.test.evil.test", ""])
def test_other_hosts_are_refused(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "content-security-policy" in answer.headers


def test_letter_case_of_the_host_does_not_matter_and_health_is_for_any() -> None:
    assert client().get("/", headers={"host": "C.Test"}).status_code == 200
    assert client().get("/healthz", headers={"host": "10.0.0.9:1"}).status_code == 200


def test_long_bodies_are_refused_however_they_come() -> None:
    assert client().post("/", content=b"x" * BODY_MOST).text == str(BODY_MOST)
    assert client().post("/", content=b"x" * (BODY_MOST + 1)).status_code == 413
    chunks = (b"x" * 1000 for _ in range(BODY_MOST // 1000 + 2))
    assert client().post("/", content=chunks).text == "gone"
    assert client().get("/", headers={"content-length": "x"}).status_code == 413
