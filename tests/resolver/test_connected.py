import socket
from collections.abc import Callable, Iterator

import pytest

from enforcer.resolver.connected import MmsgWire, PlainWire, Wire, wire
from enforcer.resolver.mmsg import BATCH, PLACE


@pytest.fixture(params=[MmsgWire, PlainWire])
def made(request: pytest.FixtureRequest) -> Wire:
    kind: Callable[[], Wire] = request.param
    return kind()


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets, each connected to the other."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as two:
        for sock in (one, two):
            sock.bind((request.param, 0))
        one.connect(two.getsockname()[:2])
        two.connect(one.getsockname()[:2])
        yield one, two


def test_datagrams_leave_and_come_in_order(made: Wire, pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    assert made.send(one, [b"first", b"the second", b""]) == 3
    assert made.send(one, [b"alone"]) == 1
    assert made.receive(two) == [b"first", b"the second", b"", b"alone"]
    assert made.receive(two) == []


def test_no_more_than_a_batch_is_read_at_once(made: Wire, pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    for number in range(BATCH + 2):
        made.send(one, [bytes([number])])
    assert made.receive(two) == [bytes([number]) for number in range(BATCH)]
    assert made.receive(two) == [bytes([BATCH]), bytes([BATCH + 1])]


def test_a_long_datagram_is_cut_and_takes_nothing_from_the_next(
    made: Wire, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, two = pair
    one.send(b"x" * (PLACE + 100))
    one.send(b"next")
    assert made.receive(two) == [b"x" * PLACE, b"next"]


def test_where_nobody_listens_both_say_so(made: Wire) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
    ):
        gone.bind(("127.0.0.1", 0))
        ours.connect(gone.getsockname())
        gone.close()
        made.send(ours, [b"1"])
        with pytest.raises(OSError, match=r"111|refused"):
            made.receive(ours)
        made.send(ours, [b"1"])
        with pytest.raises(OSError, match=r"111|refused"):
            made.send(ours, [b"1", b"2"])


def test_this_system_has_one() -> None:
    assert isinstance(wire(), MmsgWire | PlainWire)
