"""RADIUS accounting: read, verify, answer (RFC 2866; attributes RFC 2869, 3162, 4818, 6911; 3GPP TS 29.061 §16.4).

    0        1    2        4               20
    code     id   length   authenticator   attributes: type, length (of all three), value

A packet that is wrong anywhere is wrong as a whole, and `Malformed`: what it would say of a device cannot be believed.
Location and time zone (3GPP 22 and 23) are stepped over: nobody here has any use for where a device is.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from enforcer.errors import Malformed

HEADER: Final = 20
PACKET_MAX: Final = 4096
VENDOR_3GPP: Final = 10415
MESSAGE_AUTHENTICATOR: Final = 80
PROXY_STATE: Final = 33
VENDOR_SPECIFIC: Final = 26
RADSEC_SECRET: Final = b"radsec"  # RFC 6614 §2.3: TLS protects, the secret is the same for all

_NO_AUTHENTICATOR = bytes(16)
_NO_ADDRESS = frozenset((0, 0xFFFFFFFE, 0xFFFFFFFF))  # none, and the two that ask the client to choose (RFC 2865 §5.8)


class Code(IntEnum):
    """The packets that we read or write."""

    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    STATUS_SERVER = 12


class StatusType(IntEnum):
    """Acct-Status-Type, as far as it is of sessions (RFC 2866 §5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, its attributes framed but not read. octets: exactly `length` of them.

    proof: where the value of the Message-Authenticator begins; None without one.
    """

    code: int
    id: int
    octets: bytes
    attributes: tuple[tuple[int, bytes], ...]
    proof: int | None

    @property
    def authenticator(self) -> bytes:
        """The 16 octets of the header."""
        return self.octets[4:HEADER]


@dataclass(slots=True)
class Accounting:
    """What an Accounting-Request says. None, or empty: not said.

    status: None for kinds of accounting that are not of sessions. nas: NAS-Identifier, else its address. prefixes:
    framed and delegated IPv6 prefixes, each its length and its first bits as a number. calling, called: as sent. rat:
    radio access technology. last_bearer: the session has ended with all its bearers. seen: the names of all these that
    were there, for the operator's list of what a gateway sends.
    """

    status: StatusType | None = None
    session: str = ""
    nas_id: str | None = None
    nas_address: str | None = None
    event_s: int | None = None
    delay_s: int = 0
    session_s: int | None = None
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    prefixes: list[tuple[int, int]] = field(default_factory=list)
    calling: str | None = None
    called: str | None = None
    imsi: str | None = None
    imeisv: str | None = None
    bearer: str | None = None
    network: str | None = None
    rat: int | None = None
    last_bearer: bool = False
    seen: set[str] = field(default_factory=set)

    @property
    def nas(self) -> str | None:
        """How the gateway calls itself."""
        return self.nas_id or self.nas_address


def framed(data: bytes) -> int | None:
    """How many octets the packet has that a stream begins with; None while that cannot be said (RFC 6614 §2.1).

    Raises Malformed when no packet begins there.
    """
    if len(data) < 4:
        return None
    length = int.from_bytes(data[2:4])
    if not HEADER <= length <= PACKET_MAX:
        raise Malformed(f"a packet of {length} octets")
    return length


def read_packet(datagram: bytes) -> Packet:
    """Read the header, and frame the attributes. Octets behind Length are padding (RFC 2865 §3). Raises Malformed."""
    length = framed(datagram)
    if length is None or len(datagram) < length:
        raise Malformed(f"{len(datagram)} octets are no whole packet")
    octets = datagram[:length]
    attributes, at, proof = [], HEADER, None
    while at < length:
        kind, size = octets[at], octets[at + 1] if at + 1 < length else 0
        if size < 2 or at + size > length:
            raise Malformed(f"attribute {kind} has {size} octets")
        if kind == MESSAGE_AUTHENTICATOR:
            if proof is not None or size != 18:
                raise Malformed("Message-Authenticator is there twice, or has no 16 octets")
            proof = at + 2
        attributes.append((kind, octets[at + 2 : at + size]))
        at += size
    return Packet(octets[0], octets[1], octets, tuple(attributes), proof)


def is_authentic(packet: Packet, secret: bytes, *, proof_required: bool = False) -> bool:
    """Whether a request was made by who knows the secret (RFC 2866 §3, RFC 5080 §2.3.3, RFC 5997 §3).

    proof_required: a Message-Authenticator may not be missing; Status-Server always needs one, since its own
    authenticator proves nothing.
    """
    octets = packet.octets
    status = packet.code == Code.STATUS_SERVER
    if not status:
        zeroed = octets[:4] + _NO_AUTHENTICATOR + octets[HEADER:]
        made = md5(zeroed + secret, usedforsecurity=False).digest()
        if not hmac.compare_digest(made, packet.authenticator):
            return False
    if packet.proof is None:
        return not (status or proof_required)
    place = packet.proof
    header = octets[:HEADER] if status else octets[:4] + _NO_AUTHENTICATOR
    made = hmac.digest(secret, header + octets[HEADER:place] + bytes(16) + octets[place + 16 :], "md5")
    return hmac.compare_digest(made, octets[place : place + 16])


def answer(packet: Packet, secret: bytes) -> bytes:
    """The Accounting-Response to a request, with what proxies put into it.

    Only one to Status-Server has a Message-Authenticator (RFC 5997 §3). To an Accounting-Request the authenticator of
    the response proves as much, and implementations differ in what the other would be made over.
    """
    states = [(kind, value) for kind, value in packet.attributes if kind == PROXY_STATE]
    proof = [(MESSAGE_AUTHENTICATOR, bytes(16))] if packet.code == Code.STATUS_SERVER else []
    if not proof and not states:  # nearly always
        head = bytes((Code.ACCOUNTING_RESPONSE, packet.id, 0, HEADER))
        return head + md5(head + packet.authenticator + secret, usedforsecurity=False).digest()
    octets = _written(Code.ACCOUNTING_RESPONSE, packet.id, packet.authenticator, [*proof, *states])
    if proof:
        octets = octets[: HEADER + 2] + hmac.digest(secret, octets, "md5") + octets[HEADER + 18 :]
    return octets[:4] + md5(octets + secret, usedforsecurity=False).digest() + octets[HEADER:]


def request(
    code: Code,
    number: int,
    attributes: Iterable[tuple[int, bytes]],
    secret: bytes,
    *,
    authenticator: bytes | None = None,
) -> bytes:
    """Write a request. An attribute 80 is filled in wherever it stands.

    authenticator: 16 octets of chance for Status-Server; None for Accounting-Request, which has its own.
    """
    listed = list(attributes)
    octets = _written(code, number, authenticator or _NO_AUTHENTICATOR, listed)
    at = HEADER
    for kind, value in listed:
        if kind == MESSAGE_AUTHENTICATOR:
            octets = octets[: at + 2] + hmac.digest(secret, octets, "md5") + octets[at + 18 :]
        at += 2 + len(value)
    if authenticator is not None:
        return octets
    return octets[:4] + md5(octets + secret, usedforsecurity=False).digest() + octets[HEADER:]


def vendor(kind: int, value: bytes) -> tuple[int, bytes]:
    """A 3GPP sub-attribute as an attribute."""
    return VENDOR_SPECIFIC, VENDOR_3GPP.to_bytes(4) + bytes((kind, len(value) + 2)) + value


def read_accounting(packet: Packet) -> Accounting:
    """Read what an Accounting-Request says. Raises Malformed."""
    found = Accounting()
    statuses = 0
    for kind, value in packet.attributes:
        if kind == 40:
            statuses += 1
        elif kind == VENDOR_SPECIFIC:
            for own, inner in _sub_attributes(value):
                _take(found, _OF_3GPP.get(own), inner)
            continue
        _take(found, _ATTRIBUTES.get(kind), value)
    if statuses != 1:
        raise Malformed(f"{statuses} attributes Acct-Status-Type")
    if not found.session and found.status in (StatusType.START, StatusType.STOP, StatusType.INTERIM):
        raise Malformed("no Acct-Session-Id")
    return found


def _written(code: int, number: int, authenticator: bytes, attributes: Iterable[tuple[int, bytes]]) -> bytes:
    body = b"".join(bytes((kind, len(value) + 2)) + value for kind, value in attributes)
    return bytes((code, number)) + (HEADER + len(body)).to_bytes(2) + authenticator + body


def _sub_attributes(value: bytes) -> Iterator[tuple[int, bytes]]:
    """The sub-attributes of 3GPP; other vendors' need not have this form, and none is of use here."""
    if len(value) < 5:
        raise Malformed("a vendor-specific attribute without content")
    if int.from_bytes(value[:4]) != VENDOR_3GPP:
        return
    at = 4
    while at < len(value):
        size = value[at + 1] if at + 1 < len(value) else 0
        if size < 2 or at + size > len(value):
            raise Malformed(f"sub-attribute {value[at]} has {size} octets")
        yield value[at], value[at + 2 : at + size]
        at += size


def _take(found: Accounting, reader: "tuple[str, Callable[[bytes], object]] | None", value: bytes) -> None:
    if reader is None:
        return
    name, read = reader
    said = read(value)
    if said is None:
        return
    found.seen.add(name)
    if name == "prefixes":
        found.prefixes.append(said)  # type: ignore[arg-type]  # what _prefix returns
    else:
        setattr(found, name, said)


def _number(value: bytes) -> int:
    if len(value) != 4:
        raise Malformed(f"a number of {len(value)} octets")
    return int.from_bytes(value)


def _status(value: bytes) -> StatusType | None:
    number = _number(value)
    return StatusType(number) if number in _STATUSES else None


def _text(value: bytes) -> str | None:
    """None for what is no text: such an attribute is left out, and the packet is good."""
    try:
        text = value.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None


def _ipv4(value: bytes) -> IPv4Address | None:
    number = _number(value)
    return None if number in _NO_ADDRESS else IPv4Address(number)


def _ipv6(value: bytes) -> IPv6Address:
    if len(value) != 16:
        raise Malformed(f"an IPv6 address of {len(value)} octets")
    return IPv6Address(value)


def _prefix(value: bytes) -> tuple[int, int]:
    """RFC 3162 §2.3: a reserved octet, the length in bits, and as many octets as that needs, or more that are zero."""
    if not 2 <= len(value) <= 18:
        raise Malformed(f"an IPv6 prefix of {len(value)} octets")
    length, octets = value[1], value[2:]
    spare = 8 * len(octets) - length
    bits = int.from_bytes(octets)
    if length > 128 or spare < 0 or bits & ((1 << spare) - 1):
        raise Malformed(f"an IPv6 prefix of {length} bits in {len(octets)} octets")
    return length, bits >> spare


def _octet(value: bytes) -> int:
    if len(value) != 1:
        raise Malformed(f"{len(value)} octets for one")
    return value[0]


def _last(value: bytes) -> bool:
    return _octet(value) == 0xFF


_STATUSES = frozenset(StatusType)
_ATTRIBUTES: dict[int, tuple[str, Callable[[bytes], object]]] = {
    4: ("nas_address", lambda value: str(IPv4Address(_number(value)))),
    8: ("ipv4", _ipv4),
    30: ("called", _text),
    31: ("calling", _text),
    32: ("nas_id", _text),
    40: ("status", _status),
    41: ("delay_s", _number),
    44: ("session", _text),
    46: ("session_s", _number),
    55: ("event_s", _number),
    95: ("nas_address", lambda value: str(_ipv6(value))),
    97: ("prefixes", _prefix),
    123: ("prefixes", _prefix),
    168: ("ipv6", _ipv6),
}
_OF_3GPP: dict[int, tuple[str, Callable[[bytes], object]]] = {
    1: ("imsi", _text),
    10: ("bearer", _text),
    11: ("last_bearer", _last),
    18: ("network", _text),
    20: ("imeisv", _text),
    21: ("rat", _octet),
}
