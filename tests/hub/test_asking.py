import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from enforcer.config.model import Config
from enforcer.config.resolver import Listener
from enforcer.config.values import Endpoint
from enforcer.counters import Transport
from enforcer.hub.asking import Door, ask, doors_of
from enforcer.orders import PROBE
from tests.certificates import Authority
from tests.processes.site import Site

QUERY, ANSWER = b"a question", b"an answer"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


@asynccontextmanager
async def stream(reply: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes], list[str]]]:
    """A server that says `reply` to whatever comes first: its port, what came, and from where."""
    came: list[bytes] = []
    sources: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(1000))
        sources.append(writer.get_extra_info("peername")[0])
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], came, sources


def door(transport: Transport, port: int) -> Door:
    return Door(transport, Endpoint(ip_address("127.0.0.1"), port))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    pair = Authority(folder).pair("dns", "dns.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(["dot", "http/1.1"])
    return context


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.DOT, Transport.DOH])
def test_an_answer_over_each_stream(transport: Transport, tls: ssl.SSLContext) -> None:
    async def asked() -> None:
        reply = OK + ANSWER if transport is Transport.DOH else len(ANSWER).to_bytes(2) + ANSWER
        async with stream(reply, None if transport is Transport.TCP else tls) as (port, came, sources):
            assert await ask(door(transport, port), QUERY) == ANSWER
        assert sources == [str(PROBE)]
        if transport is Transport.DOH:
            assert came[0].startswith(b"POST /dns-query HTTP/1.1\r\nhost: 127.0.0.1\r\n")
            assert came[0].endswith(b"content-length: %d\r\n\r\n%s" % (len(QUERY), QUERY))
        else:
            assert came == [len(QUERY).to_bytes(2) + QUERY]

    asyncio.run(asked())


def test_an_answer_over_udp() -> None:
    class Server(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.DatagramTransport)
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            assert (data, addr[0]) == (QUERY, str(PROBE))
            self.transport.sendto(ANSWER, addr)
            self.transport.sendto(b"another", addr)

    async def asked() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        assert await ask(door(Transport.UDP, port), QUERY) == ANSWER
        transport.close()
        with pytest.raises(OSError, match="refused"):
            await ask(door(Transport.UDP, port), QUERY)

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("transport", "reply"),
    [
        (Transport.TCP, b""),
        (Transport.TCP, b"\0\x09half"),
        (Transport.DOH, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        (Transport.DOH, b"HTTP/1.1 200 OK\r\n\r\n"),
        (Transport.DOH, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        (Transport.DOH, OK + b"half"),
        (Transport.DOH, b"\r\n\r\n"),
    ],
)
def test_an_answer_that_is_none(transport: Transport, reply: bytes, tls: ssl.SSLContext) -> None:
    async def asked() -> None:
        async with stream(reply, None if transport is Transport.TCP else tls) as (port, _, _):
            with pytest.raises((OSError, EOFError)):
                await ask(door(transport, port), QUERY)

    asyncio.run(asked())


def config_of(folder: Path, *listeners: dict[str, object], networks: tuple[str, ...] = ("192.0.2.0/24",)) -> Config:
    config = Site(folder).config
    realms = tuple(each.model_copy(update={"networks": tuple(map(ip_network, networks))}) for each in config.realms)
    found = tuple(map(Listener.model_validate, listeners))
    resolver = config.resolver.model_copy(update={"listeners": found})
    return config.model_copy(update={"realms": realms, "resolver": resolver})


def test_every_listener_is_asked_but_those_that_want_a_proof(tmp_path: Path) -> None:
    plain: dict[str, object] = {"name": "dns", "udp": "0.0.0.0:53", "tcp": "[::]:53"}
    encrypted: dict[str, object] = {"name": "dot", "tls": "127.0.0.1:853", "https": "127.0.0.1:443"}
    encrypted |= {"certificate": "c", "key": "k"}
    tokens = encrypted | {"name": "roam", "tokens": "required", "token_file": "t"}
    doors = doors_of(config_of(tmp_path, plain, encrypted, tokens))
    assert [(each.transport, each.address, each.source[0]) for each in doors] == [
        (Transport.UDP, ("127.0.0.1", 53), str(PROBE)),
        (Transport.TCP, ("::1", 53), "::1"),
        (Transport.DOT, ("127.0.0.1", 853), str(PROBE)),
        (Transport.DOH, ("127.0.0.1", 443), str(PROBE)),
    ]


def test_loopback_of_ipv6_that_is_a_client_is_not_asked_from(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"name": "dns", "udp": "0.0.0.0:53", "tcp": "[::]:53"}, networks=("::/0",))
    assert [each.transport for each in doors_of(config)] == [Transport.UDP]
