from contextlib import suppress

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.http import HEAD_MAX
from enforcer.wire.http2 import read_request
from tests.wire.hellos import BLOCK, END_HEADERS, PREFACE, PRIOR_KNOWLEDGE, frame

PADDED, PRIORITY = 8, 32


def test_the_first_head_is_read() -> None:
    request = read_request(PRIOR_KNOWLEDGE)
    assert request is not None
    assert (request.method, request.target, request.path) == (b"GET", b"/a?b", b"/a?b")
    assert request.hosts == (b"chat.test", b"other.test")
    assert request.size == len(PRIOR_KNOWLEDGE)


@given(cut=st.integers(0, len(PRIOR_KNOWLEDGE) - 1))
def test_every_proper_prefix_asks_for_more(cut: int) -> None:
    assert read_request(PRIOR_KNOWLEDGE[:cut]) is None


@given(st.binary(max_size=40))
def test_what_follows_does_not_change_it(behind: bytes) -> None:
    assert read_request(PRIOR_KNOWLEDGE + behind) == read_request(PRIOR_KNOWLEDGE)


@given(st.integers(0, len(BLOCK)), st.integers(0, 20))
def test_padding_priority_and_continuations(cut: int, padding: int) -> None:
    payload = bytes((padding,)) + bytes(5) + BLOCK[:cut] + bytes(padding)
    data = PREFACE + frame(1, payload, PADDED | PRIORITY) + frame(9, BLOCK[cut:], END_HEADERS)
    request = read_request(data)
    assert request is not None
    assert request.hosts == (b"chat.test", b"other.test")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX", id="another preface"),
        pytest.param(PREFACE + frame(1, BLOCK) + frame(0), id="a frame inside the head"),
        pytest.param(PREFACE + frame(1, b"\x09" + bytes(8), PADDED), id="more padding than payload"),
        pytest.param(PREFACE + frame(1, b"", PADDED), id="no length of the padding"),
        pytest.param(PREFACE + frame(1, bytes(4), PRIORITY), id="half a priority"),
        pytest.param(PREFACE + frame(1, b"\xff\xff\xff\xff\xff\xff", END_HEADERS), id="an index that is none"),
        pytest.param(PREFACE + frame(0, bytes(HEAD_MAX)), id="a head too far behind"),
        pytest.param(
            PREFACE + frame(1, Encoder().encode([("x", "y" * 4000)] + [("x", "y" * 4000)] * 9), END_HEADERS),
            id="a head that grows as it is decompressed",
        ),
    ],
)
def test_what_no_server_could_read(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_request(data)


@given(st.binary(max_size=100))
def test_any_octets_give_a_value_or_none_or_malformed(data: bytes) -> None:
    for each in (data, PREFACE + data, PREFACE + frame(1, data, END_HEADERS)):
        with suppress(Malformed):
            read_request(each)
