"""The messages of NFQUEUE, as octets: packets that the kernel gives us, and our verdicts.

Netlink (RFC 3549 §2), with `struct nfgenmsg` behind the header and attributes behind that; the numbers are those of
linux/netfilter/nfnetlink_queue.h. Numbers in attributes are in network order, headers in the machine's own.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

NETLINK_NETFILTER = 12
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5

_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = (_SUBSYSTEM | kind for kind in range(3))
_REQUEST, _REQUEST_ACK = 1, 5
_ERROR = 2
_DROP, _ACCEPT = 0, 1
_BIND, _COPY_PACKET, _ACCEPT_GSO = 1, 2, 4

_HEAD = Struct("=IHHII")  # length, type, flags, sequence, port
_GENERAL = Struct("!BBH")  # family, version, resource
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("!I")
_CODE = Struct("=i")
_HEADERS = _HEAD.size + _GENERAL.size

_VERDICT_LENGTH = _HEADERS + 12 + 8
_ANSWER = Struct("=IHHIIBBHHH8sHH4s")


class Queued(NamedTuple):
    """A packet that waits for a verdict. ident: its number in the queue. mark: the number of its mark, 0 without.

    interface: the index of the one it came in by; 0 if it is not known. packet: from its IP header on.
    """

    ident: int
    mark: int
    interface: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel's answer to a message of ours that it could not follow. code: an errno; 0 is assent."""

    code: int


def read_messages(data: memoryview) -> Iterator[Queued | Refused]:
    """Every message of one datagram from the kernel that concerns us."""
    at, end = 0, len(data)
    while at + _HEAD.size <= end:
        length, kind, _, _, _ = _HEAD.unpack_from(data, at)
        if length < _HEAD.size or at + length > end:
            return
        if kind == _PACKET:
            yield _queued(data, at + _HEADERS, at + length)
        elif kind == _ERROR:
            yield Refused(-_CODE.unpack_from(data, at + _HEAD.size)[0])
        at += length + 3 & ~3


def bind(queue: int, length: int) -> list[bytes]:
    """What makes us the reader of a queue, each to be sent by itself and assented to.

    length: how many packets wait for us at most; what comes beyond is dropped by the kernel, and counted.
    """
    return [
        _config(queue, 1, _GENERAL.pack(_BIND, 0, socket.AF_INET)),
        _config(queue, 2, Struct("!IB").pack(0xFFFF, _COPY_PACKET)),
        _config(queue, 3, _NUMBER.pack(length)),
        _config(queue, 5, _NUMBER.pack(_ACCEPT_GSO), _attribute(4, _NUMBER.pack(_ACCEPT_GSO))),
    ]


def accept(queue: int, ident: int, mark: int) -> bytes:
    """The verdict that lets a packet go on, with a number for its mark."""
    return _ANSWER.pack(
        _VERDICT_LENGTH, _VERDICT, _REQUEST, 0, 0, 0, 0, socket.htons(queue),
        12, 2, b"\0\0\0\1" + ident.to_bytes(4), 8, 3, mark.to_bytes(4),
    )  # fmt: skip


def drop(queue: int, ident: int) -> bytes:
    """The verdict that ends a packet."""
    body = _attribute(2, _NUMBER.pack(_DROP) + _NUMBER.pack(ident))
    return _message(_VERDICT, _REQUEST, queue, body)


def _queued(data: memoryview, at: int, end: int) -> Queued:
    ident = mark = interface = 0
    packet = b""
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        match kind & 0x3FFF:
            case 1:
                ident = int.from_bytes(data[at + 4 : at + 8])
            case 3:
                mark = int.from_bytes(data[at + 4 : at + 8])
            case 5:
                interface = int.from_bytes(data[at + 4 : at + 8])
            case 10:
                packet = bytes(data[at + 4 : at + length])
        at += max(length, 4) + 3 & ~3
    return Queued(ident, mark, interface, packet)


def _config(queue: int, kind: int, data: bytes, more: bytes = b"") -> bytes:
    return _message(_CONFIG, _REQUEST_ACK, queue, more + _attribute(kind, data))


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def _message(kind: int, flags: int, queue: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEADERS + len(body), kind, flags, 0, 0) + _GENERAL.pack(0, 0, queue) + body
