import socket
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from enforcer.resolver.mmsg import BATCH, PLACE, Batch, MmsgBatch, PlainBatch, batch_for, source_of, whom

type Make = Callable[[socket.socket], Batch]

MADE: dict[str, Make] = {"mmsg": lambda sock: MmsgBatch(sock, any_address=False), "plain": PlainBatch}


def udp(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.bind((host, 0))
    return sock


@pytest.fixture(params=["127.0.0.1", "::1"])
def ours(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with udp(request.param) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture(params=MADE)
def batch(request: pytest.FixtureRequest, ours: socket.socket) -> Batch:
    return MADE[request.param](ours)


def client_of(sock: socket.socket) -> socket.socket:
    client = udp(sock.getsockname()[0])
    client.connect(sock.getsockname()[:2])
    return client


def place(batch: Batch, index: int, length: int) -> bytes:
    return batch.buffer[index * PLACE : index * PLACE + length]


def test_datagrams_come_in_order_with_length_and_source_and_replies_go_back(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as one, client_of(ours) as two:
        one.send(b"first")
        two.send(b"the second")
        lengths, clients = batch.receive()
        assert list(lengths) == [5, 10]
        assert [place(batch, index, length) for index, length in enumerate(lengths)] == [b"first", b"the second"]
        assert [whom(client) for client in clients] == [ip_address(one.getsockname()[0])] * 2
        assert [batch.source(index) for index in range(2)] == [one.getsockname()[:2], two.getsockname()[:2]]
        for index, reply in enumerate((b"reply to one", b"2")):
            batch.buffer[index * PLACE : index * PLACE + len(reply)] = reply
            batch.sizes[2 * index + 1] = len(reply)
        batch.send(0, 2)
        assert (one.recv(99), two.recv(99)) == (b"reply to one", b"2")


def test_without_datagrams_there_is_nothing(batch: Batch) -> None:
    lengths, clients = batch.receive()
    assert (len(lengths), len(clients)) == (0, 0)


def test_a_batch_is_full_and_the_rest_comes_with_the_next(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as client:
        for number in range(BATCH + 3):
            client.send(bytes([number]))
        assert len(batch.receive()[0]) == BATCH
        lengths, _ = batch.receive()
        assert [place(batch, index, 1) for index in range(len(lengths))] == [bytes([BATCH + n]) for n in range(3)]


def test_an_empty_and_a_long_datagram_stay_in_their_places(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as client:
        for wire in (b"", b"x" * (PLACE + 100), b"after"):
            client.send(wire)
        lengths, _ = batch.receive()
        assert list(lengths) == [0, PLACE, 5]
        assert place(batch, 2, 5) == b"after"


def test_only_the_places_that_are_asked_for_are_sent(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as client:
        for number in range(3):
            client.send(bytes([number]))
        batch.receive()
        for index in range(3):
            batch.sizes[2 * index + 1] = 1
        batch.send(1, 1)
        batch.send(1, 2)
        assert client.recv(9) == b"\1"
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(9)


def test_a_client_that_is_gone_does_not_keep_the_next_from_its_reply(batch: Batch, ours: socket.socket) -> None:
    gone, client = client_of(ours), client_of(ours)
    gone.send(b"1")
    client.send(b"2")
    gone.close()
    assert len(batch.receive()[0]) == 2
    batch.sizes[1] = batch.sizes[3] = 1
    batch.send(0, 2)
    assert client.recv(9) == b"2"
    client.close()


def test_a_reply_can_come_when_the_batch_is_long_over(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as one, client_of(ours) as two:
        one.send(b"1")
        batch.receive()
        way = batch.way(0)
        two.send(b"2")
        batch.receive()
        assert source_of(way) == one.getsockname()[:2]
        assert not batch.post(way, b"to one")
        assert not batch.post(batch.way(0), b"to two")
        batch.flush()
        batch.flush()
        assert (one.recv(99), two.recv(99)) == (b"to one", b"to two")
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(9)


def test_as_many_replies_as_a_batch_has_can_be_posted(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as client:
        client.send(b"1")
        batch.receive()
        full = [batch.post(batch.way(0), bytes([number])) for number in range(BATCH)]
        assert full == [False] * (BATCH - 1) + [True]
        batch.flush()
        assert [client.recv(9) for _ in range(BATCH)] == [bytes([number]) for number in range(BATCH)]


def test_a_reply_to_nobody_is_lost_without_a_word(batch: Batch, ours: socket.socket) -> None:
    with client_of(ours) as client:
        client.send(b"1")
        batch.receive()
    batch.post(batch.way(0), b"nobody reads that")
    batch.flush()


@pytest.mark.parametrize(("bound", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "::1")])
def test_on_any_address_the_reply_at_once_and_later_comes_from_the_address_that_was_asked(
    bound: str, asked: str
) -> None:
    with udp(bound) as ours, udp("127.0.0.1" if "." in asked else "::1") as client:
        batch = batch_for(ours, any_address=True)
        client.connect((asked, ours.getsockname()[1]))  # so that the kernel takes replies from this address alone
        client.send(b"query")
        batch.receive()
        batch.sizes[1] = 5
        batch.send(0, 1)
        assert client.recv(99) == b"query"
        batch.post(batch.way(0), b"late")
        batch.flush()
        assert client.recv(99) == b"late"


def test_a_client_key_is_its_address() -> None:
    packed = ip_address("192.0.2.1").packed
    assert whom(int.from_bytes(packed, sys.byteorder)) == ip_address("192.0.2.1")
    assert whom(packed) == ip_address("192.0.2.1")
    assert whom(ip_address("2001:db8::1").packed) == ip_address("2001:db8::1")
    assert whom(ip_address("::ffff:192.0.2.1").packed) == ip_address("192.0.2.1")
