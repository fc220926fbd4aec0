import pytest

from enforcer.proxy.gate import Gate
from enforcer.proxy.relay import BAD_REQUEST, HttpRelay, target
from enforcer.wire.httpframe import read_head
from tests.proxy.playbook import SERVER, Play, Site, context, flow, hello

GET = b"GET /a?b HTTP/1.1\r\nHost: www.ok.test\r\n\r\n"
BANNED = b"GET /c HTTP/1.1\r\nHost: chat.banned.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: www.ok.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT www.ok.test:443 HTTP/1.1\r\nHost: www.ok.test:443\r\n\r\n"
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def play(site: Site) -> Play:
    """A connection to port 80 as it begins."""
    made = flow(port=80)
    surroundings = context(made)
    return Play(Gate(surroundings, site.door, made), surroundings)


def upstream(site: Site) -> Play:
    """A client of ours in mode upstream."""
    made = flow(to=None)
    surroundings = context(made, "upstream:http://192.0.2.8:3128@5080")
    surroundings.server.address = ("192.0.2.8", 3128)
    return Play(HttpRelay(surroundings, site.door, made, Gate, judged=False), surroundings)


@pytest.mark.parametrize("size", [1, 5, 4096])
def test_requests_and_responses_are_carried_octet_by_octet(site: Site, size: int) -> None:
    post = (
        b"POST /up HTTP/1.1\r\nhOsT: www.ok.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\nX: y\r\n\r\n"
    )
    asked, answered = GET + post + GET, OK + b"HTTP/1.1 304 Not Modified\r\n\r\n" + OK
    played = play(site)
    played.client(*[asked[at : at + size] for at in range(0, len(asked), size)])
    played.server(*[answered[at : at + size] for at in range(0, len(answered), size)])
    assert played.to_server == asked
    assert played.to_client == answered
    assert played.connected == [(SERVER, 80)]
    assert not played.closed
    assert site.recorded == []
    assert site.counted("http", "allowed") == 1


def test_a_later_request_for_a_banned_host_is_refused_and_none_of_it_sent_on(site: Site) -> None:
    played = play(site).client(GET).server(OK).client(BANNED)
    assert played.to_server == GET
    assert played.to_client.startswith(OK + b"HTTP/1.1 403 Forbidden\r\n")
    [(entry, count)] = site.recorded
    assert (entry.block.name, count) == ("chat.banned.test", 1)
    assert site.counted("http", "blocked") == 1


def test_a_banned_request_behind_another_in_one_segment_is_seen(site: Site) -> None:
    played = play(site).client(GET + BANNED)
    assert played.to_server == GET
    assert b" 403 " in played.to_client


def test_a_request_hidden_in_a_body_is_no_request(site: Site) -> None:
    post = b"POST / HTTP/1.1\r\nHost: www.ok.test\r\nContent-Length: %d\r\n\r\n" % len(BANNED)
    assert play(site).client(post + BANNED).to_server == post + BANNED
    assert site.recorded == []


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: www.ok.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: www.ok.test\r\nX: y\r\n folded: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: www.ok.test\r\n\r\n\x16\x03\x01 no request\r\n\r\n",
    ],
)
def test_what_cannot_be_followed_is_not_carried(site: Site, head: bytes) -> None:
    played = play(site).client(head)
    assert played.to_client.endswith(BAD_REQUEST) or played.closed
    assert b"\x16" not in played.to_server


def test_after_a_granted_upgrade_both_sides_speak_freely(site: Site) -> None:
    played = play(site).client(UPGRADE, b"early")
    assert played.to_server == UPGRADE
    played.server(SWITCHED + b"\x81\x02hi")
    assert played.to_client == SWITCHED + b"\x81\x02hi"
    assert played.to_server == UPGRADE + b"early"
    played.client(BANNED)
    assert played.to_server.endswith(BANNED)


def test_an_upgrade_that_is_not_granted_changes_nothing(site: Site) -> None:
    played = play(site).client(UPGRADE + BANNED).server(OK)
    assert played.to_server == UPGRADE
    assert b" 403 " in played.to_client
    assert len(site.recorded) == 1


@pytest.mark.parametrize(
    ("request_", "response"),
    [(GET, SWITCHED), (UPGRADE.replace(b"websocket", b"h2c"), SWITCHED.replace(b"websocket", b"h2c"))],
)
def test_a_switch_that_nobody_could_judge_ends_the_connection(site: Site, request_: bytes, response: bytes) -> None:
    assert play(site).client(request_).server(response).closed


def test_interim_responses_belong_to_the_request(site: Site) -> None:
    post = b"POST / HTTP/1.1\r\nHost: www.ok.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    played = play(site).client(post).server(b"HTTP/1.1 100 Continue\r\n\r\n").client(b"hi").server(OK).client(GET)
    assert played.to_server == post + b"hi" + GET


def test_a_server_that_speaks_something_else_is_carried_and_requests_are_judged_on(site: Site) -> None:
    played = play(site).client(GET).server(b"ICY 200 OK\r\n\r\n", b"music").client(BANNED)
    assert played.to_client.startswith(b"ICY 200 OK\r\n\r\nmusic")
    assert played.to_server == GET


def test_each_side_may_end_while_the_other_goes_on(site: Site) -> None:
    played = play(site).client(GET)
    played.ends(played.context.client)
    assert not played.closed
    played.server(OK).ends(played.context.server)
    assert played.to_client == OK
    assert played.closed


def test_a_server_that_cannot_be_reached_closes_the_client(site: Site) -> None:
    made = flow(port=80)
    surroundings = context(made)
    assert Play(Gate(surroundings, site.door, made), surroundings, lambda _: "refused").client(GET).closed


def test_upstream_a_connect_is_judged_and_what_follows_it_too(site: Site) -> None:
    played = upstream(site).client(CONNECT)
    assert played.to_server == CONNECT
    assert played.connected == [("192.0.2.8", 3128)]
    played.server(GRANTED).client(hello("chat.banned.test"))
    assert played.to_client == GRANTED + bytes.fromhex("15030300020270")
    assert played.to_server == CONNECT
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.dest_port) == ("tls", "chat.banned.test", 443)


def test_upstream_a_banned_target_is_refused_before_the_other_proxy_hears_of_it(site: Site) -> None:
    played = upstream(site).client(CONNECT.replace(b"www.ok", b"chat.banned"))
    assert (played.connected, played.to_server) == ([], b"")
    assert played.to_client.startswith(b"HTTP/1.1 403 ")
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.dest_port, entry.block.dest_ip) == ("http", 443, None)


def test_upstream_a_refused_connect_leaves_the_connection_in_use(site: Site) -> None:
    denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    played = upstream(site).client(CONNECT).server(denied).client(CONNECT)
    assert played.to_server == CONNECT * 2
    assert played.to_client == denied


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"CONNECT www.ok.test:8443 HTTP/1.1", ("www.ok.test", 8443)),
        (b"CONNECT [2001:db8::1]:443 HTTP/1.1", ("2001:db8::1", 443)),
        (b"CONNECT www.ok.test HTTP/1.1", ("www.ok.test", 443)),
        (b"GET http://www.ok.test/a HTTP/1.1", ("www.ok.test", 80)),
        (b"GET HTTP://user:pw@www.ok.test:81?q HTTP/1.1", ("www.ok.test", 81)),
        (b"GET / HTTP/1.1", None),
        (b"GET https://www.ok.test/ HTTP/1.1", None),
        (b"CONNECT www.ok.test:0 HTTP/1.1", None),
        (b"CONNECT www.ok.test:99999 HTTP/1.1", None),
        (b"CONNECT \xff:443 HTTP/1.1", None),
    ],
)
def test_rfc_9112_3_2_what_a_request_to_a_proxy_names(start: bytes, found: tuple[str, int] | None) -> None:
    assert target(read_head(start + b"\r\n\r\n")) == found
