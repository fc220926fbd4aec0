"""Datagrams in batches: recvmmsg(2) and sendmmsg(2) through ctypes, and the same one by one where there are none.

A batch is one buffer of fixed places. A reply is written over its query, so that nothing is copied twice.
"""

import ctypes
import errno
import mmap
import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

BATCH = 64
PLACE = 4096  # octets for each datagram; a longer query is cut, and so malformed
_SOCKADDR = 32
_CONTROL = 64
_NAME_V4, _NAME_V6 = 16, 28  # octets of a socket address

type Way = tuple[bytes, bytes]
"""Where a datagram came from, as the kernel writes it, and the ancillary data with the address that was asked."""


class Batch(Protocol):
    """The datagrams of one reading. buffer: datagram i stands at octet i * PLACE.

    sizes: word 2 * i + 1 is how many octets of place i are to be sent.
    """

    buffer: mmap.mmap
    sizes: memoryview

    def receive(self) -> tuple[Sequence[int], Sequence[int | bytes]]:
        """Read what there is, without waiting: the length and the client (as `whom` reads it) of each datagram."""

    def send(self, first: int, end: int) -> None:
        """Send the places from first up to end, each to where it came from.

        What a full socket or an unreachable client does not take is lost, as any datagram may be.
        """

    def source(self, index: int) -> tuple[str, int]:
        """The address and port that a datagram came from."""

    def way(self, index: int) -> Way:
        """The way back to a datagram's sender, for when the batch is over."""

    def post(self, way: Way, wire: bytes) -> bool:
        """Put a reply of at most PLACE octets with those that `flush` sends; True when no more of them fit."""

    def flush(self) -> None:
        """Send the replies that were posted. What the network does not take is lost, as with `send`."""


def source_of(way: Way) -> tuple[str, int]:
    """The address and port at the end of a way back."""
    name = way[0]
    family, packed = (socket.AF_INET6, name[8:24]) if len(name) == _NAME_V6 else (socket.AF_INET, name[4:8])
    return socket.inet_ntop(family, packed), int.from_bytes(name[2:4])


def whom(client: int | bytes) -> IPv4Address | IPv6Address:
    """The address behind a client key: an IPv4 address as an integer of the machine's order, any as its octets."""
    if isinstance(client, int):
        return IPv4Address(client.to_bytes(4, sys.byteorder))
    if len(client) == 4:
        return IPv4Address(client)
    address = IPv6Address(client)
    return address.ipv4_mapped or address


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", _Msghdr), ("length", ctypes.c_uint)]


BATCHED = hasattr(ctypes.CDLL(None), "recvmmsg") and hasattr(socket, "IPV6_RECVPKTINFO")
_STEP = ctypes.sizeof(_Mmsghdr)
_LENGTH_WORD = ctypes.sizeof(_Msghdr) // 4


class Calls:
    """recvmmsg(2) and sendmmsg(2)."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.receive, self.send = libc.recvmmsg, libc.sendmmsg
        pointer = ctypes.c_void_p
        self.receive.argtypes = [ctypes.c_int, pointer, ctypes.c_uint, ctypes.c_int, pointer]
        self.send.argtypes = [ctypes.c_int, pointer, ctypes.c_uint, ctypes.c_int]


class Headers:
    """The headers of BATCH messages, each with its place in a buffer. names: octets of a socket address, 0 for none."""

    def __init__(self, buffer: mmap.mmap, *, names: mmap.mmap | None, name: int, controls: mmap.mmap | None) -> None:
        self.rows = (_Mmsghdr * BATCH)()
        self._vectors = (_Iovec * BATCH)()
        place = _address(buffer)
        for index in range(BATCH):
            self._vectors[index].base, self._vectors[index].length = place + index * PLACE, PLACE
            header = self.rows[index].hdr
            header.iov, header.iovlen = ctypes.addressof(self._vectors) + index * ctypes.sizeof(_Iovec), 1
            if names is not None:
                header.name, header.namelen = _address(names) + index * _SOCKADDR, name
            if controls is not None:
                header.control = _address(controls) + index * _CONTROL
        self.at = ctypes.addressof(self.rows)
        self.sizes = memoryview(self._vectors).cast("B").cast("Q")  # word 2 * i + 1: octets of place i
        self._lengths = memoryview(self.rows).cast("B").cast("I")

    def lengths(self, count: int) -> list[int]:
        """How many octets the first `count` messages have that were received."""
        step = _STEP // 4
        return self._lengths[_LENGTH_WORD : count * step : step].tolist()


class MmsgBatch:
    """A batch on Linux: one system call reads it, one sends it.

    On a socket bound to any address the destination of each query travels with it (IP_PKTINFO), so that the reply
    leaves from the address that was asked.
    """

    def __init__(self, sock: socket.socket, any_address: bool) -> None:
        self._calls = Calls()
        self._fd = sock.fileno()
        self._v6 = sock.family == socket.AF_INET6
        self._any = any_address
        self._name = _NAME_V6 if self._v6 else _NAME_V4
        self.buffer, self._posted = mmap.mmap(-1, BATCH * PLACE), mmap.mmap(-1, BATCH * PLACE)
        self._names, self._posted_names = mmap.mmap(-1, BATCH * _SOCKADDR), mmap.mmap(-1, BATCH * _SOCKADDR)
        self._controls, self._posted_controls = mmap.mmap(-1, BATCH * _CONTROL), mmap.mmap(-1, BATCH * _CONTROL)
        controls = self._controls if any_address else None
        self._in = Headers(self.buffer, names=self._names, name=self._name, controls=controls)
        self._out = Headers(self.buffer, names=self._names, name=self._name, controls=controls)
        controls = self._posted_controls if any_address else None
        self._late = Headers(self._posted, names=self._posted_names, name=self._name, controls=controls)
        self._posts = 0
        self.sizes = self._out.sizes
        self._v4 = memoryview(self._names).cast("I")
        if any_address:
            level, option = (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if self._v6 else (socket.IPPROTO_IP, 8)
            sock.setsockopt(level, option, 1)

    def receive(self) -> tuple[Sequence[int], Sequence[int | bytes]]:
        """As `Batch` says. recvmmsg fails only for want of datagrams, or with an old ICMP error, which is spent."""
        if self._any:
            for index in range(BATCH):
                self._in.rows[index].hdr.controllen = _CONTROL
        count = self._calls.receive(self._fd, self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return (), ()
        if self._v6:
            names = self._names
            clients = [names[at : at + 16] for at in range(8, 8 + count * _SOCKADDR, _SOCKADDR)]
            return self._in.lengths(count), clients
        return self._in.lengths(count), self._v4[1 : count * (_SOCKADDR // 4) : _SOCKADDR // 4].tolist()

    def send(self, first: int, end: int) -> None:
        """As `Batch` says."""
        if self._any:
            for index in range(first, end):
                self._out.rows[index].hdr.controllen = self._in.rows[index].hdr.controllen
        self._send(self._out, first, end)

    def source(self, index: int) -> tuple[str, int]:
        """As `Batch` says."""
        return source_of(self.way(index))

    def way(self, index: int) -> Way:
        """As `Batch` says."""
        at = index * _SOCKADDR
        name = self._names[at : at + self._name]
        if not self._any:
            return name, b""
        at = index * _CONTROL
        return name, self._controls[at : at + self._in.rows[index].hdr.controllen]

    def post(self, way: Way, wire: bytes) -> bool:
        """As `Batch` says."""
        index = self._posts
        name, control = way
        self._posted[index * PLACE : index * PLACE + len(wire)] = wire
        self._posted_names[index * _SOCKADDR : index * _SOCKADDR + len(name)] = name
        self._late.sizes[2 * index + 1] = len(wire)
        if self._any:
            self._posted_controls[index * _CONTROL : index * _CONTROL + len(control)] = control
            self._late.rows[index].hdr.controllen = len(control)
        self._posts = index + 1
        return self._posts == BATCH

    def flush(self) -> None:
        """As `Batch` says."""
        posts, self._posts = self._posts, 0
        self._send(self._late, 0, posts)

    def _send(self, headers: Headers, first: int, end: int) -> None:
        while first < end:
            sent = self._calls.send(self._fd, headers.at + first * _STEP, end - first, socket.MSG_DONTWAIT)
            if sent > 0:
                first += sent
                continue
            if ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS):
                return  # the same for all that follow
            first += 1  # this client cannot be reached; the next one may


class PlainBatch:
    """A batch where the system has no recvmmsg: one datagram at a time, the same places."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._v6 = sock.family == socket.AF_INET6
        self.buffer = mmap.mmap(-1, BATCH * PLACE)
        self.sizes = memoryview(bytearray(BATCH * 16)).cast("Q")
        self._sources: list[tuple[str, int] | tuple[str, int, int, int]] = []
        self._posted: list[tuple[Way, bytes]] = []

    def receive(self) -> tuple[Sequence[int], Sequence[int | bytes]]:
        """As `Batch` says."""
        self._sources.clear()
        lengths: list[int] = []
        clients: list[int | bytes] = []
        while len(lengths) < BATCH:
            try:
                wire, source = self._sock.recvfrom(PLACE, socket.MSG_DONTWAIT)
            except OSError:
                break
            at = len(lengths) * PLACE
            self.buffer[at : at + len(wire)] = wire
            packed = socket.inet_pton(self._sock.family, source[0].partition("%")[0])
            lengths.append(len(wire))
            clients.append(packed if self._v6 else int.from_bytes(packed, sys.byteorder))
            self._sources.append(source)
        return lengths, clients

    def send(self, first: int, end: int) -> None:
        """As `Batch` says."""
        for index in range(first, end):
            at = index * PLACE
            try:
                self._sock.sendto(self.buffer[at : at + self.sizes[2 * index + 1]], self._sources[index])
            except OSError:
                continue

    def source(self, index: int) -> tuple[str, int]:
        """As `Batch` says."""
        return source_of(self.way(index))

    def way(self, index: int) -> Way:
        """As `Batch` says, with the address as Linux would write it."""
        host, port, *rest = self._sources[index]
        packed = socket.inet_pton(self._sock.family, host.partition("%")[0])
        if not self._v6:
            return bytes(2) + port.to_bytes(2) + packed + bytes(8), b""
        scope = rest[1].to_bytes(4, sys.byteorder) if rest else bytes(4)
        return bytes(2) + port.to_bytes(2) + bytes(4) + packed + scope, b""

    def post(self, way: Way, wire: bytes) -> bool:
        """As `Batch` says."""
        self._posted.append((way, wire))
        return len(self._posted) == BATCH

    def flush(self) -> None:
        """As `Batch` says."""
        posted, self._posted = self._posted, []
        for way, wire in posted:
            try:
                self._sock.sendto(wire, _destination(way))
            except OSError:
                continue


def _destination(way: Way) -> tuple[str, int] | tuple[str, int, int, int]:
    """A way back as Python's sockets want it."""
    host, port = source_of(way)
    if len(way[0]) == _NAME_V4:
        return host, port
    return host, port, 0, int.from_bytes(way[0][24:28], sys.byteorder)


def batch_for(sock: socket.socket, *, any_address: bool) -> Batch:
    """The quickest form that this system has; any_address: the socket is bound to 0.0.0.0 or ::."""
    return MmsgBatch(sock, any_address) if BATCHED else PlainBatch(sock)


def _address(block: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(block))
