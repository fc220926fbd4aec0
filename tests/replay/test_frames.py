import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.replay.frames import ip_in
from tests.replay.captures import COOKED, COOKED_2, ETHERNET, NULL, PHONE, PPP, RAW, SERVER, ethernet, ip, udp

V4 = ip(PHONE, SERVER, 17, udp(b"x"))
V6 = ip("2001:db8:20::5", "2001:db8::80", 17, udp(b"x"))
PPPOE = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\x64\x11\x00\x00\x01\x00\x1e"
MPLS = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\x47\x00\x01\x00\x40\x00\x01\x01\x40"


@pytest.mark.parametrize("packet", [V4, V6])
def test_the_packet_in_each_kind_of_frame(packet: bytes) -> None:
    kind = 0x0800 if packet is V4 else 0x86DD
    assert ip_in(RAW, packet) == packet
    assert ip_in(228 if packet is V4 else 229, packet) == packet
    assert ip_in(ETHERNET, ethernet(packet)) == packet
    assert ip_in(ETHERNET, ethernet(packet, 0x8100)) == packet
    assert ip_in(ETHERNET, ethernet(packet, 0x88A8, 0x8100)) == packet
    assert ip_in(ETHERNET, ethernet(packet, 0x9100, 0x8100, 0x8100)) == packet
    assert ip_in(COOKED, bytes(dpkt.sll.SLL(ethtype=kind, data=packet))) == packet
    assert ip_in(COOKED_2, bytes(dpkt.sll2.SLL2(ethtype=kind, data=packet))) == packet
    assert ip_in(NULL, b"\x02\0\0\0" + packet) == packet
    assert ip_in(PPP, b"\xff\x03\x00" + (b"\x21" if packet is V4 else b"\x57") + packet) == packet
    assert ip_in(ETHERNET, PPPOE + b"\x00" + (b"\x21" if packet is V4 else b"\x57") + packet) == packet
    assert ip_in(ETHERNET, PPPOE + (b"\x21" if packet is V4 else b"\x57") + packet) == packet
    assert ip_in(ETHERNET, MPLS + packet) == packet


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (ETHERNET, ethernet(V4).replace(b"\x08\x00", b"\x08\x06", 1)),
        (ETHERNET, ethernet(V4, *[0x8100] * 9)),
        (ETHERNET, PPPOE + b"\xc0\x21" + V4),
        (ETHERNET, MPLS[:-5] + b"\x00"),
        (RAW, b"\x55"),
        (RAW, b""),
        (105, V4),
    ],
)
def test_frames_without_ip(link: int, frame: bytes) -> None:
    assert ip_in(link, frame) is None


@given(st.sampled_from([0, 1, 9, 101, 113, 276, 500]), st.binary(max_size=60))
def test_any_octets(link: int, frame: bytes) -> None:
    found = ip_in(link, frame)
    assert found is None or frame.endswith(found)
