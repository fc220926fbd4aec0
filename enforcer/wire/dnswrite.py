"""DNS messages built: our queries to an upstream, our own replies to a client (RFC 1035 §4, RFC 6891, RFC 8914).

Numbers that do not fit their field are a mistake of ours and raise struct.error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from enforcer.wire.dns import Query
from enforcer.wire.dnscodes import RRClass, RRType
from enforcer.wire.name import Name

_HEADER = Struct("!6H")
_ID = Struct("!H")
_QUESTION = Struct("!2H")
_RECORD = Struct("!HHIH")
_OPT = Struct("!BHHBBHH")
_OPTION = Struct("!2H")
_SOA_NUMBERS = Struct("!5I")

_QR, _RD, _RA, _AD, _CD, _DO = 0x8000, 0x0100, 0x0080, 0x0020, 0x0010, 0x8000
_COPIED = 0x7800 | _RD | _CD  # opcode, RD and CD are the client's
EDE = 15  # the option
_QUESTION_AT = 12


@dataclass(frozen=True, slots=True)
class ReplyEdns:
    """The OPT record of a reply: only for a query that had one (RFC 6891 §6.1.1).

    payload: octets of UDP that we take. do: as the query has it (RFC 3225 §3). options: code and data.
    """

    payload: int
    do: bool
    options: tuple[tuple[int, bytes], ...] = ()


def query(
    message_id: int,
    qname: Name,
    qtype: int,
    qclass: int,
    *,
    rd: bool,
    cd: bool,
    ad: bool,
    do: bool,
    payload: int | None,
) -> bytes:
    """A query of ours to an upstream. payload: octets of UDP that we take; None: without an OPT record, so without DO.

    It has no EDNS options: what a client puts there is between it and us (RFC 6891 §6.1.1).
    """
    header, extra = _query_frame(rd, cd, ad, do, payload)
    return b"".join((_ID.pack(message_id), header, qname, _QUESTION.pack(qtype, qclass), extra))


@lru_cache(maxsize=64)
def _query_frame(rd: bool, cd: bool, ad: bool, do: bool, payload: int | None) -> tuple[bytes, bytes]:
    """What stands around the question: the header behind the ID, and OPT or nothing."""
    extra = b"" if payload is None else opt(payload, do=do)
    flags = rd * _RD | cd * _CD | ad * _AD
    return _HEADER.pack(0, flags, 1, 0, 0, 1 if extra else 0)[2:], extra


def reply(
    message_id: int,
    query_flags: int,
    question: bytes,
    rcode: int,
    *,
    answer: bytes = b"",
    ancount: int = 0,
    authority: bytes = b"",
    nscount: int = 0,
    edns: ReplyEdns | None = None,
) -> bytes:
    """A reply of our own: QR and RA set, AA and AD clear, opcode, RD and CD as in the query's flags.

    question: the octets of the question section, or nothing. answer, authority: whole records, as many as counted.
    Raises ValueError for an rcode above 15 without EDNS, which would turn it into another.
    """
    extra = b""
    if edns is not None:
        extra = opt(edns.payload, do=edns.do, rcode_high=rcode >> 4, options=edns.options)
    elif rcode > 0xF:
        raise ValueError(f"rcode {rcode} needs EDNS; give `edns`, or a code up to 15")
    flags = _QR | _RA | query_flags & _COPIED | rcode & 0xF
    header = _HEADER.pack(message_id, flags, 1 if question else 0, ancount, nscount, 1 if extra else 0)
    return b"".join((header, question, answer, authority, extra))


def error(wire: bytes, rcode: int, query: Query | None = None, edns: ReplyEdns | None = None) -> bytes:
    """The reply of an error to the message `wire`, of at least 12 octets, with its ID and opcode.

    query: what `wire` was read as; None when it could not be read, so that no question is echoed.
    """
    message_id, flags = _QUESTION.unpack_from(wire)
    return reply(message_id, flags, query.question if query else b"", rcode, edns=edns)


def blocked(
    query: Query,
    *,
    rcode: int,
    suffix_at: int,
    block_ttl: int,
    mname: Name,
    rname: Name,
    edns_payload: int,
    ede_code: int,
    ede_text: str,
) -> bytes:
    """The negative answer of policy: a SOA record, and the reason where the query has EDNS.

    rcode: NXDOMAIN, or NOERROR for NODATA. suffix_at: how many octets into the question's name the blocked suffix
    begins, which owns the SOA, so that a cache keeps the answer (RFC 2308 §5). block_ttl: seconds.
    """
    authority = soa(pointer(suffix_at), mname=mname, rname=rname, ttl=block_ttl)
    edns = None
    if query.edns is not None:
        edns = ReplyEdns(edns_payload, query.edns.do, (ede(ede_code, ede_text),))
    return reply(query.id, query.flags, query.question, rcode, authority=authority, nscount=1, edns=edns)


def pointer(suffix_at: int) -> bytes:
    """A compression pointer to the suffix that begins so many octets into the question's name (RFC 1035 §4.1.4)."""
    return (0xC000 | _QUESTION_AT + suffix_at).to_bytes(2)


def record(owner: bytes, rtype: int, ttl: int, data: bytes, rclass: int = RRClass.IN) -> bytes:
    """One record. owner: a name or a pointer to one. ttl: seconds."""
    return owner + _RECORD.pack(rtype, rclass, ttl, len(data)) + data


def soa(owner: bytes, *, mname: Name, rname: Name, ttl: int) -> bytes:
    """The SOA record of a negative answer; owner: a name or a pointer. Its TTL and its MINIMUM are both `ttl` seconds.

    No zone transfer reads the other numbers: serial 1, refresh an hour, retry ten minutes, expire a day.
    """
    return record(owner, RRType.SOA, ttl, mname + rname + _SOA_NUMBERS.pack(1, 3600, 600, 86400, ttl))


def opt(payload: int, *, do: bool, rcode_high: int = 0, options: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """An OPT record of version 0 (RFC 6891 §6.1). rcode_high: the upper eight bits of the rcode's twelve."""
    data = b"".join([_OPTION.pack(code, len(value)) + value for code, value in options])
    return _OPT.pack(0, RRType.OPT, payload, rcode_high, 0, do * _DO, len(data)) + data


def ede(code: int, text: str) -> tuple[int, bytes]:
    """The Extended DNS Error option (RFC 8914 §2). text: for a person, in UTF-8 without a NUL; it may be empty."""
    return EDE, code.to_bytes(2) + text.encode()


def with_opt(message: bytes, record: bytes) -> bytes:
    """The message, which has no OPT record, with this one behind it."""
    count = int.from_bytes(message[10:12]) + 1
    return b"".join((message[:10], count.to_bytes(2), message[12:], record))
