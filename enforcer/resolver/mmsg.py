"""Datagrams in batches: recvmmsg(2) and sendmmsg(2) through ctypes, and the same one by one where there are none.

A batch is one buffer of fixed places. A reply is written over its query, so that nothing is copied twice.
"""

import ctypes
import errno
import mmap
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

BATCH = 64
PLACE = 4096  # octets for each datagram; a longer query is cut, and so malformed
_SOCKADDR = 32
_CONTROL = 64


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

    def reply_later(self, index: int) -> "Later":
        """How to answer a datagram after the batch is over."""


class Later(Protocol):
    """The way back to one client."""

    def __call__(self, wire: bytes) -> None:
        """Send a reply; a network that does not take it loses it, as UDP does."""


def whom(client: int | bytes) -> IPv4Address | IPv6Address:
    """The address behind a client key: an IPv4 address as an integer of the machine's order, an IPv6 one as octets."""
    if isinstance(client, int):
        return IPv4Address(client.to_bytes(4, sys.byteorder))
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


_STEP = ctypes.sizeof(_Mmsghdr)
_LENGTH_WORD = ctypes.sizeof(_Msghdr) // 4


class MmsgBatch:
    """A batch on Linux: one system call reads it, one sends it.

    On a socket bound to any address the destination of each query travels with it (IP_PKTINFO), so that the reply
    leaves from the address that was asked.
    """

    def __init__(self, sock: socket.socket, any_address: bool) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg
        pointer = ctypes.c_void_p
        self._recvmmsg.argtypes = [ctypes.c_int, pointer, ctypes.c_uint, ctypes.c_int, pointer]
        self._sendmmsg.argtypes = [ctypes.c_int, pointer, ctypes.c_uint, ctypes.c_int]
        self._sock = sock
        self._fd = sock.fileno()
        self._v6 = sock.family == socket.AF_INET6
        self._any = any_address
        self.buffer = mmap.mmap(-1, BATCH * PLACE)
        self._names = mmap.mmap(-1, BATCH * _SOCKADDR)
        self._controls = mmap.mmap(-1, BATCH * _CONTROL)
        self._in, self._out = (_Mmsghdr * BATCH)(), (_Mmsghdr * BATCH)()
        self._iov_in, self._iov_out = (_Iovec * BATCH)(), (_Iovec * BATCH)()
        place, name, control = (_address(block) for block in (self.buffer, self._names, self._controls))
        for index in range(BATCH):
            for headers, vectors in ((self._in, self._iov_in), (self._out, self._iov_out)):
                vectors[index].base, vectors[index].length = place + index * PLACE, PLACE
                header = headers[index].hdr
                header.name, header.namelen = name + index * _SOCKADDR, 28 if self._v6 else 16
                header.iov = ctypes.addressof(vectors) + index * ctypes.sizeof(_Iovec)
                header.iovlen = 1
                if any_address:
                    header.control = control + index * _CONTROL
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        self.sizes = memoryview(self._iov_out).cast("B").cast("Q")
        self._lengths = memoryview(self._in).cast("B").cast("I")
        self._v4 = memoryview(self._names).cast("I")
        if any_address:
            level, option = (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if self._v6 else (socket.IPPROTO_IP, 8)
            sock.setsockopt(level, option, 1)

    def receive(self) -> tuple[Sequence[int], Sequence[int | bytes]]:
        """As `Batch` says. recvmmsg fails only for want of datagrams, or with an old ICMP error, which is spent."""
        if self._any:
            for index in range(BATCH):
                self._in[index].hdr.controllen = _CONTROL
        count = self._recvmmsg(self._fd, self._in_at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return (), ()
        step = _STEP // 4
        lengths = self._lengths[_LENGTH_WORD : count * step : step].tolist()
        if self._v6:
            names = self._names
            return lengths, [names[at : at + 16] for at in range(8, 8 + count * _SOCKADDR, _SOCKADDR)]
        return lengths, self._v4[1 : count * (_SOCKADDR // 4) : _SOCKADDR // 4].tolist()

    def send(self, first: int, end: int) -> None:
        """As `Batch` says."""
        if self._any:
            for index in range(first, end):
                self._out[index].hdr.controllen = self._in[index].hdr.controllen
        while first < end:
            sent = self._sendmmsg(self._fd, self._out_at + first * _STEP, end - first, socket.MSG_DONTWAIT)
            if sent > 0:
                first += sent
                continue
            if ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS):
                return  # the same for all that follow
            first += 1  # this client cannot be reached; the next one may

    def source(self, index: int) -> tuple[str, int]:
        """As `Batch` says."""
        at = index * _SOCKADDR
        port = int.from_bytes(self._names[at + 2 : at + 4])
        packed = self._names[at + 8 : at + 24] if self._v6 else self._names[at + 4 : at + 8]
        return socket.inet_ntop(self._sock.family, packed), port

    def reply_later(self, index: int) -> Later:
        """As `Batch` says."""
        address: tuple[str, int] | tuple[str, int, int, int] = self.source(index)
        if self._v6:
            at = index * _SOCKADDR
            (scope,) = struct.unpack_from("=I", self._names, at + 24)
            address = (*address[:2], 0, scope)
        ancillary: list[tuple[int, int, bytes]] = []
        if self._any and self._in[index].hdr.controllen > 16:
            at = index * _CONTROL
            length, level, option = struct.unpack_from("@Nii", self._controls, at)  # without the padding behind it
            ancillary = [(level, option, self._controls[at + 16 : at + length])]

        def reply(wire: bytes) -> None:
            try:
                self._sock.sendmsg([wire], ancillary, 0, address)
            except OSError:
                return

        return reply


class PlainBatch:
    """A batch where the system has no recvmmsg: one datagram at a time, the same places."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._v6 = sock.family == socket.AF_INET6
        self.buffer = mmap.mmap(-1, BATCH * PLACE)
        self.sizes = memoryview(bytearray(BATCH * 16)).cast("Q")
        self._sources: list[tuple[str, int]] = []

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
            packed = socket.inet_pton(self._sock.family, source[0])
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
        host, port, *_ = self._sources[index]
        return host, port

    def reply_later(self, index: int) -> Later:
        """As `Batch` says."""
        source = self._sources[index]

        def reply(wire: bytes) -> None:
            try:
                self._sock.sendto(wire, source)
            except OSError:
                return

        return reply


def batch_for(sock: socket.socket, *, any_address: bool) -> Batch:
    """The quickest form that this system has; any_address: the socket is bound to 0.0.0.0 or ::."""
    batched = hasattr(ctypes.CDLL(None), "recvmmsg") and hasattr(socket, "IPV6_RECVPKTINFO")
    return MmsgBatch(sock, any_address) if batched else PlainBatch(sock)


def _address(block: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(block))
