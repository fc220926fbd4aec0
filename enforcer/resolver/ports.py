"""The UDP sockets to one upstream: connected, each with a port of the kernel's choice that is given up after a while.

What is asked in one turn of the event loop leaves together, through a socket chosen at random, each query with an ID
of its own chosen at random (RFC 5452 §9.2). The kernel lets only datagrams of the upstream's own address and port in;
who gave a query compares ID and question (§9.1).
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from functools import partial

from enforcer.config.values import Upstream
from enforcer.resolver.connected import Wire
from enforcer.resolver.mmsg import BATCH

PORTS = 32  # sockets to each upstream
QUERIES_A_PORT = 512  # after which a socket is replaced, and with it the port
IN_FLIGHT_A_PORT = 256
_DRAWN = 2048  # octets of chance at a time: asking the system for two costs as much as a query


class Chance:
    """Numbers of 16 bits that nobody can foresee."""

    def __init__(self) -> None:
        self._left: list[int] = []

    def draw(self) -> int:
        """The next one."""
        if not self._left:
            self._left = memoryview(os.urandom(_DRAWN)).cast("H").tolist()
        return self._left.pop()


class Port[Waiting]:
    """One connected socket, who waits on it by ID, and what it is to send."""

    __slots__ = ("retired", "sock", "unsent", "uses", "waiting")

    def __init__(self, address: tuple[str, int], family: int) -> None:
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self.uses = 0
        self.retired = False
        self.waiting: dict[int, Waiting] = {}
        self.unsent: list[bytes] = []


class Ports[Waiting]:
    """All sockets to one upstream.

    heard: told of each datagram, and on which port it came. lost: told of those whose query did not leave, or of all
    who wait on a port where an ICMP error came in.
    """

    def __init__(
        self,
        target: Upstream,
        wire: Wire,
        loop: asyncio.AbstractEventLoop,
        *,
        heard: Callable[[Port[Waiting], bytes], None],
        lost: Callable[[Port[Waiting], list[Waiting]], None],
    ) -> None:
        self._address = (str(target.address), target.port)
        self._family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
        self._wire = wire
        self._loop = loop
        self._heard = heard
        self._lost = lost
        self._chance = Chance()
        self._in_use: list[Port[Waiting]] = []
        self.open: set[Port[Waiting]] = set()  # those that are given up and waited for too
        self._now: Port[Waiting] | None = None  # the one that this turn's next queries go through
        self._left = 0  # how many more of them
        self._loaded: list[Port[Waiting]] = []  # those that have something to send

    def ask(self, query: bytes, waiting: Waiting) -> tuple[Port[Waiting], int]:
        """Send a query with the next batch; `query`: all but the ID. Raises OSError when there is no socket."""
        port = self._now
        if port is None or not self._left:
            if not self._loaded:
                self._loop.call_soon(self._flush)
            port = self._now = self._choose()
            self._left = BATCH
            if not port.unsent:
                self._loaded.append(port)
        self._left -= 1
        draw = self._chance.draw
        number = draw()
        while number in port.waiting:
            number = draw()
        port.waiting[number] = waiting
        port.unsent.append(number.to_bytes(2) + query)
        port.uses += 1
        return port, number

    def forget(self, port: Port[Waiting], number: int) -> None:
        """Nobody waits for this answer any more; who waits last on a port that was given up closes it."""
        del port.waiting[number]
        if not port.waiting:
            self._close_unused(port)

    def close(self) -> None:
        """Close every socket; who waits is not told."""
        for port in list(self.open):
            self._close(port)
        self._in_use.clear()
        self._loaded.clear()
        self._now = None

    def _choose(self) -> Port[Waiting]:
        """A socket chosen at random, or a new one while there are few."""
        ports = self._in_use
        if len(ports) >= PORTS:
            index = secrets.randbelow(len(ports))
            port = ports[index]
            if port.uses < QUERIES_A_PORT and len(port.waiting) < IN_FLIGHT_A_PORT:
                return port
            del ports[index]
            port.retired = True
            self._close_unused(port)
        port = Port(self._address, self._family)
        self._loop.add_reader(port.sock.fileno(), partial(self._readable, port))
        ports.append(port)
        self.open.add(port)
        return port

    def _close(self, port: Port[Waiting]) -> None:
        self._loop.remove_reader(port.sock.fileno())
        port.sock.close()
        self.open.discard(port)

    def _close_unused(self, port: Port[Waiting]) -> None:
        if port.retired and not port.waiting and not port.unsent and port in self.open:
            self._close(port)

    def _flush(self) -> None:
        """Send what this turn has asked."""
        ports, self._loaded = self._loaded, []
        self._now = None
        for port in ports:
            queries, port.unsent = port.unsent, []
            for first in range(0, len(queries), BATCH):
                self._send(port, queries[first : first + BATCH])
            self._close_unused(port)

    def _send(self, port: Port[Waiting], queries: list[bytes]) -> None:
        try:
            sent = self._wire.send(port.sock, queries)
        except OSError:
            sent = 0
        if sent < len(queries):
            numbers = [int.from_bytes(query[:2]) for query in queries[sent:]]
            self._lost(port, [port.waiting[number] for number in numbers if number in port.waiting])

    def _readable(self, port: Port[Waiting]) -> None:
        while port in self.open:
            try:
                wires = self._wire.receive(port.sock)
            except OSError:  # ICMP: nobody listens there
                self._lost(port, list(port.waiting.values()))
                return
            for wire in wires:
                self._heard(port, wire)
            if len(wires) < BATCH:
                return
