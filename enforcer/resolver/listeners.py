"""DNS over TCP (RFC 7766): many queries a connection, answered as they are ready, each client within its limits."""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from enforcer.policy.verdict import Address
from enforcer.resolver.clients import Directory, Rendered
from enforcer.resolver.handler import Clock, Handler, Silence, Waiter
from enforcer.resolver.tally import Tally, bucket

WAITING_A_CONNECTION = 128  # questions on their way upstream; then reading stops
UNSENT_MAX = 1 << 20  # octets that a client does not take; then it is cut off
_DROPPED = bucket(None, "dropped")


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """How much of TCP clients may take. idle_s: seconds without a query, after which a connection is closed."""

    clients: int
    per_client: int
    idle_s: float


class TcpPath:
    """All TCP connections of one listener of one worker."""

    def __init__(
        self, directory: Directory, handler: Handler, words: memoryview, clock: Clock, limits: TcpLimits
    ) -> None:
        self.directory = directory
        self.handler = handler
        self.clock = clock
        self.limits = limits
        self.connections: set[_Connection] = set()
        self.of_client: Counter[Address] = Counter()
        self.tallies = {family: Tally(words, "tcp", family) for family in ("4", "6")}

    def connection(self) -> "_Connection":
        """The protocol of a new connection."""
        return _Connection(self)

    def sweep(self) -> None:
        """Once a second: close what has been idle for too long."""
        before = self.clock.steady() - self.limits.idle_s
        for connection in [each for each in self.connections if each.active < before and not each.waiting]:
            connection.end()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.end()


class _Connection(asyncio.Protocol):
    """One client's connection: two octets of length before each message (RFC 1035 §4.2.2)."""

    def __init__(self, path: TcpPath) -> None:
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._address: Address = ip_address("0.0.0.0")  # noqa: S104 (no address yet)
        self._port = 0
        self._family = "4"
        self._writable = True
        self._reading = False
        self._half_closed = False
        self.active = 0.0
        self.waiting = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, within the limits."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is wanted")
        path = self._path
        self._transport = transport
        host, self._port, *_ = transport.get_extra_info("peername") or ("0.0.0.0", 0)  # noqa: S104
        address = ip_address(host.partition("%")[0])
        self._family = str(address.version)
        mapped = address.ipv4_mapped if address.version == 6 else None
        self._address = mapped or address
        self.active = path.clock.steady()
        path.connections.add(self)
        path.of_client[self._address] += 1
        transport.set_write_buffer_limits(high=UNSENT_MAX // 16)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Answer every whole message; what is left of one waits for the rest."""
        self._data += data
        self._read_on()

    def eof_received(self) -> bool:
        """The client asks no more; what it waits for it still gets. True keeps the connection open meanwhile."""
        self._half_closed = True
        return self.waiting > 0

    def pause_writing(self) -> None:
        """The client does not read its answers: neither are its questions read."""
        self._writable = False
        self._flow()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable = True
        self._read_on()

    def _read_on(self) -> None:
        """Take messages while the client may ask; then let the transport read, or not."""
        if self._reading:
            return  # called back from below, where an answer could be given at once
        self._reading = True
        buffered = self._data
        while self._may_ask() and len(buffered) >= 2:
            end = 2 + int.from_bytes(buffered[:2])
            if len(buffered) < end:
                break
            wire = bytes(buffered[2:end])
            del buffered[:end]
            self._answer(wire)
        self._reading = False
        self._flow()

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

    def _answer(self, wire: bytes) -> None:
        path = self._path
        started = self.active = path.clock.steady()
        now = datetime.fromtimestamp(path.clock.wall_ms() // 1000, UTC)
        group = path.directory.group(self._address, now)
        answer = path.handler.answer(wire, group, stream=True, waiter=self._waiter)
        if answer is Silence.NEVER:
            path.tallies[self._family].add((_DROPPED,), 0.0)
            self.end()  # whoever sends that over TCP does not speak DNS, or is not served
        elif answer is not Silence.LATER:
            self._send(*answer, started)

    def _waiter(self) -> Waiter:
        self.waiting += 1
        started = self._path.clock.steady()

        def give(rendered: Rendered, wire: bytes) -> None:
            self.waiting -= 1
            self.active = self._path.clock.steady()
            self._send(rendered, wire, started)
            self._read_on()
            if self._half_closed and not self.waiting:
                self.end()

        return give

    def _send(self, rendered: Rendered, wire: bytes, started: float) -> None:
        """Record, count, and write length and message in one (RFC 7766 §8)."""
        path = self._path
        if rendered[4] is not None:
            path.handler.record(rendered[4], self._address.packed, str(self._address), self._port)
        path.tallies[self._family].add((rendered[3],), path.clock.steady() - started)
        if self._transport is not None:
            self._transport.write(len(wire).to_bytes(2) + wire)
            if self._transport.get_write_buffer_size() > UNSENT_MAX:
                self._transport.abort()
