"""Single values as people write them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.config.values import (
    Endpoint,
    Transport,
    Upstream,
    instead,
    is_identifier,
    is_plain,
    parse_address,
    parse_domain,
    parse_endpoint,
    parse_network,
    parse_size,
    parse_until,
    parse_upstream,
    quoted,
    short,
    size_text,
)

PORTS = st.integers(1, 65535)
NO_MOMENT = 'is not a date or time; write one, as in "2027-03-31" or "2027-03-31T17:00:00-04:00"'
NO_UPSTREAM = (
    'is not an upstream; write one, as in "udp://192.0.2.1", "tls://192.0.2.2:853#dns.example" '
    'or "https://192.0.2.3/dns-query#dns.example"'
)
ADDRESSES = st.ip_addresses().filter(lambda a: not (a.is_unspecified or a.is_multicast))


def says(parse: Callable[[str], object], text: str) -> str:
    with pytest.raises(ValueError, match=";") as caught:
        parse(text)
    return str(caught.value)


@given(ADDRESSES, PORTS)
def test_an_endpoint_reads_what_it_writes(address: IPv4Address | IPv6Address, port: int) -> None:
    assert parse_endpoint(str(Endpoint(address, port))) == Endpoint(address, port)


@pytest.mark.parametrize("transport", Transport)
@given(address=ADDRESSES, port=PORTS, named=st.booleans())
def test_an_upstream_reads_what_it_writes(
    transport: Transport, address: IPv4Address | IPv6Address, port: int, named: bool
) -> None:
    upstream = Upstream(address, port, transport, path="/dns-query" if transport is Transport.HTTPS else "")
    if named and upstream.authenticated:
        upstream = replace(upstream, name="dns.example")
    assert parse_upstream(str(upstream)) == upstream


def test_an_upstream_has_the_port_of_its_transport_unless_stated() -> None:
    texts = ["tcp://192.0.2.1", "tls://192.0.2.1", "https://192.0.2.1/dns-query", "tls://192.0.2.1:53#dns.example"]
    assert [parse_upstream(text).port for text in texts] == [53, 853, 443, 53]
    assert [str(parse_upstream(text)) for text in texts] == texts


def test_what_may_be_secret_in_an_upstream_is_not_its_label_and_never_quoted() -> None:
    assert parse_upstream("https://192.0.2.3:8443/s3cret#dns.example").label == "https://192.0.2.3:8443#dns.example"
    assert "s3cret" not in says(parse_upstream, "https://me:s3cret@192.0.2.3/dns-query")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:5300", Endpoint(IPv4Address("127.0.0.1"), 5300)),
        ("[::1]:5300", Endpoint(IPv6Address("::1"), 5300)),
        ("0.0.0.0:53", Endpoint(IPv4Address("0.0.0.0"), 53)),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        *("", "5300", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1:5300", "[::1]"),
        *("localhost:53", "[127.0.0.1]:53", "[fe80::1%eth0]:53", "127.0.0.1:٥٣", "127.0.0.1:53 "),
    ],
)
def test_anything_else_is_no_endpoint(text: str) -> None:
    assert says(parse_endpoint, text) == (
        f'"{text}" is not an IP address and a port; write both, as in "127.0.0.1:5300" or "[::1]:5300"'
    )


def test_an_upstream_has_port_53_unless_stated() -> None:
    assert parse_upstream("udp://192.0.2.1") == Upstream(IPv4Address("192.0.2.1"), 53)
    assert parse_upstream("udp://[2001:db8::1]:5353") == Upstream(IPv6Address("2001:db8::1"), 5353)
    assert str(parse_upstream("udp://192.0.2.1:53")) == "udp://192.0.2.1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quic://192.0.2.2", 'is not supported by this version; write "tls://ADDRESS"'),
        ("https://dns.example/dns-query", NO_UPSTREAM),
        ("udp://192.0.2.1#dns.example", NO_UPSTREAM),
        ("tls://192.0.2.1/dns-query", NO_UPSTREAM),
        ("https://192.0.2.1#dns.example", 'has no path; write one, as in "https://192.0.2.3/dns-query#dns.example"'),
        ("192.0.2.1", NO_UPSTREAM),
        ("udp://dns.example", NO_UPSTREAM),
        ("udp://2001:db8::1", NO_UPSTREAM),
        ("udp://0.0.0.0", NO_UPSTREAM),
        ("auto", 'stands alone; write "upstreams: auto", or name every upstream'),
    ],
)
def test_what_is_no_upstream_is_refused(text: str, said: str) -> None:
    assert says(parse_upstream, text) == f'"{text}" {said}'


def test_endpoints_collide_on_one_port_and_one_address_or_a_wildcard() -> None:
    here, everywhere = parse_endpoint("127.0.0.1:53"), parse_endpoint("0.0.0.0:53")
    assert here.collides(here)
    assert here.collides(everywhere)
    assert everywhere.collides(here)
    assert not here.collides(parse_endpoint("127.0.0.1:54"))
    assert not here.collides(parse_endpoint("127.0.0.2:53"))
    assert not here.collides(parse_endpoint("[::]:53"))


def test_an_upstream_reaches_a_listener_on_its_address_or_on_all_of_loopback() -> None:
    assert parse_upstream("udp://192.0.2.1").reaches(parse_endpoint("192.0.2.1:53"))
    assert parse_upstream("udp://127.0.0.53").reaches(parse_endpoint("0.0.0.0:53"))
    assert not parse_upstream("udp://192.0.2.1").reaches(parse_endpoint("0.0.0.0:53"))
    assert not parse_upstream("udp://127.0.0.1").reaches(parse_endpoint("127.0.0.1:5300"))
    assert not parse_upstream("udp://127.0.0.1").reaches(parse_endpoint("[::]:53"))


def test_a_network_can_be_one_address() -> None:
    assert parse_network("10.20.0.0/16") == IPv4Network("10.20.0.0/16")
    assert parse_network("::1") == IPv6Network("::1/128")
    assert [short(parse_network(text)) for text in ("10.20.0.5", "10.20.0.0/16")] == ["10.20.0.5", "10.20.0.0/16"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.20.0.0/33", 'is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"'),
        ("10", 'is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"'),
        ("fe80::1%eth0", 'is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"'),
        ("10.20.1.0/16", 'has bits set after its prefix; did you mean "10.20.0.0/16"?'),
        ("2001:db8::1/32", 'has bits set after its prefix; did you mean "2001:db8::/32"?'),
        ("::ffff:10.0.0.1", 'is IPv4 in IPv6 form; did you mean "10.0.0.1"?'),
        ("::ffff:10.0.0.0/104", 'is IPv4 in IPv6 form; did you mean "10.0.0.0/8"?'),
    ],
)
def test_what_is_no_network_is_refused(text: str, said: str) -> None:
    assert says(parse_network, text) == f'"{text}" {said}'


@pytest.mark.parametrize("text", ["", "80", "192.0.2.0/24", "dns.example", "fe80::1%eth0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert parse_address("192.0.2.80") == IPv4Address("192.0.2.80")
    assert says(parse_address, text) == (
        f'"{text}" is not an IP address; write one, as in "192.0.2.80" or "2001:db8::80"'
    )


def test_a_domain_name_is_lower_case_and_without_a_final_dot() -> None:
    assert parse_domain("HostMaster.Dept.Example.") == "hostmaster.dept.example"


@pytest.mark.parametrize("text", ["", ".", "a..b", "a@b.example", "a b", "é.example", "a" * 64, "a." * 127 + "a"])
def test_what_is_no_domain_name_is_refused(text: str) -> None:
    assert says(parse_domain, text).endswith(' is not a domain name; write one, as in "hostmaster.dept.example"')


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256_000_000),
        ("256 mb", 256_000_000),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2_147_483_648),
        ("1000000", 1_000_000),
        ("1000kB", 1_000_000),
    ],
)
def test_a_size_has_a_unit_or_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "256", "999999B", "-1GB", "256 bananas", "1e9", "true", "9" * 20])
def test_what_is_no_size_is_refused(text: str) -> None:
    assert says(parse_size, text) == (f'"{text}" is not a size of 1MB or more; write one, as in "256MB" or "2GiB"')


@given(st.integers(10**6, 10**15))
def test_a_size_reads_what_it_writes(size: int) -> None:
    assert parse_size(size_text(size)) == size


def test_a_size_is_written_shortly() -> None:
    assert [size_text(size) for size in (256_000_000, 2**31, 1_000_001)] == ["256MB", "2GiB", "1000001B"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-03-31", datetime(2027, 3, 31, tzinfo=UTC)),
        ("2027-03-31T17:00:00-04:00", datetime(2027, 3, 31, 21, tzinfo=UTC)),
        ("2027-03-31 17:00:00Z", datetime(2027, 3, 31, 17, tzinfo=UTC)),
    ],
)
def test_an_exemption_ends_at_midnight_utc_or_at_a_moment_with_a_zone(text: str, moment: datetime) -> None:
    assert parse_until(text) == moment
    assert parse_until(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2027-02-30", NO_MOMENT),
        ("0001-01-01T00:00:00+14:00", NO_MOMENT),
        ("next year", NO_MOMENT),
        ("2027-03-31T17:00", 'has no time zone; write one, as in "2027-03-31T17:00:00Z"'),
    ],
)
def test_what_is_no_moment_is_refused(text: str, said: str) -> None:
    assert says(parse_until, text) == f'"{text}" {said}'


def test_a_quoted_value_stays_on_one_line_and_hides_nothing() -> None:
    assert quoted("a\nb\x1b[31m\u202e") == r'"a\u000ab\u001b[31m\u202e"'
    assert quoted("x" * 100) == '"' + "x" * 80 + '…"'
    values: list[object] = [True, None, 5, {}, []]
    assert [quoted(value) for value in values] == ['"true"', '"null"', '"5"', "a mapping", "a list"]


@given(st.text())
def test_every_quoted_text_is_plain(text: str) -> None:
    assert is_plain(quoted(text))


def test_what_to_write_instead_is_the_nearest_or_all() -> None:
    assert instead("wechta", ["wechat", "kaspersky"]) == 'did you mean "wechat"?'
    assert instead("zzz", ["wechat", "kaspersky"]) == 'write one of "kaspersky", "wechat"'
    assert instead("zzz", ["wechat"]) == 'write "wechat"'


def test_an_identifier_is_short_and_of_few_characters() -> None:
    assert all(map(is_identifier, ["dev-7f3a91c2", "a.b_C", "x" * 64]))
    assert not any(map(is_identifier, ["", "a b", "é", "x" * 65, "a\n", 'a"']))
