"""IP packets: who sends what to whom over which protocol, put together again where they came in fragments."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from enforcer.policy.verdict import Address

TCP, UDP = 6, 17

FRAGMENTED_MAX = 256
"""Packets that are put together at a time; the oldest gives way."""

PIECES_MAX = 64
"""Fragments of one packet; 45 of 1,480 octets make the largest."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_EXTENSIONS_MAX = 16


@dataclass(frozen=True, slots=True)
class Packet:
    """A whole packet. payload: from the header of its protocol on. cut: the capture does not have all of it."""

    source: Address
    destination: Address
    protocol: int
    payload: bytes
    cut: bool = False


@dataclass(slots=True)
class _Pieces:
    """Fragments by where they begin. size: of the whole, once the last one is there."""

    parts: dict[int, bytes] = field(default_factory=dict)
    size: int | None = None

    def whole(self) -> bytes | None:
        """The payload without a gap; what two fragments say differently is as the first in order says it."""
        found = bytearray()
        for start in sorted(self.parts):
            if start > len(found):
                return None
            found += self.parts[start][len(found) - start :]
        return bytes(found[: self.size]) if self.size is not None and len(found) >= self.size else None


type _Key = tuple[bytes, int, int]
"""Both addresses, the identification, the protocol."""


class Packets:
    """IP packets of a capture, in order."""

    def __init__(self) -> None:
        self._pieces: dict[_Key, _Pieces] = {}

    def read(self, data: bytes) -> Packet | None:
        """The packet whose header these octets begin with; None for a fragment of one, and for what is none."""
        return self._v4(data) if data[0] >> 4 == 4 else self._v6(data)

    def _v4(self, data: bytes) -> Packet | None:
        head = (data[0] & 0xF) * 4
        if head < 20 or len(data) < head:
            return None
        size = int.from_bytes(data[2:4]) or len(data)  # 0: the network card was to cut it up (TSO)
        source, destination = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        protocol, place = data[9], int.from_bytes(data[6:8])
        payload, cut = data[head:size], size > len(data)
        if place & 0x3FFF:
            key = data[12:20], int.from_bytes(data[4:6]), protocol
            whole = self._join(key, (place & 0x1FFF) * 8, payload, more=bool(place & 0x2000))
            return None if whole is None else Packet(source, destination, protocol, whole)
        return Packet(source, destination, protocol, payload, cut)

    def _v6(self, data: bytes) -> Packet | None:
        if len(data) < 40:
            return None
        size = 40 + int.from_bytes(data[4:6]) if data[4:6] != b"\0\0" else len(data)
        source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
        found = self._behind_extensions(data[:size], data[6])
        return None if found is None else Packet(source, destination, *found, size > len(data))

    def _behind_extensions(self, data: bytes, kind: int) -> tuple[int, bytes] | None:
        """The protocol and what is of it (RFC 8200 §4); None for a fragment."""
        at, key = 40, data[8:40]
        for _ in range(_EXTENSIONS_MAX):
            if kind not in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS):
                return kind, data[at:]
            if at + 8 > len(data):
                return None
            following = data[at]
            if kind == _FRAGMENT:
                place = int.from_bytes(data[at + 2 : at + 4])
                if place & 0xFFF9:
                    identity = key, int.from_bytes(data[at + 4 : at + 8]), -1
                    whole = self._join(identity, place & 0xFFF8, data[at + 8 :], more=bool(place & 1))
                    if whole is None:
                        return None
                    data, at = data[:40] + whole, 40
                else:
                    at += 8
            else:
                at += (data[at + 1] + 2) * 4 if kind == _AUTHENTICATION else (data[at + 1] + 1) * 8
            kind = following
        return None

    def _join(self, key: _Key, start: int, part: bytes, *, more: bool) -> bytes | None:
        """Keep a fragment; all of them, once they are there."""
        pieces = self._pieces.setdefault(key, _Pieces())
        pieces.parts.setdefault(start, part)
        if not more:
            pieces.size = start + len(part)
        whole = pieces.whole()
        if whole is not None or len(pieces.parts) > PIECES_MAX:
            del self._pieces[key]
        elif len(self._pieces) > FRAGMENTED_MAX:
            del self._pieces[next(iter(self._pieces))]
        return whole
