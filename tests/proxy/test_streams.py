import pytest
from hpack import Encoder

from enforcer.proxy.gate import Gate
from enforcer.proxy.streams import Http2Relay
from tests.proxy.playbook import SERVER, Play, Site, context, flow
from tests.wire.hellos import END_HEADERS, PREFACE, frame


def requests(*hosts: str) -> list[bytes]:
    """What a client sends on one connection: the preface, then a request for each host."""
    encoder = Encoder()
    fields = ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", host)] for host in hosts)
    blocks = [encoder.encode(each) for each in fields]
    return [PREFACE, *(frame(1, block, END_HEADERS, 2 * number + 1) for number, block in enumerate(blocks))]


def play(site: Site, reachable: str | None = None) -> Play:
    made = flow(port=8080)
    surroundings = context(made)
    started = Play(Gate(surroundings, site.door, made), surroundings, lambda _: reachable)
    made.reset = lambda: started.resets.append(1)
    return started


def test_the_first_request_is_judged_before_anything_is_connected(site: Site) -> None:
    played = play(site).client(*requests("chat.banned.test"))
    assert (played.connected, played.closed, played.resets) == ([], True, [1])
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.alpn) == ("http", "chat.banned.test", ("h2c",))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_allowed_requests_are_carried_octet_by_octet(site: Site, size: int) -> None:
    sent = b"".join(requests("www.ok.test", "other.ok.test", "www.ok.test"))
    played = play(site).client(*(sent[at : at + size] for at in range(0, len(sent), size))).server(b"settings", b"more")
    assert played.connected == [(SERVER, 8080)]
    assert played.to_server == sent
    assert played.to_client == b"settingsmore"
    assert (site.recorded, site.counted("http", "allowed")) == ([], 1)


@pytest.mark.parametrize("last", [0, 5])
def test_a_later_request_for_a_banned_host_ends_the_connection_before_its_head_is_sent(site: Site, last: int) -> None:
    *before, banned = requests("www.ok.test", "other.ok.test", "chat.banned.test")
    played = play(site).client(*before).client(banned[:-last] if last else banned)
    assert played.closed is (not last)
    played.client(banned[-last:] if last else b"")
    assert played.closed
    assert banned not in played.to_server
    [(entry, count)] = site.recorded
    assert (entry.block.name, count) == ("chat.banned.test", 1)


def test_what_nobody_can_read_is_not_carried(site: Site) -> None:
    before = requests("www.ok.test")
    played = play(site).client(*before).client(frame(1, b"\xff\xff\xff\xff\xff\xff", END_HEADERS, 3))
    assert (played.to_server, played.closed, site.recorded) == (b"".join(before), True, [])
    assert site.counted("http", "failed") == 1


def test_what_the_server_has_got_already_is_not_sent_again(site: Site) -> None:
    made = flow(port=8080)
    surroundings = context(made)
    sent = b"".join(requests("www.ok.test"))
    assert Play(Http2Relay(surroundings, site.door, made, sent=5), surroundings).client(sent).to_server == sent[5:]


def test_each_side_may_end_while_the_other_goes_on(site: Site) -> None:
    played = play(site).client(*requests("www.ok.test"))
    played.ends(played.context.client)
    assert not played.closed
    played.server(b"theirs").ends(played.context.server)
    assert (played.to_client, played.closed) == (b"theirs", True)


def test_a_server_that_cannot_be_reached_closes_the_client(site: Site) -> None:
    assert play(site, "refused").client(*requests("www.ok.test")).closed
