"""Messages for the tests of DNS: the recorded ones, and any number that dnspython builds."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import dns.message
import dns.name
import dns.rrset
from hypothesis import strategies as st

from enforcer.wire.dnswrite import opt
from enforcer.wire.name import Name

VECTORS = Path(__file__).parent.parent / "vectors" / "dns"


def vector(name: str) -> bytes:
    """The octets of one recorded message: hexadecimal, below lines with `#` that tell its origin."""
    lines = (VECTORS / f"{name}.hex").read_text(encoding="utf-8").splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def vectors(prefix: str) -> list[str]:
    """The names of the recorded messages that begin like this."""
    return sorted(path.stem for path in VECTORS.glob(f"{prefix}*.hex"))


def name(text: str) -> Name:
    """The wire form of a name, in lower case."""
    return bytes(dns.name.from_text(text).canonicalize().to_wire() or b"")


@dataclass(frozen=True, slots=True)
class Built:
    """A response that dnspython wrote, compressed, with an OPT record after so many of the additional records."""

    wire: bytes
    has_opt: bool


# Few labels in both cases, so that names share their ends and compression has something to do.
OWNERS = st.lists(st.sampled_from(["a", "A", "www", "mx", "Mail", "cdn", r"b\.c", r"\255"]), max_size=4).map(
    lambda labels: ".".join([*labels, "example", "test."])
)
RDATA: st.SearchStrategy[tuple[str, str]] = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.tuples(st.sampled_from(["CNAME", "NS", "PTR", "DNAME"]), OWNERS),
    st.tuples(st.just("MX"), OWNERS.map("10 {}".format)),
    st.tuples(st.sampled_from(["RT", "AFSDB", "KX"]), OWNERS.map("1 {}".format)),
    st.tuples(st.just("SRV"), OWNERS.map("1 2 443 {}".format)),
    st.tuples(st.just("PX"), st.builds("5 {} {}".format, OWNERS, OWNERS)),
    st.tuples(st.just("RP"), st.builds("{} {}".format, OWNERS, OWNERS)),
    st.tuples(st.just("SOA"), st.builds("{} {} 1 3600 600 86400 60".format, OWNERS, OWNERS)),
    st.tuples(st.just("NAPTR"), OWNERS.map('1 2 "U" "E2U+sip" "!^.*$!x!" {}'.format)),
    st.tuples(st.just("TXT"), st.just('"some text" "and more"')),
    st.tuples(st.just("HTTPS"), OWNERS.map("1 {} alpn=h2 ipv4hint=192.0.2.1".format)),
    st.tuples(st.just("TYPE65400"), st.binary(max_size=6).map(lambda data: rf"\# {len(data)} {data.hex()}")),
)
type Rows = Sequence[tuple[str, int, tuple[str, str]]]
RECORDS: st.SearchStrategy[Rows] = st.lists(st.tuples(OWNERS, st.integers(0, 0x7FFFFFFF), RDATA), max_size=5)
OPTIONS = st.lists(st.tuples(st.just(65001), st.binary(max_size=5)), max_size=2)
PROBES = [1, 28, 65, 15, 65400]


@st.composite
def responses(draw: st.DrawFn) -> Built:
    """Responses with records of many types in every section, and an OPT at any place of the additional section."""
    answer, authority, additional = draw(RECORDS), draw(RECORDS), draw(RECORDS)
    place = draw(st.none() | st.integers(0, len(additional)))
    counts = (1, len(answer), len(authority), len(additional) + (place is not None))
    out = BytesIO()
    out.write(struct.pack("!6H", draw(st.integers(0, 0xFFFF)), 0x8180, *counts))
    compress: dict[dns.name.Name, int] = {}
    dns.name.from_text(draw(OWNERS)).to_wire(out, compress)
    out.write(struct.pack("!2H", draw(st.sampled_from(PROBES)), 1))
    _add(out, compress, [*answer, *authority, *additional[:place]])
    if place is not None:
        out.write(opt(1232, do=False, options=draw(OPTIONS)))
        _add(out, compress, additional[place:])
    return Built(out.getvalue(), place is not None)


def _add(out: BytesIO, compress: dict[dns.name.Name, int], rows: Rows) -> None:
    for owner, ttl, (rtype, text) in rows:
        dns.rrset.from_text(owner, ttl, "IN", rtype, text).to_wire(out, compress)


def as_dnspython_lists(wire: bytes) -> list[tuple[int, Name, int, int, int, str]]:
    """Section, owner, type, class, TTL and RDATA of every record but the OPT, as dnspython reads the message."""
    message = dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=True)
    return [
        (
            number,
            bytes(rrset.name.canonicalize().to_wire() or b""),
            rrset.rdtype,
            rrset.rdclass,
            rrset.ttl,
            str(rrset[0]),
        )
        for number, section in enumerate(message.sections)
        if number
        for rrset in section
    ]
