"""DNS messages read from the wire: queries of clients, responses of upstreams (RFC 1035 §4, RFC 6891).

Reading finds what a decision needs and leaves the rest as octets of the message. The values are named tuples, not
dataclasses: they are made for each query and each record, at a third of the cost.
"""

import struct
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from enforcer.errors import Malformed
from enforcer.wire.dnscodes import RRClass, RRType
from enforcer.wire.name import Name, read_name, skip_name

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!HHIH")
_OPTION = struct.Struct("!2H")

# Plain integers: compared for every record.
_A, _AAAA, _CNAME, _DNAME, _SOA = map(int, (RRType.A, RRType.AAAA, RRType.CNAME, RRType.DNAME, RRType.SOA))
_OPT, _SIG, _TSIG, _SVCB, _HTTPS = map(int, (RRType.OPT, RRType.SIG, RRType.TSIG, RRType.SVCB, RRType.HTTPS))
_IN = int(RRClass.IN)


class Section(Enum):
    """Where in a message a record stands."""

    ANSWER = 1
    AUTHORITY = 2
    ADDITIONAL = 3


_SECTIONS = tuple(Section)


class Edns(NamedTuple):
    """What an OPT record says, but for its share of the rcode (RFC 6891 §6.1).

    payload: octets of UDP that its sender takes, at least 512, since a smaller number means 512 (§6.2.3).
    options: code and data, in order; empty for a version other than 0, whose options could mean anything.
    """

    payload: int
    version: int
    do: bool
    options: tuple[tuple[int, bytes], ...]


class Query(NamedTuple):
    """A client's question.

    flags: the header's second 16 bits. question: the octets of the question section, in the client's letter case;
    no pointer is in them. edns: None without an OPT record. signed: a TSIG or SIG(0) record covers the message, so
    that it cannot be changed and passed on (RFC 5625 §4.6).
    """

    id: int
    flags: int
    qname: Name
    qtype: int
    qclass: int
    question: bytes
    edns: Edns | None
    signed: bool

    @property
    def opcode(self) -> int:
        """0 for a standard query."""
        return self.flags >> 11 & 0xF

    @property
    def rd(self) -> bool:
        """Recursion desired."""
        return bool(self.flags & 0x0100)

    @property
    def ad(self) -> bool:
        """The client wants to know whether the answer is authentic (RFC 6840 §5.7)."""
        return bool(self.flags & 0x0020)

    @property
    def cd(self) -> bool:
        """Checking disabled: the client validates by itself (RFC 4035 §3.2.2)."""
        return bool(self.flags & 0x0010)


class Record(NamedTuple):
    """One record of a response; offsets count from the message's first octet.

    name: decompressed. ttl: seconds; 0 where the message has the top bit set (RFC 2181 §8). ttl_at: where the four
    octets of the TTL begin. The RDATA is `message[data_at:data_end]`, unread.
    """

    section: Section
    name: Name
    type: int
    cls: int
    ttl: int
    ttl_at: int
    data_at: int
    data_end: int


class Opt(NamedTuple):
    """The OPT record of a response: it stands in the octets from `at` up to `end`.

    rcode_high: the upper eight bits of the rcode's twelve.
    """

    at: int
    end: int
    rcode_high: int
    edns: Edns


class Response(NamedTuple):
    """What an upstream answered.

    qname: None, with 0 for type and class, where there is no question, as in the FORMERR of a server that does not
    know EDNS. question_end: the offset behind the question section, which begins at octet 12. records: in the order
    of the message, without the OPT. end: the offset behind the last counted record; what follows is no part of the
    message. rcode: all twelve bits (RFC 6891 §6.1.3).
    """

    id: int
    flags: int
    qname: Name | None
    qtype: int
    qclass: int
    question_end: int
    records: tuple[Record, ...]
    opt: Opt | None
    end: int
    rcode: int

    @property
    def tc(self) -> bool:
        """Truncated: the whole is to be had over TCP."""
        return bool(self.flags & 0x0200)

    @property
    def ad(self) -> bool:
        """The upstream found every record authentic (RFC 4035 §3.2.3)."""
        return bool(self.flags & 0x0020)


def is_query(wire: bytes) -> bool:
    """Whether a reply is due at all: False for fewer than 12 octets and for a response (QR set)."""
    return len(wire) >= 12 and wire[2] < 0x80


def opcode(wire: bytes) -> int:
    """The opcode of a message of at least 3 octets; anything but 0 is answered NOTIMP, unread."""
    return wire[2] >> 3 & 0xF


def read_query(wire: bytes, *, unasked: bool = False) -> Query:
    """Read a query of opcode 0; octets after the last counted record are ignored.

    unasked: take one without a question too, which has the root's name and type 0, and an empty `question`.

    Raises Malformed where FORMERR is the answer: another number of questions than one (RFC 9619), a name that is no
    name, a section cut short, and an OPT record that is the second, is outside of the additional section or is not
    owned by the root (RFC 6891 §6.1.1).
    """
    try:
        number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
        qname, qtype, qclass, end = b"\0", 0, 0, 12
        if questions == 1:
            end = skip_name(wire, 12)
            qtype, qclass = _QUESTION.unpack_from(wire, end)
            qname = wire[12:end].lower()
            end += 4
        elif questions or not unasked:
            raise Malformed(f"question section: {questions} questions instead of one")
        question = wire[12:end]
        edns, signed = None, False
        if answers or authorities or additionals:
            edns, signed = _extras(wire, end, answers + authorities, additionals)
    except struct.error:
        raise Malformed("message: it ends inside its header, question or a record") from None
    return Query(number, flags, qname, qtype, qclass, question, edns, signed)


def _extras(wire: bytes, at: int, before: int, additionals: int) -> tuple[Edns | None, bool]:
    """What a query's records say of it: its EDNS, and whether it is signed. `before`: records before the additional."""
    edns, signed = None, False
    for index in range(before + additionals):
        owner = at
        at = skip_name(wire, at)
        rtype, cls, ttl, size = _RECORD.unpack_from(wire, at)
        data = at + 10
        at = data + size
        if at > len(wire):
            raise Malformed(f"record at octet {owner}: the message ends inside it")
        if rtype == _OPT:
            if edns is not None or index < before or wire[owner]:
                raise Malformed(f"OPT record at octet {owner}: not the only one, misplaced, or not owned by the root")
            edns = _edns(cls, ttl, wire[data:at])
        elif rtype in (_TSIG, _SIG):
            signed = True
    return edns, signed


def read_response(wire: bytes, asked: Name | None = None) -> Response:
    """Read a response; octets after the last counted record are left out by `end`.

    asked: the name in the question, which need not be taken apart where the response has it in the same letters.

    Raises Malformed for a message that is no response, more than one question, a name that is no name, a section cut
    short, and a second, misplaced or owned OPT record. RDATA is not read: `target` and its kind do, and raise.
    """
    try:
        number, flags, questions, *counts = _HEADER.unpack_from(wire)
        if not flags & 0x8000 or questions > 1:
            raise Malformed(f"message: a query, or {questions} questions instead of one")
        qname, qtype, qclass, at = None, 0, 0, 12
        if questions:
            if asked is not None and wire.startswith(asked, 12):
                qname, at = asked, 12 + len(asked)
            else:
                qname, at = read_name(wire, 12)
            qtype, qclass = _QUESTION.unpack_from(wire, at)
            at += 4
        records, opt, end = _records(wire, at, qname, counts)
    except struct.error:
        raise Malformed("message: it ends inside its header, question or a record") from None
    rcode = flags & 0xF if opt is None else opt.rcode_high << 4 | flags & 0xF
    return Response(number, flags, qname, qtype, qclass, at, records, opt, end, rcode)


def _records(wire: bytes, at: int, qname: Name | None, counts: list[int]) -> tuple[tuple[Record, ...], Opt | None, int]:
    """The records of a response from octet `at` on, the OPT apart, and the offset behind them all."""
    records: list[Record] = []
    opt = None
    for section, count in zip(_SECTIONS, counts, strict=False):
        for _ in range(count):
            start = at
            if wire.startswith(b"\xc0\x0c", at) and qname is not None:  # nearly every owner is the question's name
                name = qname
                at += 2
            elif wire.startswith(b"\0", at):  # OPT's
                name = b"\0"
                at += 1
            else:
                name, at = read_name(wire, at)
            rtype, cls, ttl, size = _RECORD.unpack_from(wire, at)
            data = at + 10
            end = data + size
            if end > len(wire):
                raise Malformed(f"record at octet {start}: the message ends inside it")
            if rtype == _OPT:
                if opt is not None or section is not Section.ADDITIONAL or name != b"\0":
                    raise Malformed(f"OPT record at octet {start}: not the only one, misplaced, or not the root's")
                opt = Opt(start, end, ttl >> 24, _edns(cls, ttl, wire[data:end]))
            else:
                ttl = ttl if ttl < 0x80000000 else 0
                records.append(Record(section, name, rtype, cls, ttl, at + 4, data, end))
            at = end
    return tuple(records), opt, at


def target(wire: bytes, record: Record) -> Name | None:
    """The name that a CNAME, DNAME, SVCB or HTTPS record sends a client to; None for every other type.

    A TargetName of the root means the record's own name in ServiceMode (RFC 9460 §2.5.2), and no service, so None,
    in AliasMode (§2.5.1). Raises Malformed for RDATA that is not what the type says, a compressed TargetName too
    (§2.2).
    """
    if record.type in (_CNAME, _DNAME):
        name, end = read_name(wire, record.data_at)
        if end != record.data_end:
            raise Malformed(f"RDATA at octet {record.data_at}: not one name")
        return name
    if record.type in (_SVCB, _HTTPS):
        at = record.data_at + 2
        name, end = read_name(wire, at)
        if end > record.data_end or end - at != len(name):
            raise Malformed(f"RDATA at octet {record.data_at}: its TargetName is compressed or cut short")
        if name != b"\0":
            return name
        return record.name if wire[record.data_at : at] != b"\0\0" else None
    return None


def address(wire: bytes, record: Record) -> IPv4Address | IPv6Address | None:
    """The address in an A or AAAA record of class IN; None for every other. Raises Malformed for another length."""
    if record.cls != _IN or record.type not in (_A, _AAAA):
        return None
    data = wire[record.data_at : record.data_end]
    if len(data) != (4 if record.type == _A else 16):
        raise Malformed(f"RDATA at octet {record.data_at}: {len(data)} octets are no address")
    return IPv4Address(data) if record.type == _A else IPv6Address(data)


def negative_ttl(wire: bytes, response: Response) -> int | None:
    """How long a negative answer may be kept: the lesser of the SOA's TTL and its MINIMUM (RFC 2308 §5), in seconds.

    None without a SOA record in the authority section: not to be kept at all. Raises Malformed for one that is none.
    """
    for record in response.records:
        if record.type == _SOA and record.section is Section.AUTHORITY:
            end = skip_name(wire, skip_name(wire, record.data_at))
            if end + 20 != record.data_end:
                raise Malformed(f"RDATA at octet {record.data_at}: not two names and five numbers")
            return min(record.ttl, _seconds(int.from_bytes(wire[end + 16 : end + 20])))
    return None


def _seconds(ttl: int) -> int:
    """A TTL as RFC 2181 §8 reads it: one with the top bit set is 0."""
    return ttl if ttl < 0x80000000 else 0


def _edns(payload: int, ttl: int, data: bytes) -> Edns:
    """What an OPT record says in its class, TTL and RDATA (RFC 6891 §6.1.2, §6.1.3)."""
    version = ttl >> 16 & 0xFF
    return Edns(max(payload, 512), version, bool(ttl & 0x8000), () if version or not data else _options(data))


def _options(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The options in an OPT record's RDATA."""
    options = []
    at = 0
    while at < len(data):
        code, size = _OPTION.unpack_from(data, at)
        at += 4 + size
        if at > len(data):
            raise Malformed(f"OPT record: option {code} is longer than the record")
        options.append((code, data[at - size : at]))
    return tuple(options)
