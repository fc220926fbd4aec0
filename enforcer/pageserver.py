"""Pages over HTTP, in a loop that is somebody else's.

uvicorn without its signals and log lines, TLS that follows its files, and who may ask at all.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from enforcer.devices.device import Network
from enforcer.errors import Unavailable

CONNECTIONS = 200

_log = logging.getLogger(__name__)


class PageServer(uvicorn.Server):
    """Serves until `should_exit`; signals are for whoever runs the loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def page_server(app: ASGIApp, tls: ssl.SSLContext | None = None) -> PageServer:
    """A server for an application. What a client says of itself in headers is not believed."""
    return PageServer(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
    )


class Certificate:
    """A certificate and its key, read again when a file changes; a pair that does not fit leaves what was there."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises Unavailable when the files cannot be used."""
        self._certificate, self._key = certificate, key
        self._seen = self._times()
        try:
            self.context = self._load()
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"{certificate}: cannot be used with {key} ({error})") from error

    def follow(self) -> None:
        """Look whether a file has changed; new connections then get the new certificate."""
        seen = self._times()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._load()  # first apart: half a pair would spoil the one in use
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            _log.error("certificate event=unusable file=%s error=%s", self._certificate, error)
        else:
            _log.info("certificate event=reloaded file=%s", self._certificate)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _times(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in (self._certificate, self._key):
            try:
                state = path.stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((state.st_ino, state.st_mtime_ns))
        return tuple(found)


class Only:
    """An application for some networks alone, and for this machine; for everybody where none is named."""

    def __init__(self, app: ASGIApp, networks: tuple[Network, ...]) -> None:
        self._app, self._networks = app, networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        client = scope.get("client")
        if scope["type"] != "http" or not self._networks or (client and self._may(client[0])):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("not from here", 403)(scope, receive, send)

    def _may(self, host: str) -> bool:
        address = ip_address(host)
        return address.is_loopback or any(address in network for network in self._networks)
