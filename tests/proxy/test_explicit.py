from ipaddress import ip_address

import pytest
from mitmproxy.connection import Server

from enforcer.proxy.door import ALERT
from enforcer.proxy.explicit import BAD_GATEWAY, ESTABLISHED, ExplicitProxy, origin_form
from enforcer.proxy.gate import Gate
from enforcer.proxy.relay import BAD_REQUEST
from tests.proxy.playbook import BANNED_SERVER, MMTLS, Play, Site, context, flow, hello

CONNECT = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def play(site: Site, reachable: dict[str, str] | None = None) -> Play:
    """A client of mode regular. reachable: what is wrong with a host."""
    made = flow(to=None, port=0)
    surroundings = context(made, "regular@5080")

    def reach(server: Server) -> str | None:
        assert server.address is not None
        return (reachable or {}).get(server.address[0])

    return Play(ExplicitProxy(surroundings, site.door, made, Gate), surroundings, reach)


def connect(target: bytes) -> bytes:
    return CONNECT % (target, target)


def get(url: bytes, host: bytes = b"www.ok.test") -> bytes:
    return b"GET " + url + b" HTTP/1.1\r\nHost: " + host + b"\r\nProxy-Connection: keep-alive\r\n\r\n"


def test_a_tunnel_to_an_allowed_name_carries_what_it_is_given(site: Site) -> None:
    played = play(site).client(connect(b"www.ok.test:443"))
    assert played.to_client == ESTABLISHED
    assert played.connected == [("www.ok.test", 443)]
    played.client(hello("www.ok.test")).server(b"theirs")
    assert played.to_server[:3] == b"\x16\x03\x01"
    assert played.to_client == ESTABLISHED + b"theirs"
    assert site.recorded == []


def test_a_tunnel_to_a_banned_name_gets_the_page_and_is_not_connected(site: Site) -> None:
    played = play(site).client(connect(b"chat.banned.test:443"))
    assert played.to_client.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert played.connected == []
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.dest_port) == ("http", "chat.banned.test", 443)


@pytest.mark.parametrize("target", [b"203.0.113.66:443", b"[::ffff:203.0.113.66]:443"])
def test_a_tunnel_to_a_banned_address_is_refused(site: Site, target: bytes) -> None:
    played = play(site).client(connect(target))
    assert played.to_client.startswith(b"HTTP/1.1 403 ")
    assert played.connected == []
    assert len(site.recorded) == 1


@pytest.mark.parametrize("first", [hello("chat.banned.test"), MMTLS])
def test_what_is_said_in_a_tunnel_is_judged_as_well(site: Site, first: bytes) -> None:
    played = play(site).client(connect(b"192.0.2.10:443"), first)
    assert played.to_client in (ESTABLISHED + ALERT, ESTABLISHED)
    assert played.to_server == b""
    assert played.closed
    assert len(site.recorded) == 1


def test_a_hello_that_comes_with_the_connect_is_not_lost(site: Site) -> None:
    first = hello("www.ok.test")
    assert play(site).client(connect(b"www.ok.test:443") + first).to_server == first


def test_a_tunnel_that_cannot_be_made_is_a_bad_gateway(site: Site) -> None:
    played = play(site, {"www.ok.test": "no such name"}).client(connect(b"www.ok.test:443"))
    assert played.to_client == BAD_GATEWAY


def test_a_name_that_leads_to_a_banned_address_gets_the_page(site: Site) -> None:
    made = flow(to=None, port=0)
    surroundings = context(made, "regular@5080")

    def reach(server: Server) -> str:
        site.door.resolved(made, ip_address(BANNED_SERVER), 443)
        return "refused"

    played = Play(ExplicitProxy(surroundings, site.door, made, Gate), surroundings, reach)
    assert played.client(connect(b"www.ok.test:443")).to_client.startswith(b"HTTP/1.1 403 ")
    [(entry, _)] = site.recorded
    assert (entry.block.dest_ip, entry.block.rule_kind) == (BANNED_SERVER, "cidr")


def test_plain_requests_reach_the_server_in_origin_form(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/a?b"))
    assert played.connected == [("www.ok.test", 80)]
    assert played.to_server == b"GET /a?b HTTP/1.1\r\nHost: www.ok.test\r\n\r\n"
    assert played.server(OK).to_client == OK


def test_requests_go_one_at_a_time_each_to_its_host(site: Site) -> None:
    first, second = get(b"http://www.ok.test/1"), get(b"http://other.ok.test/2", b"other.ok.test")
    played = play(site).client(first + get(b"http://www.ok.test/3") + second)
    assert played.to_server.count(b"GET ") == 1
    played.server(OK)
    assert played.to_server.count(b"GET ") == 2
    assert played.connected == [("www.ok.test", 80)]
    played.server(OK)
    assert played.connected == [("www.ok.test", 80), ("other.ok.test", 80)]
    assert played.server(OK).to_client == OK * 3


def test_a_later_request_for_a_banned_host_gets_the_page(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/")).server(OK).client(get(b"http://chat.banned.test/", b"x"))
    assert played.to_client.startswith(OK + b"HTTP/1.1 403 ")
    assert played.connected == [("www.ok.test", 80)]
    assert len(site.recorded) == 1


def test_a_banned_host_field_behind_an_allowed_target_is_refused(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/", b"chat.banned.test"))
    assert (played.connected, len(site.recorded)) == ([], 1)


def test_a_server_that_has_closed_is_connected_anew(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/")).server(OK)
    played.ends(played.context.server).client(get(b"http://www.ok.test/"))
    assert played.connected == [("www.ok.test", 80)] * 2
    assert not played.closed


def test_a_response_without_a_length_ends_with_the_connection(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/")).server(b"HTTP/1.0 200 OK\r\n\r\nabc")
    played.ends(played.context.server)
    assert played.to_client.endswith(b"abc")
    assert played.closed


def test_a_client_that_is_done_gets_its_response(site: Site) -> None:
    played = play(site).client(get(b"http://www.ok.test/"))
    played.ends(played.context.client)
    assert not played.closed
    played.server(OK)
    assert played.to_client == OK
    assert played.closed


@pytest.mark.parametrize(
    "request_", [get(b"/"), get(b"https://www.ok.test/"), b"nonsense\r\n\r\n", b"CONNECT x HTTP/1.1\r\nbad\r\n\r\n"]
)
def test_what_is_no_request_to_a_proxy(site: Site, request_: bytes) -> None:
    played = play(site).client(request_)
    assert played.to_client == BAD_REQUEST or (played.closed and not played.to_client)
    assert played.connected == []


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (b"GET http://a.test HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"),
        (b"GET http://a.test/b/c HTTP/1.1\r\n\r\n", b"GET /b/c HTTP/1.1\r\n\r\n"),
        (b"GET http://a.test?q=/ HTTP/1.1\r\n\r\n", b"GET /?q=/ HTTP/1.1\r\n\r\n"),
        (b"\r\nGET http://a.test/ HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"),
        (
            b"GET http://a.test/ HTTP/1.1\r\nproxy-authorization: Basic x\r\nA: proxy-b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: proxy-b\r\n\r\n",
        ),
    ],
)
def test_rfc_9112_3_2_1_origin_form(head: bytes, sent: bytes) -> None:
    assert origin_form(head) == sent
