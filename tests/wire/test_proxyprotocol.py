from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.proxyprotocol import HEAD, REST_MAX, rest_of, source

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def head(size: int, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=64))
def test_the_source_of_a_proxied_connection_is_read_whatever_tlvs_follow(
    address: object, port: int, tlvs: bytes
) -> None:
    client = ip_address(str(address))
    size, family = (4, 0x11) if client.version == 4 else (16, 0x21)
    rest = client.packed + bytes(size) + port.to_bytes(2) + b"\0\x35" + tlvs
    first = head(len(rest), family=family)
    assert rest_of(first) == len(rest)
    assert source(first, rest) == (client, port)


def test_a_front_end_may_speak_for_itself() -> None:
    assert source(head(0, command=0x20, family=0), b"") is None
    assert source(head(3, command=0x20, family=0), b"tlv") is None


@pytest.mark.parametrize(
    "first",
    [
        b"PROXY TCP4 192.0",
        head(12)[:15],
        head(12) + b"\0",
        head(12, command=0x11),
        head(12, command=0x22),
        head(REST_MAX + 1),
    ],
    ids=["version 1", "short", "long", "version", "command", "size"],
)
def test_what_is_no_header_of_version_2_is_refused(first: bytes) -> None:
    with pytest.raises(Malformed):
        rest_of(first)


@pytest.mark.parametrize(
    ("family", "size"),
    [(0x11, 11), (0x21, 35), (0x12, 12), (0x22, 36), (0x31, 216), (0x00, 0), (0xFF, 64)],
    ids=["ipv4 cut", "ipv6 cut", "udp4", "udp6", "unix", "unspecified", "unknown"],
)
def test_a_client_without_an_address_over_tcp_is_refused(family: int, size: int) -> None:
    with pytest.raises(Malformed):
        source(head(size, family=family), bytes(size))


@given(
    st.binary(max_size=40).map(lambda end: (SIGNATURE + end)[:HEAD]) | st.binary(max_size=20), st.binary(max_size=64)
)
def test_any_octets_give_a_source_or_are_malformed(first: bytes, rest: bytes) -> None:
    try:
        assert 0 <= rest_of(first) <= REST_MAX
        source(first, rest)
    except Malformed:
        pass
