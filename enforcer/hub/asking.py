"""A DNS question to one of our own listeners, over each transport, as a client on this machine asks it."""

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from enforcer.config.model import Config
from enforcer.config.values import Endpoint
from enforcer.counters import Transport
from enforcer.orders import PROBE, PROBE6

_TRANSPORTS = {"udp": Transport.UDP, "tcp": Transport.TCP, "tls": Transport.DOT, "https": Transport.DOH}
_ALPN = {Transport.DOT: "dot", Transport.DOH: "http/1.1"}
_MESSAGE_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class Door:
    """Where one listener is asked over one transport."""

    transport: Transport
    endpoint: Endpoint

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to: this machine, where the listener has any of its addresses."""
        address = self.endpoint.address
        if address.is_unspecified:
            address = IPv4Address("127.0.0.1") if address.version == 4 else IPv6Address("::1")
        return str(address), self.endpoint.port

    @property
    def source(self) -> tuple[str, int]:
        """Where to ask from."""
        return str(PROBE if self.endpoint.address.version == 4 else PROBE6), 0


def doors_of(config: Config) -> tuple[Door, ...]:
    """Every way to ask that leaves no trace.

    Not listeners that want a proof of who asks, since the hub has none, nor those of IPv6 where its loopback address
    is a client of a realm.
    """
    six = not any(PROBE6 in network for realm in config.realms for network in realm.networks)
    return tuple(
        Door(_TRANSPORTS[key], endpoint)
        for listener in config.resolver.listeners
        if not listener.demands_proof
        for key, endpoint in listener.endpoints
        if six or endpoint.address.version == 4
    )


async def ask(door: Door, query: bytes) -> bytes:
    """The answer's octets. Raises OSError, TimeoutError and EOFError as they come."""
    if door.transport is Transport.UDP:
        return await _over_udp(door, query)
    reader, writer = await asyncio.open_connection(*door.address, ssl=_tls(door.transport), local_addr=door.source)
    try:
        if door.transport is Transport.DOH:
            return await _over_https(door, query, reader, writer)
        writer.write(len(query).to_bytes(2) + query)
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.close()


class _Datagram(asyncio.DatagramProtocol):
    """The first datagram that comes."""

    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: object) -> None:
        if not self.received.done():
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def _over_udp(door: Door, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        _Datagram, local_addr=door.source, remote_addr=door.address
    )
    try:
        transport.sendto(query)
        return await protocol.received
    finally:
        transport.close()


async def _over_https(door: Door, query: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """POST of RFC 8484 §4.1 over HTTP/1.1. Raises ConnectionError for an answer that is none."""
    host = f"[{door.address[0]}]" if ":" in door.address[0] else door.address[0]
    head = f"POST /dns-query HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/dns-message\r\n"
    writer.write(f"{head}accept: application/dns-message\r\ncontent-length: {len(query)}\r\n\r\n".encode() + query)
    status, *fields = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(
        (value for name, _, value in (each.partition(b":") for each in fields) if name == b"content-length"), b""
    )
    if status.split()[1:2] != [b"200"] or not length.strip().isdigit() or int(length) > _MESSAGE_MAX:
        raise ConnectionError(f"HTTP: {status.decode(errors='replace')}")
    return await reader.readexactly(int(length))


def _tls(transport: Transport) -> ssl.SSLContext | None:
    """Whose certificate it is does not matter here: that it lasts is told by another metric."""
    if transport not in _ALPN:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([_ALPN[transport]])
    return context
