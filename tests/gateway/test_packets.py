import struct
from ipaddress import ip_address

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.gateway.packets import ACK, FIN, PSH, RST, SYN, TCP, UDP, read_packet, segment

PHONE, SITE = ip_address("192.0.2.7").packed, ip_address("198.51.100.10").packed
PHONE6, SITE6 = ip_address("2001:db8:20::7").packed, ip_address("2001:db8:66::10").packed
BOTH = pytest.mark.parametrize(("source", "target"), [(PHONE, SITE), (PHONE6, SITE6)], ids=["ipv4", "ipv6"])


def sent(source: bytes, target: bytes, data: bytes = b"hello", flags: int = PSH | ACK) -> bytes:
    return segment(source, target, 40_000, 443, sequence=7, acknowledged=9, flags=flags, data=data)


def datagram(data: bytes, port: int = 40_000) -> bytes:
    udp = struct.pack("!HHHH", port, 443, 8 + len(data), 0) + data
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, UDP, 0, PHONE, SITE) + udp


@BOTH
@given(data=st.binary(max_size=300), flags=st.sampled_from([ACK, PSH | ACK, FIN | ACK, RST, SYN]))
def test_a_segment_is_read_as_it_was_written(source: bytes, target: bytes, data: bytes, flags: int) -> None:
    packet = read_packet(sent(source, target, data, flags))
    assert (packet.source, packet.target, packet.protocol) == (source, target, TCP)
    assert (packet.source_port, packet.target_port) == (40_000, 443)
    assert (packet.sequence, packet.acknowledged, packet.flags, packet.data) == (7, 9, flags, data)


@BOTH
@given(data=st.binary(max_size=64))
def test_another_reader_agrees_and_finds_the_checksums_right(source: bytes, target: bytes, data: bytes) -> None:
    raw = sent(source, target, data)
    packet = dpkt.ip.IP(raw) if len(source) == 4 else dpkt.ip6.IP6(raw)
    assert bytes(packet.data.data) == data
    assert (packet.data.seq, packet.data.ack, packet.data.flags) == (7, 9, PSH | ACK)
    stated = packet.data.sum
    packet.data.sum = 0
    pseudo = source + target + len(packet.data).to_bytes(4) + TCP.to_bytes(4)
    assert dpkt.in_cksum(pseudo + bytes(packet.data)) == stated
    if len(source) == 4:
        assert dpkt.in_cksum(raw[:20]) == 0


def test_a_datagram() -> None:
    packet = read_packet(datagram(b"quic"))
    assert (packet.protocol, packet.target_port, packet.data, packet.sequence) == (UDP, 443, b"quic", 0)


def test_connections_directions_and_protocols_have_keys_of_their_own() -> None:
    there, back = sent(PHONE, SITE), sent(SITE, PHONE)
    other = segment(PHONE, SITE, 40_001, 443, sequence=7, acknowledged=9, flags=ACK)
    keys = [read_packet(raw).key for raw in (there, back, other, datagram(b""), sent(PHONE6, SITE6))]
    assert len(set(keys)) == len(keys)
    assert read_packet(sent(PHONE, SITE, b"else", ACK)).key == keys[0]


def test_extension_headers_are_passed() -> None:
    plain = sent(PHONE6, SITE6)
    options = bytes((43, 1)) + bytes(14)  # destination options of 16 octets, then routing
    routing = bytes((44, 0)) + bytes(6)
    fragment = bytes((51, 0, 0, 0)) + bytes(4)  # the whole packet
    authentication = bytes((TCP, 4)) + bytes(22)
    extra = options + routing + fragment + authentication
    length = len(plain) - 40 + len(extra)
    raw = plain[:4] + length.to_bytes(2) + bytes((60,)) + plain[7:40] + extra + plain[40:]
    assert read_packet(raw).data == b"hello"
    later = raw.replace(fragment, bytes((51, 0, 0, 9)) + bytes(4))
    with pytest.raises(Malformed, match="fragment"):
        read_packet(later)


def test_more_extension_headers_than_anybody_sends() -> None:
    plain = sent(PHONE6, SITE6)
    with pytest.raises(Malformed, match="extension"):
        read_packet(plain[:6] + b"\0" + plain[7:40] + bytes(8) * 20)


def test_a_length_of_zero_is_one_that_does_not_fit() -> None:
    raw = sent(PHONE, SITE, b"x" * 100)
    assert read_packet(raw[:2] + b"\0\0" + raw[4:]).data == b"x" * 100
    raw = sent(PHONE6, SITE6, b"x" * 100)
    assert read_packet(raw[:4] + b"\0\0" + raw[6:]).data == b"x" * 100


def test_what_comes_behind_the_packet_is_not_of_it() -> None:
    assert read_packet(sent(PHONE, SITE) + b"padding").data == b"hello"


@given(st.binary(max_size=200))
def test_any_octets_are_a_packet_or_malformed(raw: bytes) -> None:
    for start in (b"", b"\x45", b"\x60"):
        try:
            read_packet(start + raw)
        except Malformed as error:
            assert str(error)  # noqa: PT017 (either is right)


@BOTH
def test_every_packet_that_is_cut_off_is_malformed(source: bytes, target: bytes) -> None:
    raw = sent(source, target)
    for size in range(len(raw)):
        with pytest.raises(Malformed):
            read_packet(raw[:size])


def test_other_protocols_are_none_of_ours() -> None:
    raw = bytearray(datagram(b"x"))
    raw[9] = 1
    with pytest.raises(Malformed, match="protocol 1"):
        read_packet(bytes(raw))
