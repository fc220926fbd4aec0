import struct
from socket import htonl

from hypothesis import given
from hypothesis import strategies as st

from enforcer.gateway.nfqueue import Queued, Reader, Refused, accept, bind


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def queued(ident: int, packet: bytes, mark: int | None = None, interface: int | None = None) -> bytes:
    """As nfnetlink_queue writes it (linux/netfilter/nfnetlink_queue.h)."""
    body = struct.pack("!BBH", 2, 0, 53) + attribute(1, struct.pack("!IHB", ident, 0x0800, 2))
    if interface is not None:
        body += attribute(5, interface.to_bytes(4))
    if mark is not None:
        body += attribute(3, mark.to_bytes(4))
    return message(0x300, body + attribute(9, bytes(12)) + attribute(10, packet))


def read(data: bytes, reader: Reader | None = None) -> list[Queued | Refused]:
    """With the numbers as they are written here."""
    found = (reader or Reader()).read(memoryview(data))
    return [
        Queued(htonl(each.ident), htonl(each.mark), each.interface, each.packet) if isinstance(each, Queued) else each
        for each in found
    ]


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_a_packet_is_read_with_its_number_mark_and_interface(ident: int, mark: int, packet: bytes) -> None:
    assert read(queued(ident, packet, mark, 7)) == [Queued(ident, mark, 7, packet)]
    assert read(queued(ident, packet)) == [Queued(ident, 0, 0, packet)]


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 9), st.binary(max_size=40)), max_size=6))
def test_messages_that_lie_alike_are_read_alike(packets: list[tuple[int, int, bytes]]) -> None:
    reader = Reader()
    for ident, interface, packet in packets:
        assert read(queued(ident, packet, ident ^ 1, interface), reader) == [
            Queued(ident, ident ^ 1, interface, packet)
        ]


def test_a_message_that_lies_otherwise_than_the_one_before() -> None:
    reader = Reader()
    assert read(queued(1, b"one", 2, 3), reader) == [Queued(1, 2, 3, b"one")]
    assert read(queued(4, b"two"), reader) == [Queued(4, 0, 0, b"two")]
    assert read(queued(5, b"three", None, 6), reader) == [Queued(5, 0, 6, b"three")]
    assert read(message(2, struct.pack("=i", -1) + bytes(60)), reader) == [Refused(1)]
    assert read(queued(7, b"four", 8, 9) + queued(1, b""), reader) == [Queued(7, 8, 9, b"four"), Queued(1, 0, 0, b"")]
    whole = queued(7, b"fives", 8, 9)
    for size in range(len(whole)):
        assert all(isinstance(each, Queued) for each in read(whole[:size], reader))


def test_several_messages_in_one_datagram() -> None:
    error = message(2, struct.pack("=i", -16) + bytes(16))
    assert read(queued(1, b"one") + error + queued(2, b"three")) == [
        Queued(1, 0, 0, b"one"),
        Refused(16),
        Queued(2, 0, 0, b"three"),
    ]


def test_other_messages_are_passed_over() -> None:
    assert read(message(3, b"") + queued(1, b"x") + message(0x301, bytes(8))) == [Queued(1, 0, 0, b"x")]


@given(st.binary(max_size=200))
def test_what_is_damaged_ends_without_an_error(data: bytes) -> None:
    reader = Reader()
    read(data, reader)
    whole = queued(1, b"abc", 2, 3)
    read(whole, reader)
    for size in (16, 30, 44):
        read(whole[:size] + data, reader)


def test_a_verdict_says_the_queue_the_packet_and_the_mark() -> None:
    data = accept(53, htonl(0x01020304), htonl(0x8000_0001))
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", data)
    assert (length, kind, flags) == (len(data), 0x301, 1)
    assert struct.unpack_from("!BBH", data, 16) == (0, 0, 53)
    assert data[20:32] == struct.pack("=HH", 12, 2) + struct.pack("!II", 1, 0x01020304)
    assert data[32:] == struct.pack("=HH", 8, 3) + bytes.fromhex("80000001")


def test_binding_asks_for_whole_packets_large_ones_too_to_give_on_what_is_too_much_and_an_answer_each() -> None:
    messages = bind(54, 1000)
    for each in messages:
        length, kind, flags, _, _ = struct.unpack_from("=IHHII", each)
        assert (length, kind, flags) == (len(each), 0x302, 5)
        assert each[18:20] == (54).to_bytes(2)
    bodies = [each[20:] for each in messages]
    assert bodies[0] == attribute(1, b"\1\0\0\2")
    assert bodies[1] == attribute(2, b"\0\0\xff\xff\2")
    assert bodies[2] == attribute(3, (1000).to_bytes(4))
    assert bodies[3] == attribute(4, (5).to_bytes(4)) + attribute(5, (5).to_bytes(4))
