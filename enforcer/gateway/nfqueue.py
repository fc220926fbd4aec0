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
_ACCEPT = socket.htonl(1)
_BIND, _COPY_PACKET = 1, 2
_FLAGS = 1 | 4  # give on what the queue cannot hold; give us packets that are longer than those on the wire
_IDENT, _MARK, _INDEV, _PAYLOAD = 1, 3, 5, 10

_HEAD = Struct("=IHHII")  # length, type, flags, sequence, port
_GENERAL = Struct("!BBH")  # family, version, resource
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("!I")
_RAW = Struct("=I")
_CODE = Struct("=i")
_HEADERS = _HEAD.size + _GENERAL.size

_ANSWER = Struct("=IHHIIBBHHHIIHHI")


class Queued(NamedTuple):
    """A packet that waits for a verdict. Numbers are as they lie in the message, and go back as they came.

    ident: which packet it is. mark: of the packet, 0 without. incoming: the interface by which it came, 0 if it is not
    known; `interface` is its index. packet: from its IP header on.
    """

    ident: int
    mark: int
    incoming: int
    packet: bytes

    @property
    def interface(self) -> int:
        """The index of the interface by which it came."""
        return socket.ntohl(self.incoming)


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel's answer to a message of ours that it could not follow. code: an errno; 0 is assent."""

    code: int


class Reader:
    """Reads what the kernel sends. A packet whose message lies as the one before is read in one step."""

    def __init__(self) -> None:
        self._alike: Struct | None = None
        self._heads: tuple[int, ...] = ()
        self._payload = 0

    def read(self, data: memoryview) -> list[Queued | Refused]:
        """Every message of one datagram from the kernel that concerns us."""
        size = len(data)
        if self._alike is not None and size > self._payload + 4:
            length, kind, head, ident, in_head, incoming, mark_head, mark, octets, what = self._alike.unpack_from(data)
            if (kind, head, in_head, mark_head, what) == self._heads and length == size:
                end = self._payload + octets
                if end + 3 & ~3 == size or end == size:
                    return [Queued(ident, mark, incoming, bytes(data[self._payload + 4 : end]))]
        return list(self._messages(data))

    def _messages(self, data: memoryview) -> Iterator[Queued | Refused]:
        at, end = 0, len(data)
        while at + _HEAD.size <= end:
            length, kind, _, _, _ = _HEAD.unpack_from(data, at)
            if length < _HEAD.size or at + length > end:
                return
            if kind == _PACKET:
                yield self._queued(data[at : at + length])
            elif kind == _ERROR and length >= _HEAD.size + _CODE.size:
                yield Refused(-_CODE.unpack_from(data, at + _HEAD.size)[0])
            at += length + 3 & ~3

    def _queued(self, data: memoryview) -> Queued:
        found: dict[int, int] = {}
        at = _HEADERS
        packet = b""
        while at + 4 <= len(data):
            length, kind = _ATTRIBUTE.unpack_from(data, at)
            found[kind & 0x3FFF] = at
            if kind & 0x3FFF == _PAYLOAD:
                packet = bytes(data[at + 4 : at + length])
            at += max(length, 4) + 3 & ~3
        self._learn(data, found)
        ident, mark, incoming = (_raw(data, found.get(kind)) for kind in (_IDENT, _MARK, _INDEV))
        return Queued(ident, mark, incoming, packet)

    def _learn(self, data: memoryview, found: dict[int, int]) -> None:
        """Where the parts lie, for messages that have them all in the usual order."""
        self._alike = None
        places = [found.get(kind, 0) for kind in (_IDENT, _INDEV, _MARK, _PAYLOAD)]
        if sorted(places) == places and places[0] == _HEADERS:
            ident, incoming, mark, self._payload = places
            gaps = (incoming - ident - 8, mark - incoming - 8, self._payload - mark - 8)
            self._alike = Struct("=IH14xII{}xII{}xII{}xHH".format(*gaps))
            _, kind, head, _, in_head, _, mark_head, _, _, what = self._alike.unpack_from(data)
            self._heads = kind, head, in_head, mark_head, what


def _raw(data: memoryview, at: int | None) -> int:
    return 0 if at is None or at + 8 > len(data) else _RAW.unpack_from(data, at + 4)[0]


def bind(queue: int, length: int) -> list[bytes]:
    """What makes us the reader of a queue, each to be sent by itself and assented to.

    length: how many packets wait for us at most; what comes beyond goes on, unjudged, to the rules behind the queue,
    which count it and drop it.
    """
    return [
        _config(queue, 1, _GENERAL.pack(_BIND, 0, socket.AF_INET)),
        _config(queue, 2, Struct("!IB").pack(0xFFFF, _COPY_PACKET)),
        _config(queue, 3, _NUMBER.pack(length)),
        _config(queue, 5, _NUMBER.pack(_FLAGS), _attribute(4, _NUMBER.pack(_FLAGS))),
    ]


def accept(queue: int, ident: int, mark: int) -> bytes:
    """The verdict that lets a packet go on, with a mark; both numbers as they lie in messages."""
    return _ANSWER.pack(
        _ANSWER.size, _VERDICT, _REQUEST, 0, 0, 0, 0, socket.htons(queue), 12, 2, _ACCEPT, ident, 8, 3, mark
    )


def _config(queue: int, kind: int, data: bytes, more: bytes = b"") -> bytes:
    return _message(_CONFIG, _REQUEST_ACK, queue, more + _attribute(kind, data))


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def _message(kind: int, flags: int, queue: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEADERS + len(body), kind, flags, 0, 0) + _GENERAL.pack(0, 0, queue) + body
