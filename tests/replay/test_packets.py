from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.replay.packets import FRAGMENTED_MAX, PIECES_MAX, Packet, Packets
from tests.replay.captures import PHONE, SERVER, ip, udp

DATA = udp(bytes(range(256)) * 4)
PHONE6, SERVER6 = "2001:db8:20::5", "2001:db8::80"


def fragment(data: bytes, at: int, *, more: bool, identity: int) -> bytes:
    return ip(PHONE, SERVER, 17, data, id=identity, _flags_offset=more << 13 | at // 8)


def fragments(size: int = 200, identity: int = 7) -> list[bytes]:
    cuts = range(0, len(DATA), size)
    return [fragment(DATA[at : at + size], at, more=at + size < len(DATA), identity=identity) for at in cuts]


def fragments6(size: int = 200, *, options: bytes = b"") -> list[bytes]:
    found = []
    for at in range(0, len(DATA), size):
        place = at | (at + size < len(DATA))
        head = b"\x11\0" + place.to_bytes(2) + b"\0\0\0\x07"
        first = 0 if options else 44
        found.append(ip(PHONE6, SERVER6, first, (b"\x2c" + options if options else b"") + head + DATA[at : at + size]))
    return found


def test_a_packet_of_each_version() -> None:
    for source, destination in ((PHONE, SERVER), (PHONE6, SERVER6)):
        found = Packets().read(ip(source, destination, 17, DATA) + b"padding")
        assert found is not None
        assert (str(found.source), str(found.destination), found.protocol) == (source, destination, 17)
        assert (found.payload, found.cut) == (DATA, False)


def test_a_packet_that_the_capture_cut_short_says_so() -> None:
    for packet in (ip(PHONE, SERVER, 17, DATA), ip(PHONE6, SERVER6, 17, DATA)):
        found = Packets().read(packet[:100])
        assert found is not None
        assert found.cut
        assert DATA.startswith(found.payload)


def test_a_packet_that_says_no_length() -> None:
    whole = bytearray(ip(PHONE, SERVER, 17, DATA))
    whole[2:4] = b"\0\0"
    found = Packets().read(bytes(whole))
    assert found is not None
    assert found.payload == DATA


@pytest.mark.parametrize("parts", [fragments(400), fragments6(400), fragments6(400, options=b"\0" + bytes(6))])
def test_fragments_in_any_order(parts: list[bytes]) -> None:
    for order in permutations(parts):
        packets = Packets()
        found = [packets.read(part) for part in order]
        assert all(each is None for each in found[:-1])
        assert found[-1] is not None
        assert (found[-1].protocol, found[-1].payload) == (17, DATA)


def test_fragments_of_several_packets_between_each_other_and_twice() -> None:
    packets = Packets()
    pairs = zip(fragments(identity=1), fragments(identity=2), strict=True)
    found = [packets.read(part) for pair in pairs for each in pair for part in (each,)]
    assert [each is not None for each in found].count(True) == 2
    again = [packets.read(part) for each in fragments() for part in (each, each)]
    assert next(each for each in again if each is not None) == found[-1]


def test_extension_headers_are_stepped_over() -> None:
    options = b"\x2b\0" + bytes(6) + b"\x3c\0" + bytes(6) + b"\x33\x01" + bytes(14) + b"\x11\x02" + bytes(14)
    assert (found := Packets().read(ip(PHONE6, SERVER6, 0, options + DATA))) is not None
    assert (found.protocol, found.payload) == (17, DATA)
    atomic = b"\x11\0\0\0\0\0\0\x01"
    assert (found := Packets().read(ip(PHONE6, SERVER6, 44, atomic + DATA))) is not None
    assert (found.protocol, found.payload) == (17, DATA)


def test_no_more_fragments_are_held_than_a_few() -> None:
    packets = Packets()
    for identity in range(FRAGMENTED_MAX + 50):
        packets.read(fragments(identity=identity)[0])
    assert len(packets._pieces) == FRAGMENTED_MAX
    assert [packets.read(part) for part in fragments(identity=FRAGMENTED_MAX + 49)[1:]][-1] is not None
    endless = [fragment(bytes(8), 8 * at, more=True, identity=999) for at in range(1, PIECES_MAX + 2)]
    assert [packets.read(part) for part in endless] == [None] * len(endless)
    assert all(identity != 999 for _, identity, _ in packets._pieces)


@given(st.binary(max_size=120), st.sampled_from([b"\x45", b"\x60", b"\x6f", b"\x41"]))
def test_any_octets(data: bytes, start: bytes) -> None:
    packets = Packets()
    for each in (start + data, start + data):
        found = packets.read(each)
        assert found is None or isinstance(found, Packet)
