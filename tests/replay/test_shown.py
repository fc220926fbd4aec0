import pytest

from enforcer.decide.flow import Seen, Shows
from enforcer.policy.names import display
from enforcer.policy.verdict import Layer
from enforcer.replay.shown import ShownByDatagrams, ShownByStream
from tests.proxy.test_streams import requests
from tests.wire.hellos import hello
from tests.wire.initials import of_aioquic

GET = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 20\r\n\r\n" + (GET % b"body.test")[-20:]
CONNECT = b"CONNECT %b:443 HTTP/1.1\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\n\r\n"


def names(seen: list[Seen]) -> list[str]:
    return [",".join(map(display, each.names)) or each.shows.value for each in seen]


def shown(data: bytes, size: int = 10_000) -> list[str]:
    stream = ShownByStream()
    return names([seen for at in range(0, len(data), size) for seen in stream.add(data[at : at + size])])


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_every_request_of_a_connection_is_shown(size: int) -> None:
    sent = GET % b"a.test" + POST % b"b.test" + b"\r\n" + GET % b"c.test"
    assert shown(sent, size) == ["a.test", "b.test", "c.test"]
    assert shown(b"".join(requests("a.test", "b.test")), size) == ["a.test", "b.test"]


@pytest.mark.parametrize("size", [1, 10_000])
def test_what_is_in_a_tunnel_is_shown(size: int) -> None:
    assert shown(CONNECT % b"a.test" + hello(b"b.test") + b"behind", size) == ["a.test", "b.test"]
    assert shown(CONNECT % b"a.test" + GET % b"b.test" + GET % b"c.test", size) == ["a.test", "b.test", "c.test"]


def test_behind_another_protocol_and_a_change_to_one_nothing_is_shown() -> None:
    for data in (hello(b"a.test"), UPGRADE % b"a.test"):
        stream = ShownByStream()
        assert names(list(stream.add(data))) == ["a.test"]
        assert list(stream.add(b"\x81\x85\n\n" + bytes(40))) == []
        assert stream.over
        assert list(stream.add(GET % b"b.test")) == []


def test_an_upgrade_that_was_not_granted_changes_nothing() -> None:
    assert shown(UPGRADE % b"a.test" + GET % b"b.test") == ["a.test", "b.test"]


def test_what_cannot_be_followed_is_nonsense() -> None:
    stream = ShownByStream()
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = list(stream.add(GET % b"a.test" + (GET % b"b.test")[:-2] + both))
    assert (names(found), found[-1].layer, stream.over) == (["a.test", "nonsense"], Layer.HTTP, True)
    assert found[-1].shows is Shows.NONSENSE


def test_each_connection_of_quic_is_shown_once() -> None:
    packets = ShownByDatagrams()
    sent = [*of_aioquic("a.test") * 2, b"\x40" + bytes(30), *of_aioquic("b.test") * 2]
    assert names([seen for datagram in sent for seen in packets.add(datagram)]) == ["a.test", "b.test"]
