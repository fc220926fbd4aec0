"""Streams: DNS over TCP (RFC 7766) and over TLS (RFC 7858), many queries a connection, each client within its limits.

`Stream` and `StreamPath` are what every transport over TCP has in common; `doh` builds on them too.
"""

import asyncio
import hashlib
import socket
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address

from enforcer.counters import Transport
from enforcer.policy.verdict import Address
from enforcer.resolver import admission
from enforcer.resolver.admission import Standing
from enforcer.resolver.clients import Directory, Group
from enforcer.resolver.conduct import Clock
from enforcer.resolver.credentials import Credentials
from enforcer.resolver.handler import Handler, Silence, Waiter
from enforcer.resolver.memory import Rendered
from enforcer.resolver.tally import Tally, bucket
from enforcer.wire.dnsoptions import NONE, Wishes, wishes, with_options

WAITING_A_CONNECTION = 128  # questions on their way upstream; then reading stops
UNSENT_MAX = 1 << 20  # octets that a client does not take; then it is cut off
HELD_MAX = UNSENT_MAX // 16  # octets that wait for each other, or that the kernel does not take, until reading stops
_DROPPED = bucket(None, "dropped")

type Origin = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """How much of TCP clients may take. idle_s: seconds without a query, after which a connection is closed."""

    clients: int
    per_client: int
    idle_s: float


class StreamPath(ABC):
    """All connections of one listening socket of one worker."""

    transport = Transport.TCP

    def __init__(
        self,
        directory: Directory,
        handler: Handler,
        words: memoryview,
        clock: Clock,
        limits: TcpLimits,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        """credentials: what the clients of an encrypted transport have to show; None for clear text."""
        self.directory = directory
        self.handler = handler
        self.clock = clock
        self.limits = limits
        self.credentials = credentials
        self.connections: set[Stream] = set()
        self.of_client: Counter[Address] = Counter()
        self.tallies = {family: Tally(words, self.transport.word, family) for family in ("4", "6")}

    @abstractmethod
    def connection(self, origin: Origin | None = None) -> "Stream":
        """The protocol of a new connection. origin: whose it is; None: whom the socket says."""

    def sweep(self) -> None:
        """Once a second: close what has been idle for too long."""
        before = self.clock.steady() - self.limits.idle_s
        for connection in [each for each in self.connections if each.active < before and not each.waiting]:
            connection.end()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.end()


class Stream(asyncio.Protocol, ABC):
    """One client's connection."""

    def __init__(self, path: StreamPath, origin: Origin | None) -> None:
        self._path = path
        self._origin = origin
        self._transport: asyncio.Transport | None = None
        self._address: Address = ip_address("0.0.0.0")  # noqa: S104 (no address yet)
        self._port = 0
        self._packed, self._host = (
            b"",
            "",
        )  # the address as octets and as text: to write it anew costs as much as an answer
        self._family = "4"
        self._writable = True
        self._half_closed = False
        self._encrypted = False
        self.certificate: bytes | None = None  # SHA-256 of the client's, in DER, once verified
        self.token: str | None = None
        self.standing = Standing.BY_ADDRESS
        self.active = 0.0
        self.waiting = 0
        self._group: Group | None = None
        self._looked_up: tuple[int, int, Standing, str | None] | None = None  # when, and by what
        self._counted: list[tuple[int, float]] = []  # buckets and seconds of the answers in `_out`
        self._out: list[bytes] = []
        self._out_size = 0

    @abstractmethod
    def read_on(self) -> None:
        """Go on with what was received, while the client may ask; then let the transport read, or not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, within the limits."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is wanted")
        path = self._path
        self._transport = transport
        if self._origin is None:
            host, port, *_ = transport.get_extra_info("peername") or ("0.0.0.0", 0)  # noqa: S104
            self._origin = plain_address(host), port
        self._address, self._port = self._origin
        self._packed, self._host = self._address.packed, str(self._address)
        self._family = str(self._address.version)
        self.active = path.clock.steady()
        path.connections.add(self)
        path.of_client[self._address] += 1
        transport.set_write_buffer_limits(high=HELD_MAX)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = transport.get_extra_info("ssl_object")
        if path.credentials is not None and isinstance(secured, ssl.SSLObject):
            self._encrypted = True
            certificate = secured.getpeercert(binary_form=True)
            self.certificate = None if certificate is None else hashlib.sha256(certificate).digest()
            demanded = path.credentials.admission
            self.token = demanded.token_of(path.credentials.server_name(secured))
            self.standing = demanded.standing(self.token, certified=self.certificate is not None)
        if len(path.connections) > path.limits.clients or path.of_client[self._address] > path.limits.per_client:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Forget the connection."""
        path = self._path
        self._transport = None
        path.connections.discard(self)
        path.of_client[self._address] -= 1
        if path.of_client[self._address] <= 0:
            del path.of_client[self._address]

    def end(self) -> None:
        """Close the connection after what was written; the second time, without it."""
        if self._transport is None:
            return
        self._flush()
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._transport.close()

    def eof_received(self) -> bool:
        """The client asks no more; what it waits for it still gets. True keeps the connection open meanwhile.

        Over TLS asyncio does not allow that: close_notify ends both directions.
        """
        self._half_closed = True
        return self.waiting > 0 and not self._encrypted

    def pause_writing(self) -> None:
        """The client does not read its answers: neither are its questions read."""
        self._writable = False
        self._flow()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable = True
        self.read_on()

    def ask(self, wire: bytes, standing: Standing, token: str | None, reply: Callable[[bytes], None]) -> bool:
        """Ask on behalf of the client; False when there will be no answer. reply: writes it, now or later.

        token: the one that the standing is due to, if any.
        What was blocked is recorded, and all of it counted, before the answer leaves.
        """
        path = self._path
        started = self.active = path.clock.steady()
        client = self._packed
        shown = path.handler.told(wire, client) or admission.shown(standing, token, self.certificate)
        group = self._whose(standing, shown)
        wished = wishes(wire)
        waiter = partial(self._waiter, started, wished, reply)
        answer = path.handler.answer(wire, group, path.transport, waiter, client=client, shown=shown)
        if answer is Silence.NEVER:
            path.tallies[self._family].add((_DROPPED,), 0.0)
            return False
        if answer is not Silence.LATER:
            self._finish(started, wished, reply, *answer)
        return True

    def _waiter(self, started: float, wished: Wishes, reply: Callable[[bytes], None]) -> Waiter:
        self.waiting += 1
        return partial(self._give, started, wished, reply)

    def _give(
        self, started: float, wished: Wishes, reply: Callable[[bytes], None], rendered: Rendered, message: bytes
    ) -> None:
        """Answer a query that had to wait."""
        self.waiting -= 1
        self.active = self._path.clock.steady()
        self._finish(started, wished, reply, rendered, message)
        self.read_on()
        if self._half_closed and not self.waiting:
            self.end()

    def _finish(
        self, started: float, wished: Wishes, reply: Callable[[bytes], None], rendered: Rendered, message: bytes
    ) -> None:
        """Record, count and answer."""
        path = self._path
        if rendered[4] is not None:
            path.handler.record(rendered[4], self._packed, self._host, self._port)
        if not self._counted:
            asyncio.get_running_loop().call_soon(self._flush)
        self._counted.append((rendered[3], path.clock.steady() - started))
        if wished is not NONE:
            idle_s = path.limits.idle_s if wished.keepalive and path.transport is not Transport.DOH else None
            padded = wished.padding and path.transport is not Transport.TCP
            message = with_options(message, keepalive_s=idle_s, padded=padded)
        reply(message)

    def write(self, data: bytes) -> None:
        """Send octets, together with what else this turn of the loop has for the client."""
        if not self._out and not self._counted:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > HELD_MAX:
            self._flush()  # the transport says when it is too much

    def _flush(self) -> None:
        """Count what was answered and send it; a client that does not take it is cut off."""
        counted, self._counted = self._counted, []
        self._path.tallies[self._family].add_each(counted)
        out, self._out, self._out_size = self._out, [], 0
        if self._transport is not None and out:
            self._transport.write(b"".join(out))
            if self._transport.get_write_buffer_size() > UNSENT_MAX:
                self._transport.abort()

    def _whose(self, standing: Standing, shown: str | None) -> Group:
        """The group of the client, looked up again when a second has passed, and by other orders or proof."""
        directory = self._path.directory
        now = self._path.clock.wall_ms() // 1000, directory.changed, standing, shown
        if self._group is None or self._looked_up != now:
            self._group = directory.group(self._address, datetime.fromtimestamp(now[0], UTC), standing, shown)
            self._looked_up = now
        return self._group

    def _may_ask(self) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        return self._writable and self.waiting < WAITING_A_CONNECTION

    def _flow(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._may_ask():
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


class TcpPath(StreamPath):
    """DNS over TCP in clear text."""

    def connection(self, origin: Origin | None = None) -> Stream:
        """The protocol of a new connection."""
        return _Connection(self, origin)


class TlsPath(TcpPath):
    """DNS over TLS: the same messages on an encrypted stream."""

    transport = Transport.DOT


class _Connection(Stream):
    """Two octets of length before each message (RFC 1035 §4.2.2)."""

    def __init__(self, path: StreamPath, origin: Origin | None) -> None:
        super().__init__(path, origin)
        self._data = bytearray()
        self._reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection of a client that may ask here."""
        super().connection_made(transport)
        if self.standing is Standing.REFUSED:
            self.end()

    def data_received(self, data: bytes) -> None:
        """Answer every whole message; what is left of one waits for the rest."""
        self._data += data
        self.read_on()

    def read_on(self) -> None:
        """Take messages while the client may ask; then let the transport read, or not."""
        if self._reading:
            return  # called back from below, where an answer could be given at once
        self._reading = True
        buffered, at = self._data, 0
        while self._may_ask() and len(buffered) >= at + 2:
            end = at + 2 + int.from_bytes(buffered[at : at + 2])
            if len(buffered) < end:
                break
            wire = bytes(buffered[at + 2 : end])
            at = end
            if not self.ask(wire, self.standing, self.token, self._send):
                self.end()  # whoever sends that over TCP does not speak DNS, or is not served
        del buffered[:at]
        self._reading = False
        self._flow()

    def _send(self, wire: bytes) -> None:
        """Write length and message in one (RFC 7766 §8)."""
        self.write(len(wire).to_bytes(2) + wire)


def plain_address(host: str) -> Address:
    """The address of a client as realms know it: without a zone, and IPv4 where it is IPv4 in IPv6 form."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
