"""IP packets of TCP and UDP to values, and the few TCP packets that we send ourselves.

IPv4 (RFC 791), IPv6 with its extension headers (RFC 8200 §4), TCP (RFC 9293 §3.1), UDP (RFC 768). The kernel has put
fragments together and seen that checksums hold before it gives us a packet.
"""

import struct
from struct import Struct
from typing import NamedTuple

from enforcer.errors import Malformed

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_EXTENSIONS_MAX = 8
_TTL = 64

_PORTS = Struct("!HH")
_TCP_HEAD = Struct("!HHII")
_TCP = Struct("!HHIIBBHHH")
_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")


class Packet(NamedTuple):
    """One packet. key: tells its connection and direction from all others. Addresses are 4 or 16 octets.

    sequence, acknowledged, flags: 0 for UDP. data: behind the transport's header.
    """

    key: bytes
    source: bytes
    target: bytes
    source_port: int
    target_port: int
    protocol: int
    sequence: int
    acknowledged: int
    flags: int
    data: bytes


def read_packet(raw: bytes) -> Packet:
    """Read an IP packet. Raises Malformed for what is neither TCP nor UDP, and for what is cut off."""
    try:
        if raw[0] >> 4 == 4:
            at, length, protocol = (raw[0] & 15) * 4, raw[2] << 8 | raw[3], raw[9]
            source, target = raw[12:16], raw[16:20]
        else:
            at, protocol = _behind_extensions(raw)
            length = raw[4] << 8 | raw[5]
            length += 40 if length else 0
            source, target = raw[8:24], raw[24:40]
        end = length or len(raw)  # 0: offloading has made it longer than the field can say
        if protocol == TCP:
            source_port, target_port, sequence, acknowledged = _TCP_HEAD.unpack_from(raw, at)
            start, flags = at + (raw[at + 12] >> 4) * 4, raw[at + 13]
        elif protocol == UDP:
            source_port, target_port = _PORTS.unpack_from(raw, at)
            sequence = acknowledged = flags = 0
            start = at + 8
        else:
            raise Malformed(f"IP protocol {protocol}: neither TCP nor UDP")
    except (IndexError, struct.error):
        raise Malformed(f"packet of {len(raw)} octets: cut off in a header") from None
    if start > end or end > len(raw):
        raise Malformed(f"packet of {len(raw)} octets: its headers say more")
    key = b"%b%b%b%c" % (source, target, raw[at : at + 4], protocol)
    data = raw[start:end]
    return Packet(key, source, target, source_port, target_port, protocol, sequence, acknowledged, flags, data)


def segment(
    source: bytes,
    target: bytes,
    source_port: int,
    target_port: int,
    *,
    sequence: int,
    acknowledged: int,
    flags: int,
    data: bytes = b"",
) -> bytes:
    """A whole IP packet with one TCP segment. Addresses of 4 octets make IPv4, of 16 IPv6; numbers may be too large."""
    length = 20 + len(data)
    payload = (
        _TCP.pack(source_port, target_port, sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 0x50, flags, 8192, 0, 0)
        + data
    )
    check = _checksum(b"%b%b%b%b" % (source, target, (length << 32 | TCP).to_bytes(8), payload))
    payload = b"%b%b%b" % (payload[:16], check, payload[18:])
    if len(source) == 16:
        return _IPV6.pack(6 << 28, length, TCP, _TTL, source, target) + payload
    head = _IPV4.pack(0x45, 0, 20 + length, 0, 0x4000, _TTL, TCP, 0, source, target)
    return b"%b%b%b%b" % (head[:10], _checksum(head), head[12:], payload)


def _behind_extensions(raw: bytes) -> tuple[int, int]:
    """Where the transport's header begins, and its protocol (RFC 8200 §4.1)."""
    at, kind = 40, raw[6]
    for _ in range(_EXTENSIONS_MAX):
        if kind in {_HOP_BY_HOP, _ROUTING, _OPTIONS}:
            kind, at = raw[at], at + 8 + raw[at + 1] * 8
        elif kind == _FRAGMENT:
            if raw[at + 2] << 8 | raw[at + 3] & 0xF8:
                raise Malformed("IPv6: a fragment that is not the first")
            kind, at = raw[at], at + 8
        elif kind == _AUTHENTICATION:
            kind, at = raw[at], at + 8 + raw[at + 1] * 4
        else:
            return at, kind
    raise Malformed(f"IPv6: more than {_EXTENSIONS_MAX} extension headers")


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071), in two octets."""
    if len(data) % 2:
        data += b"\0"
    total = int.from_bytes(data) % 0xFFFF  # 2^16 is 1 modulo 2^16 - 1, so the sum of the words is the number itself
    return (0xFFFF - total).to_bytes(2)
