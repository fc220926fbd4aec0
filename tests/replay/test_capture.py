import io
import struct
from contextlib import suppress

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt
from enforcer.replay.capture import RECORD_MAX, Frame, frames
from tests.replay.captures import ETHERNET, NOON_NS, RAW, pcap

ONE, TWO = b"\x45first", b"\x60second packet"


def read(data: bytes) -> list[Frame]:
    return list(frames(io.BytesIO(data)))


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order)


def enhanced(data: bytes, number: int = 0, time: int = 0, order: str = "<") -> bytes:
    head = struct.pack(f"{order}IIIII", number, time >> 32, time & 0xFFFFFFFF, len(data), len(data) + 5)
    return block(6, head + data + bytes(-len(data) % 4), order)


def test_what_dpkt_writes_is_read() -> None:
    found = read(pcap([ONE, TWO], ETHERNET))
    assert [(each.link, each.data, each.size) for each in found] == [(1, ONE, len(ONE)), (1, TWO, len(TWO))]
    assert found[0].time_ns == NOON_NS
    assert found[1].time_ns - found[0].time_ns == pytest.approx(1_000_000, abs=1000)


def test_what_dpkt_writes_as_pcapng_is_read() -> None:
    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file)
    writer.writepkt(ONE, NOON_NS / 1e9)
    assert [(each.link, each.data, each.time_ns) for each in read(file.getvalue())] == [(1, ONE, NOON_NS)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_either_byte_order_and_unit(order: str, magic: int, unit: int) -> None:
    head = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, RAW | 0x14000000)
    record = struct.pack(f"{order}IIII", 7, 9, len(ONE), 1500)
    assert read(head + record + ONE) == [Frame(7_000_000_000 + 9 * unit, RAW, ONE, 1500)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_interfaces_have_links_and_clocks_of_their_own(order: str) -> None:
    clock = struct.pack(f"{order}HHB3xHHqHH", 9, 1, 9, 14, 8, 100, 0, 0)
    halves = struct.pack(f"{order}HHB3x", 9, 1, 0x81)
    data = (
        section(order) + interface(ETHERNET, order=order) + interface(RAW, clock, order) + interface(RAW, halves, order)
    )
    data += (
        enhanced(ONE, 0, 5, order)
        + enhanced(TWO, 1, 7, order)
        + enhanced(TWO, 2, 3, order)
        + enhanced(TWO, 9, 0, order)
    )
    assert read(data) == [
        Frame(5000, ETHERNET, ONE, len(ONE) + 5),
        Frame(100_000_000_007, RAW, TWO, len(TWO) + 5),
        Frame(1_500_000_000, RAW, TWO, len(TWO) + 5),
    ]


def test_a_new_section_describes_its_interfaces_again_and_other_blocks_are_skipped() -> None:
    data = section() + interface(ETHERNET) + block(5, b"statistics") + section(">") + enhanced(ONE, order=">")
    data += interface(RAW, order=">") + enhanced(TWO, order=">")
    assert [each.data for each in read(data)] == [TWO]


def test_a_simple_packet_block() -> None:
    assert read(section() + interface(RAW) + block(3, struct.pack("<I", 3) + b"abc")) == [Frame(0, RAW, b"abc", 3)]


@pytest.mark.parametrize("whole", [pcap([ONE, TWO]), section() + interface(RAW) + enhanced(ONE) + enhanced(TWO)])
def test_a_file_cut_short_ends_with_the_record_before(whole: bytes) -> None:
    every = read(whole)
    for cut in range(4, len(whole)):
        found = read(whole[:cut])
        assert found == every[: len(found)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b\x08\x00",
        b"GET / HTTP/1.1\r\n",
        pcap([])[:24] + struct.pack("<IIII", 0, 0, RECORD_MAX + 1, 0),
        section() + struct.pack("<II", 6, 0xFFFFFFF0),
        section() + interface(RAW) * 4097,
    ],
)
def test_what_is_no_capture_or_a_damaged_one_says_so(data: bytes) -> None:
    with pytest.raises(Corrupt, match="capture"):
        read(data)


@given(st.binary(max_size=200), st.sampled_from([b"", pcap([])[:24], section() + interface(RAW)]))
def test_any_octets_give_packets_or_corrupt(data: bytes, start: bytes) -> None:
    with suppress(Corrupt):
        read(start + data)
