import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.httpframe import (
    CHUNKED,
    HEAD_MAX,
    LINE_MAX,
    NO_BODY,
    UNTIL_CLOSE,
    Body,
    Framing,
    Head,
    Messages,
    Part,
    read_head,
    request_framing,
    response_framing,
    status,
)

GET = b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n"
POST = b"POST /up HTTP/1.1\r\nHost: www.test\r\nContent-Length: 5\r\n\r\n"
CHUNKS = b"POST /up HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n"
CHUNKED_BODY = b'4\r\nGET \r\n1a;name="value"\r\n' + b"x" * 26 + b"\r\n0\r\nDigest: sha\r\n\r\n"


def requests(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    """Each request's head and body, as a relay would see them."""
    stream = Messages()
    found: list[tuple[bytes, bytes]] = []
    for piece in pieces:
        stream.feed(piece)
        while (taken := stream.take()) is not None:
            if isinstance(taken, Head):
                found.append((taken.octets, b""))
                stream.frame(request_framing(taken))
            else:
                found[-1] = found[-1][0], found[-1][1] + taken.octets
    return found


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_messages_are_cut_the_same_however_they_come(cut: int) -> None:
    whole = GET + POST + b"hello" + CHUNKS + CHUNKED_BODY + b"\r\n" + GET
    pieces = [whole[at : at + cut] for at in range(0, len(whole), cut)]
    assert requests(*pieces) == [(GET, b""), (POST, b"hello"), (CHUNKS, CHUNKED_BODY), (b"\r\n" + GET, b"")]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_any_octets_are_cut_or_malformed_and_none_is_lost(pieces: list[bytes]) -> None:
    stream = Messages()
    out = b""
    try:
        for piece in pieces:
            stream.feed(piece)
            while (taken := stream.take()) is not None:
                out += taken.octets
                if isinstance(taken, Head):
                    stream.frame(request_framing(taken))
    except Malformed:
        return
    assert out + stream.rest() == b"".join(pieces)


@pytest.mark.parametrize(
    ("fields", "framing"),
    [
        (b"", NO_BODY),
        (b"Content-Length: 12\r\n", Framing(Body.SIZED, 12)),
        (b"Content-Length: 12, 12\r\nContent-Length: 12\r\n", Framing(Body.SIZED, 12)),
        (b"Transfer-Encoding: Chunked\r\n", CHUNKED),
    ],
)
def test_rfc_9112_6_3_how_a_request_ends(fields: bytes, framing: Framing) -> None:
    assert request_framing(read_head(b"POST / HTTP/1.1\r\n" + fields + b"\r\n")) == framing


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nX: y\r\n Content-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nno field\r\n\r\n",
    ],
)
def test_rfc_9112_11_2_what_two_readers_could_cut_differently_is_malformed(head: bytes) -> None:
    with pytest.raises(Malformed):
        request_framing(read_head(head))


@pytest.mark.parametrize(
    ("head", "method", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"GET", Framing(Body.SIZED, 3)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"HEAD", NO_BODY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"GET", CHUNKED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", b"GET", UNTIL_CLOSE),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"GET", UNTIL_CLOSE),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b"GET", NO_BODY),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"POST", NO_BODY),
        (b"HTTP/1.1 204\r\n\r\n", b"GET", NO_BODY),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", b"CONNECT", NO_BODY),
        (b"HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\n", b"CONNECT", Framing(Body.SIZED, 2)),
    ],
)
def test_rfc_9112_6_3_how_a_response_ends(head: bytes, method: bytes, framing: Framing) -> None:
    assert response_framing(read_head(head), method) == framing


@pytest.mark.parametrize("start", [b"ICY 200 OK", b"HTTP/1.1", b"HTTP/1.1 2000 OK", b"HTTP/2 200", b"HTTP/1.1 abc"])
def test_a_response_has_a_status_line(start: bytes) -> None:
    with pytest.raises(Malformed):
        status(read_head(start + b"\r\n\r\n"))


def test_a_body_until_the_end_of_the_connection_never_ends() -> None:
    stream = Messages()
    stream.feed(b"HTTP/1.0 200 OK\n\nabc")
    assert isinstance(stream.take(), Head)
    stream.frame(UNTIL_CLOSE)
    assert stream.take() == Part(b"abc", last=False)
    assert stream.take() is None
    stream.feed(GET)
    assert stream.take() == Part(GET, last=False)


@pytest.mark.parametrize(
    "body", [b"g\r\n", b"\r\n", b"1\r\nab\r\n", b"-1\r\n", b"11111111111111111\r\n", b"1" + b";" * LINE_MAX]
)
def test_rfc_9112_7_1_a_chunk_that_is_none(body: bytes) -> None:
    with pytest.raises(Malformed):
        requests(CHUNKS + body)


def test_heads_and_trailers_have_a_limit() -> None:
    with pytest.raises(Malformed):
        requests(b"GET / HTTP/1.1\r\n", *[b"X: " + b"y" * 1000 + b"\r\n"] * (HEAD_MAX // 1000 + 1))
    with pytest.raises(Malformed):
        requests(CHUNKS + b"0\r\n", *[b"X: " + b"y" * 1000 + b"\r\n"] * (HEAD_MAX // 1000 + 1))


def test_members_of_a_list_come_from_all_its_lines() -> None:
    head = read_head(b"GET / HTTP/1.1\r\nConnection: Keep-Alive, Upgrade\r\nconnection:x\r\nUpgrade: WebSocket\r\n\r\n")
    assert head.values(b"connection") == [b"keep-alive", b"upgrade", b"x"]
    assert head.start == b"GET / HTTP/1.1"
