from ipaddress import IPv4Address, IPv6Address

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.dns import Record, read_response
from enforcer.wire.dnscodes import RRType
from enforcer.wire.dnswrite import pointer, record, reply
from enforcer.wire.svcb import has_ech, hints, parameters, service, without_ech
from tests.wire.messages import name, vector


def only(data: bytes, rtype: int = RRType.HTTPS, after: bytes = b"") -> tuple[bytes, Record]:
    answer = record(pointer(0), rtype, 60, data)
    wire = reply(1, 0, name("a.test") + b"\0\x41\0\1", 0, answer=answer, ancount=1)
    return wire + after, read_response(wire).records[0]


def parameter(key: int, value: bytes) -> bytes:
    return key.to_bytes(2) + len(value).to_bytes(2) + value


def test_an_https_record_of_unbound_is_read() -> None:
    wire = vector("response-https")
    https = read_response(wire).records[0]
    assert list(parameters(wire, https)) == [1, 4, 5, 6]
    assert parameters(wire, https)[1] == b"\x02h2\x02h3"
    assert hints(wire, https) == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), IPv6Address("2001:db8::1"))
    assert has_ech(wire, https)


FOO = "03 666f6f 07 6578616d706c65 03"
COM, ORG = f"{FOO} 636f6d 00", f"{FOO} 6f7267 00"


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (f"0000 {COM}", []),
        ("0001 00", []),
        (f"0010 {COM} 0003 0002 0035", [3]),
        (f"0001 {COM} 029b 0005 68656c6c6f", [667]),
        (f"0001 {COM} 0006 0020 20010db8{1:024x} 20010db8{0x530001:024x}", [6]),
        (f"0010 {ORG} 0000 0004 0001 0004 0001 0009 026832 05 68332d3139 0004 0004 c0000201", [0, 1, 4]),
    ],
)
def test_rfc9460_appendix_d_2_the_test_vectors_are_read(data: str, keys: list[int]) -> None:
    wire, svcb = only(bytes.fromhex(data), RRType.SVCB)
    assert list(parameters(wire, svcb)) == keys


def test_rfc9460_2_4_2_parameters_of_an_alias_are_read_too() -> None:
    wire, alias = only(b"\0\0\0" + parameter(4, bytes(4)))
    assert hints(wire, alias) == (IPv4Address("0.0.0.0"),)
    assert not has_ech(wire, alias)


def test_a_record_of_another_type_has_no_parameters() -> None:
    wire, address = only(bytes(4), RRType.A)
    assert (parameters(wire, address), hints(wire, address), has_ech(wire, address)) == ({}, (), False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1",
        b"\0\1\5b",
        b"\0\1\0" + parameter(4, bytes(4)) + parameter(1, b"\2h2"),
        b"\0\1\0" + parameter(1, b"\2h2") * 2,
        b"\0\1\0" + parameter(1, b"\2h2")[:-1],
        b"\0\1\0\0",
        b"\0\1\0" + parameter(4, bytes(4)) + b"\0\5\0",
    ],
    ids=["empty", "no target", "a cut target", "descending", "twice", "a cut value", "a cut key", "a cut length"],
)
@pytest.mark.parametrize("after", [b"", bytes(9)])
def test_rfc9460_2_2_parameters_that_do_not_fill_the_record_in_ascending_order_are_malformed(
    data: bytes, after: bytes
) -> None:
    wire, https = only(data, after=after)
    with pytest.raises(Malformed):
        parameters(wire, https)


@pytest.mark.parametrize(("key", "size"), [(4, 0), (4, 3), (4, 5), (6, 0), (6, 4), (6, 17)])
def test_rfc9460_7_3_hints_that_are_no_list_of_addresses_are_malformed(key: int, size: int) -> None:
    wire, https = only(b"\0\1\0" + parameter(key, bytes(size)))
    with pytest.raises(Malformed, match="hint"):
        hints(wire, https)


@given(st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=20), max_size=8))
def test_reading_undoes_writing(values: dict[int, bytes]) -> None:
    data = b"".join(parameter(key, values[key]) for key in sorted(values))
    wire, https = only(b"\0\1" + name("svc.test") + data)
    assert parameters(wire, https) == values


def test_a_service_is_what_dnspython_reads() -> None:
    addresses = (IPv6Address("2001:db8::53"), IPv4Address("192.0.2.53"))
    target = name("dns.example")
    data = service(1, target, alpn=("h2", "http/1.1"), port=443, addresses=addresses, dohpath="/dns-query{?dns}")
    read = dns.rdata.from_wire("IN", "SVCB", data, 0, len(data))
    assert read.to_text() == (
        '1 dns.example. alpn="h2,http/1.1" port="443" ipv4hint="192.0.2.53" ipv6hint="2001:db8::53" '
        'dohpath="/dns-query{?dns}"'
    )
    plain = service(2, target, alpn=("dot",), port=853)
    assert dns.rdata.from_wire("IN", "SVCB", plain, 0, len(plain)).to_text() == '2 dns.example. alpn="dot" port="853"'


@given(st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=20), max_size=6))
def test_without_ech_every_other_parameter_stays_byte_for_byte(values: dict[int, bytes]) -> None:
    whole = b"".join(parameter(key, values[key]) for key in sorted(values))
    rest = b"".join(parameter(key, values[key]) for key in sorted(values) if key != 5)
    head = b"\0\1" + name("svc.test")
    wire, https = only(head + whole, after=b"more")
    assert without_ech(wire, https) == head + rest


@pytest.mark.parametrize(("named", "left"), [("0005", ""), ("00040005", "0004"), ("0001", "0001")])
def test_rfc9460_8_what_is_mandatory_is_still_there(named: str, left: str) -> None:
    others = parameter(1, b"\2h2") + parameter(4, bytes(4))
    wire, https = only(b"\0\1\0" + parameter(0, bytes.fromhex(named)) + others + parameter(5, b"keys"))
    mandatory = parameter(0, bytes.fromhex(left)) if left else b""
    assert without_ech(wire, https) == b"\0\1\0" + mandatory + others
