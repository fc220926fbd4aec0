import asyncio
import contextlib
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from enforcer.errors import Unavailable
from enforcer.pageserver import CONNECTIONS, Certificate, Only, page_server
from tests.certificates import Authority


async def hello(request: Request) -> Response:
    return PlainTextResponse(request.headers.get("x-forwarded-for", "hello"))


APP = Starlette(routes=[Route("/", hello)])


def subject(context: ssl.SSLContext) -> bytes:
    """The certificate that a client of this context is shown, DER."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs, ours = client.wrap_bio(incoming, outgoing), context.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(4):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return theirs.getpeercert(binary_form=True) or b""


def test_who_may_ask_is_who_is_named_and_this_machine() -> None:
    app = Only(APP, (ip_network("192.0.2.0/24"),))
    for address, status in (("192.0.2.9", 200), ("127.0.0.1", 200), ("::1", 200), ("198.51.100.1", 403)):
        assert TestClient(app, client=(address, 1)).get("/").status_code == status
    assert TestClient(Only(APP, ()), client=("198.51.100.1", 1)).get("/").status_code == 200


def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.pair("first"), authority.pair("second")
    certificate = Certificate(first.certificate, first.key)
    before = subject(certificate.context)
    certificate.follow()
    assert subject(certificate.context) == before != b""
    first.certificate.write_bytes(second.certificate.read_bytes())
    certificate.follow()  # half a pair: what was there stays
    assert subject(certificate.context) == before
    first.key.write_bytes(second.key.read_bytes())
    certificate.follow()
    assert subject(certificate.context) == ssl.PEM_cert_to_DER_cert(second.certificate.read_text())
    first.key.unlink()
    certificate.follow()
    assert subject(certificate.context) != b""


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.pair("first"), authority.pair("second")
    with pytest.raises(Unavailable, match="cannot be used with"):
        Certificate(first.certificate, second.key)
    with pytest.raises(Unavailable, match="cannot be used with"):
        Certificate(tmp_path / "none", first.key)


def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("one")
    assert Certificate(pair.certificate, pair.key).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_what_a_client_says_of_its_address_is_not_believed() -> None:
    """Else anybody could say that they are this machine, or somebody new at each try of a password."""
    config = page_server(APP).config
    assert not config.proxy_headers
    assert config.limit_concurrency == CONNECTIONS


def test_signals_are_for_whoever_runs_the_loop() -> None:
    async def run() -> list[bool]:
        server = page_server(APP)
        with server.capture_signals():
            return [server.config.proxy_headers, server.config.access_log, server.config.server_header]

    assert asyncio.run(run()) == [False, False, False]
