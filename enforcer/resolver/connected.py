"""Datagrams on connected sockets, many with one system call: what goes to upstreams, and what comes from them."""

import ctypes
import errno
import mmap
import socket
from collections.abc import Sequence
from typing import Protocol

from enforcer.resolver.mmsg import BATCH, BATCHED, PLACE, Calls, Headers

_PLACES = range(0, BATCH * PLACE, PLACE)


class Wire(Protocol):
    """Datagrams on connected sockets, many at a time; one for all sockets of a process."""

    def send(self, sock: socket.socket, wires: Sequence[bytes]) -> int:
        """Send at most BATCH of them; how many the kernel took. Raises OSError when it took none."""

    def receive(self, sock: socket.socket) -> list[bytes]:
        """What there is, at most BATCH, without waiting, each cut to PLACE. Raises OSError for an ICMP error."""


class MmsgWire:
    """As `Wire` says, on Linux."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._buffer_in, self._buffer_out = mmap.mmap(-1, BATCH * PLACE), mmap.mmap(-1, BATCH * PLACE)
        self._in = Headers(self._buffer_in, names=None, name=0, controls=None)
        self._out = Headers(self._buffer_out, names=None, name=0, controls=None)

    def send(self, sock: socket.socket, wires: Sequence[bytes]) -> int:
        """As `Wire` says."""
        if len(wires) == 1:
            sock.send(wires[0])
            return 1
        buffer, sizes = self._buffer_out, self._out.sizes
        for index, wire in enumerate(wires):
            buffer[index * PLACE : index * PLACE + len(wire)] = wire
            sizes[2 * index + 1] = len(wire)
        sent: int = self._calls.send(sock.fileno(), self._out.at, len(wires), socket.MSG_DONTWAIT)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return sent

    def receive(self, sock: socket.socket) -> list[bytes]:
        """As `Wire` says."""
        count: int = self._calls.receive(sock.fileno(), self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            if ctypes.get_errno() == errno.EAGAIN:
                return []
            raise OSError(ctypes.get_errno(), "recvmmsg")
        buffer = self._buffer_in
        return [buffer[at : at + length] for at, length in zip(_PLACES, self._in.lengths(count), strict=False)]


class PlainWire:
    """As `Wire` says, where the system has no recvmmsg."""

    def send(self, sock: socket.socket, wires: Sequence[bytes]) -> int:
        """As `Wire` says."""
        for sent, wire in enumerate(wires):
            try:
                sock.send(wire)
            except OSError:
                if not sent:
                    raise
                return sent
        return len(wires)

    def receive(self, sock: socket.socket) -> list[bytes]:
        """As `Wire` says."""
        wires: list[bytes] = []
        while len(wires) < BATCH:
            try:
                wires.append(sock.recv(PLACE, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
            except OSError:
                if not wires:
                    raise
                break
        return wires


def wire() -> Wire:
    """The quickest form that this system has."""
    return MmsgWire() if BATCHED else PlainWire()
