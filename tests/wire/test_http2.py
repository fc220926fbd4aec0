from contextlib import suppress

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.http import HEAD_MAX, Request
from enforcer.wire.http2 import TABLE_MAX, Requests
from tests.wire.hellos import BLOCK, END_HEADERS, PREFACE, PRIOR_KNOWLEDGE, frame

PADDED, PRIORITY = 8, 32


def read(*pieces: bytes) -> list[Request]:
    requests = Requests()
    return [each for piece in pieces for each in requests.add(piece)]


def several(*hosts: str) -> bytes:
    """A connection with a request for each host, with bodies, trailers and other frames between."""
    encoder, sent = Encoder(), PREFACE
    for number, host in enumerate(hosts):
        stream = 2 * number + 1
        block = encoder.encode(
            [(":method", "POST"), (":path", f"/{number}"), (":authority", host), ("x-same", "y" * 50)]
        )
        sent += frame(1, block[:9], stream=stream) + frame(9, block[9:], END_HEADERS, stream)
        sent += frame(0, bytes(3000), stream=stream) + frame(6, bytes(8), stream=0)
        sent += frame(1, encoder.encode([("grpc-status", "0")]), END_HEADERS, stream) + frame(8, bytes(4), stream=0)
    return sent


def test_the_first_head_is_read() -> None:
    [request] = read(PRIOR_KNOWLEDGE)
    assert (request.method, request.target, request.path) == (b"GET", b"/a?b", b"/a?b")
    assert request.hosts == (b"chat.test", b"other.test")
    assert request.size == len(BLOCK)


@given(cut=st.integers(0, len(PRIOR_KNOWLEDGE) - 1))
def test_every_proper_prefix_asks_for_more(cut: int) -> None:
    assert read(PRIOR_KNOWLEDGE[:cut]) == []


@given(st.binary(max_size=40))
def test_what_follows_does_not_change_it(behind: bytes) -> None:
    assert next(Requests().add(PRIOR_KNOWLEDGE + behind)) == next(Requests().add(PRIOR_KNOWLEDGE))


@given(st.integers(0, len(BLOCK)), st.integers(0, 20))
def test_padding_priority_and_continuations(cut: int, padding: int) -> None:
    payload = bytes((padding,)) + bytes(5) + BLOCK[:cut] + bytes(padding)
    [request] = read(PREFACE + frame(1, payload, PADDED | PRIORITY) + frame(9, BLOCK[cut:], END_HEADERS))
    assert request.hosts == (b"chat.test", b"other.test")


@given(st.integers(1, 4000))
def test_every_request_is_read_however_it_comes(size: int) -> None:
    sent = several("a.test", "b.test", "c.test", "b.test")
    found = read(*(sent[at : at + size] for at in range(0, len(sent), size)))
    assert [each.hosts for each in found] == [(b"a.test",), (b"b.test",), (b"c.test",), (b"b.test",)]
    assert [each.path for each in found] == [b"/0", b"/1", b"/2", b"/3"]


def test_bodies_are_not_held() -> None:
    requests = Requests()
    assert len(list(requests.add(PRIOR_KNOWLEDGE + frame(0, bytes(60_000))[:-1]))) == 1
    assert not requests._waiting
    assert len(list(requests.add(b"\0" + PRIOR_KNOWLEDGE[len(PREFACE) :]))) == 1


def test_a_table_is_as_large_as_servers_let_it_be_and_no_larger() -> None:
    for size, expected in ((TABLE_MAX, 1), (TABLE_MAX + 1, 0)):
        encoder = Encoder()
        encoder.header_table_size = size
        data = PREFACE + frame(1, encoder.encode([(":authority", "a.test")]), END_HEADERS)
        with suppress(Malformed):
            assert len(read(data)) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX", id="another preface"),
        pytest.param(PREFACE + frame(1, BLOCK) + frame(0), id="a frame inside the head"),
        pytest.param(PREFACE + frame(1, b"\x09" + bytes(8), PADDED), id="more padding than payload"),
        pytest.param(PREFACE + frame(1, b"", PADDED), id="no length of the padding"),
        pytest.param(PREFACE + frame(1, bytes(4), PRIORITY), id="half a priority"),
        pytest.param(PREFACE + frame(1, b"\xff\xff\xff\xff\xff\xff", END_HEADERS), id="an index that is none"),
        pytest.param(PREFACE + frame(1, bytes(HEAD_MAX + 1)), id="a head too long"),
        pytest.param(PREFACE + frame(1, bytes(HEAD_MAX)) + frame(9, b"x"), id="a head too long with what continues it"),
        pytest.param(
            PREFACE + frame(1, Encoder().encode([("x", "y" * 4000)] + [("x", "y" * 4000)] * 9), END_HEADERS),
            id="a head that grows as it is decompressed",
        ),
    ],
)
def test_what_no_server_could_read(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@given(st.binary(max_size=100))
def test_any_octets_give_a_value_or_none_or_malformed(data: bytes) -> None:
    for each in (data, PREFACE + data, PREFACE + frame(1, data, END_HEADERS)):
        with suppress(Malformed):
            read(each)
