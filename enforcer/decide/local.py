"""A few names of the operator's own, answered here: written `NAME TTL TYPE DATA`, as in a zone file.

They stand behind policy, as an upstream's answer does: the question is judged before, and the answer too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from enforcer.policy.names import parse
from enforcer.wire import dnswrite
from enforcer.wire.dns import Query
from enforcer.wire.dnscodes import RRType
from enforcer.wire.name import Name

TTL_MAX = 86_400
CHAIN_MAX = 8
_TYPES = {rtype.name: rtype for rtype in (RRType.A, RRType.AAAA, RRType.CNAME, RRType.TXT, RRType.PTR)}


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """One record. ttl: seconds. data: the RDATA. text: as it was written."""

    name: Name
    ttl: int
    type: int
    data: bytes
    text: str


def parse_record(text: str) -> LocalRecord:
    """Read one line: A, AAAA, CNAME, PTR, or TXT with one string. Raises ValueError or Malformed for anything else."""
    match text.split(maxsplit=3):
        case [name, ttl, rtype, data] if rtype in _TYPES and ttl.isdecimal() and int(ttl) <= TTL_MAX:
            return LocalRecord(_name(name), int(ttl), _TYPES[rtype], _data(_TYPES[rtype], data.strip()), text)
        case _:
            raise ValueError(f"not a name, a TTL, one of the types {', '.join(_TYPES)}, and its data")


def _name(text: str) -> Name:
    return parse(text.removesuffix("."))


def _data(rtype: RRType, text: str) -> bytes:
    if rtype is RRType.A:
        return IPv4Address(text).packed
    if rtype is RRType.AAAA:
        return IPv6Address(text).packed
    if rtype is RRType.TXT:
        octets = (text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text).encode()
        if len(octets) > 255:
            raise ValueError("its text has more than 255 bytes")
        return bytes((len(octets),)) + octets
    return _name(text)


class LocalRecords:
    """All of them, by name. A name that is here has no other types than those that are here."""

    def __init__(self, records: Iterable[LocalRecord]) -> None:
        self._by_name: dict[Name, list[LocalRecord]] = {}
        for record in records:
            self._by_name.setdefault(record.name, []).append(record)

    def answer(self, query: Query, mname: Name, rname: Name, ttl: int) -> bytes | None:
        """The whole answer, without OPT, as an upstream would give it; None for a name that is not here.

        mname, rname, ttl: of the SOA record where the name has no record of the type.
        """
        if query.qname not in self._by_name:
            return None
        found: list[LocalRecord] = []
        name = query.qname
        for _ in range(CHAIN_MAX):
            here = self._by_name.get(name, [])
            alias = next((each for each in here if each.type == RRType.CNAME), None)
            wanted = [each for each in here if query.qtype in (each.type, RRType.ANY)]
            if alias is None or wanted:
                found += wanted
                break
            found.append(alias)
            name = alias.data
        return dnswrite.reply(
            query.id,
            query.flags,
            query.question,
            0,
            answer=b"".join(dnswrite.record(each.name, each.type, each.ttl, each.data) for each in found),
            ancount=len(found),
            authority=b"" if found else dnswrite.soa(dnswrite.pointer(0), mname=mname, rname=rname, ttl=ttl),
            nscount=0 if found else 1,
        )
