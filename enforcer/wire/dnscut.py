"""DNS messages cut down: without the OPT record of another hop or ECH keys, or to the size that a client takes."""

from enforcer.errors import Malformed
from enforcer.wire import svcb
from enforcer.wire.dns import Record, Response, read_response
from enforcer.wire.dnscodes import RRType
from enforcer.wire.dnswrite import opt, with_opt
from enforcer.wire.name import spell_out

_TC = 0x02  # in the third octet of the header
_AD = 0x20  # in the fourth
_EDE = 15
_WITH_KEYS = (int(RRType.SVCB), int(RRType.HTTPS))
_QUESTION = b"\xc0\x0c"  # a pointer to the question's name

# The types whose RDATA may hold compressed names (RFC 3597 §4; DNAME as RFC 6672 §2.5 has it): how many octets stand
# before the first name, and how many names follow each other. NAPTR has three strings more before its name.
_NAMES: dict[int, tuple[int, int]] = {
    RRType.NS: (0, 1),
    RRType.MD: (0, 1),
    RRType.MF: (0, 1),
    RRType.CNAME: (0, 1),
    RRType.SOA: (0, 2),
    RRType.MB: (0, 1),
    RRType.MG: (0, 1),
    RRType.MR: (0, 1),
    RRType.PTR: (0, 1),
    RRType.MINFO: (0, 2),
    RRType.MX: (2, 1),
    RRType.RP: (0, 2),
    RRType.AFSDB: (2, 1),
    RRType.RT: (2, 1),
    RRType.SIG: (18, 1),
    RRType.PX: (2, 2),
    RRType.NXT: (0, 1),
    RRType.NAPTR: (4, 1),
    RRType.SRV: (6, 1),
    RRType.DNAME: (0, 1),
}


def without_opt(wire: bytes, response: Response) -> bytes:
    """The message without its OPT record and without octets after its last record.

    Records after the OPT are written with their names in full, since what their pointers lead to has moved.
    Raises Malformed where the rcode cannot be said without EDNS, for a name that is none in one of those records, and
    for a message that grows beyond 65,535 octets.
    """
    if response.rcode > 0xF:
        raise Malformed(f"message: rcode {response.rcode} cannot be said without EDNS")
    return _cut(wire, response)


def bare(wire: bytes, response: Response, *, ad: bool) -> tuple[bytes, Response]:
    """As `without_opt`, and what it reads as; ad: False clears AD too."""
    found = response.opt
    if (found is not None and found.end != response.end) or response.rcode > 0xF:
        plain = without_opt(wire, response)
        return (plain if ad else without_ad(plain)), read_response(plain)
    flags = response.flags if ad else response.flags & ~_AD
    end = response.end if found is None else found.at
    count = int.from_bytes(wire[10:12]) - (found is not None)
    plain = b"".join((wire[:2], flags.to_bytes(2), wire[4:10], count.to_bytes(2), wire[12:end]))
    number, _, qname, qtype, qclass, question_end, records, _, _, rcode = response
    return plain, Response(number, flags, qname, qtype, qclass, question_end, records, None, end, rcode)


def without_ad(wire: bytes) -> bytes:
    """A message, or its beginning, that does not say that it is authentic."""
    return wire[:3] + bytes((wire[3] & ~_AD,)) + wire[4:]


def without_ech(wire: bytes, response: Response) -> bytes | None:
    """A message that has no OPT record, with the ECH keys taken out of its SVCB and HTTPS records; None if it has none.

    It is not what was signed any more, so AD is cleared.
    From the first changed record on, names are written in full, but for owners that point to the question.
    Raises Malformed for parameters or names that are none, and for a message that grows beyond 65,535 octets.
    """
    changed = [record for record in response.records if record.type in _WITH_KEYS and svcb.has_ech(wire, record)]
    if not changed:
        return None
    first = changed[0]
    parts = [without_ad(wire[: first.data_at - 2])]
    at = response.end
    for record in response.records:
        if record.ttl_at >= first.ttl_at:
            if record is not first:
                owner = wire[at : at + 2] if wire[at : at + 2] == _QUESTION else spell_out(wire, at)[0]
                parts += (owner, wire[record.ttl_at - 4 : record.ttl_at + 4])
            data = svcb.without_ech(wire, record) if record in changed else _spelled_out(wire, record)
            parts += (len(data).to_bytes(2), data)
            at = record.data_end
    return _whole(parts)


def truncated(wire: bytes, limit: int) -> bytes:
    """A reply of more than `limit` octets made to fit, with TC set; limit: at least 512.

    What goes first is the text of the error options (RFC 8914 §3), then every record but the OPT (RFC 6891 §7).
    """
    response = read_response(wire)
    wire = wire[:2] + bytes((wire[2] | _TC,)) + wire[3:]
    whole = _cut(wire, response)
    bare = wire[:6] + bytes(6) + wire[12 : response.question_end]
    if response.opt is not None:
        edns = response.opt.edns
        options = [option for option in edns.options if option[0] != _EDE]
        extra = opt(edns.payload, do=edns.do, rcode_high=response.opt.rcode_high, options=options)
        whole, bare = with_opt(whole, extra), with_opt(bare, extra)
    return whole if len(whole) <= limit else bare


def _cut(wire: bytes, response: Response) -> bytes:
    """The message without its OPT record, whatever its rcode."""
    found = response.opt
    if found is None:
        return wire[: response.end]
    parts = [wire[:10], (int.from_bytes(wire[10:12]) - 1).to_bytes(2), wire[12 : found.at]]
    at = found.end
    for record in response.records:
        if record.ttl_at > found.end:
            owner, _ = spell_out(wire, at)
            data = _spelled_out(wire, record)
            parts += (owner, wire[record.ttl_at - 4 : record.ttl_at + 4], len(data).to_bytes(2), data)
            at = record.data_end
    return _whole(parts)


def _whole(parts: list[bytes]) -> bytes:
    message = b"".join(parts)
    if len(message) > 0xFFFF:
        raise Malformed(f"message: {len(message)} octets without compression; 65535 are the most")
    return message


def _spelled_out(wire: bytes, record: Record) -> bytes:
    """The RDATA with its names in full; other octets, and other types, as they are."""
    before, count = _NAMES.get(record.type, (0, 0))
    at = record.data_at + before
    if record.type == RRType.NAPTR:
        for _ in range(3):
            at += 1 + int.from_bytes(wire[at : at + 1])
    parts = [wire[record.data_at : at]]
    for _ in range(count):
        name, at = spell_out(wire, at)
        parts.append(name)
    if at > record.data_end:
        raise Malformed(f"RDATA at octet {record.data_at}: its names end behind it")
    data = b"".join((*parts, wire[at : record.data_end]))
    if len(data) > 0xFFFF:
        raise Malformed(f"RDATA at octet {record.data_at}: longer than 65535 octets without compression")
    return data
