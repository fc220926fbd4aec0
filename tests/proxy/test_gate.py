import pytest
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.tcp import TCPLayer

from enforcer.attempts.block import Recorded, Response
from enforcer.decide.flow import SEGMENTS_MAX
from enforcer.proxy.door import ALERT
from enforcer.proxy.gate import Gate
from tests.proxy.playbook import (
    BANNED_SERVER,
    MMTLS,
    SERVER,
    STRANGER,
    WATCHED,
    Play,
    Site,
    context,
    flow,
    hello,
    rules,
    splits,
)

GET = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n"


def play(site: Site, **of: object) -> Play:
    made = flow(**of)  # type: ignore[arg-type]
    surroundings = context(made)
    started = Play(Gate(surroundings, site.door, made), surroundings)
    made.reset = lambda: started.resets.append(1)
    return started


@pytest.mark.parametrize("pieces", splits(hello("chat.banned.test")), ids=len)
def test_a_banned_name_gets_the_alert_and_no_connection(site: Site, pieces: list[bytes]) -> None:
    played = play(site).client(*pieces)
    assert played.to_client == ALERT
    assert played.closed
    assert played.connected == []
    [(entry, count)] = site.recorded
    block = entry.block
    assert (count, block.layer, block.action, block.response) == (1, "tls", Recorded.BLOCKED, Response.ALERT)
    assert (block.name, block.dest_ip, block.dest_port, block.realm) == ("chat.banned.test", SERVER, 443, "office")
    assert (block.alpn, block.ech, block.transport) == (("h2", "http/1.1"), False, "tcp")
    assert (entry.client_ip, entry.client_port) == ("10.20.0.7", 50_000)
    assert site.counted("tls", "blocked") == 1


@pytest.mark.parametrize("pieces", splits(hello("www.ok.test")), ids=len)
def test_an_allowed_name_is_carried_as_it_came_and_written_nowhere(site: Site, pieces: list[bytes]) -> None:
    played = play(site).client(*pieces)
    assert played.connected == [(SERVER, 443)]
    assert played.to_server == b"".join(pieces)
    played.server(b"their hello").client(b"more")
    assert played.to_client == b"their hello"
    assert played.to_server.endswith(b"more")
    assert site.recorded == []
    assert site.counted("tls", "allowed") == 1
    assert b"ok.test" not in (site.folder / "counters").read_bytes()


def test_nothing_is_connected_before_the_name_is_known(site: Site) -> None:
    whole = hello("www.ok.test")
    played = play(site).client(whole[:-1])
    assert played.connected == []
    played.client(whole[-1:])
    assert played.connected == [(SERVER, 443)]


@pytest.mark.parametrize("port", [80, 443, 8080])
@pytest.mark.parametrize("pieces", splits(MMTLS), ids=len)
def test_mmtls_is_reset_on_every_port(site: Site, port: int, pieces: list[bytes]) -> None:
    played = play(site, port=port).client(*pieces)
    assert (played.to_client, played.closed, played.connected) == (b"", True, [])
    assert played.resets
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.response, entry.block.dest_port) == ("mmtls", Response.RESET, port)


def test_a_banned_host_of_plain_http_gets_the_page(site: Site) -> None:
    played = play(site, port=80).client(GET % b"chat.banned.test")
    assert played.to_client.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Cache-Control: no-store\r\n" in played.to_client
    assert b"chat.banned.test" in played.to_client
    assert played.connected == []
    played.ends(played.context.client)
    assert played.closed
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.response, entry.block.alpn) == ("http", Response.PAGE, None)


@pytest.mark.parametrize(
    ("asked", "first"), [(b"fr-CA,fr;q=0.9,en;q=0.5", b"fr"), (b"en, fr;q=0.5", b"en"), (b"de", b"en")]
)
def test_the_page_is_in_the_language_that_is_asked_for_first(site: Site, asked: bytes, first: bytes) -> None:
    head = (GET % b"chat.banned.test")[:-2] + b"Accept-Language: " + asked + b"\r\n\r\n"
    assert b'<html lang="%b">' % first in play(site, port=80).client(head).to_client


def test_a_banned_path_is_refused_whatever_the_host(site: Site) -> None:
    played = play(site, port=80).client(b"POST /mmtls/1f3c0a22 HTTP/1.1\r\nHost: 192.0.2.1\r\nUpgrade: mmtls\r\n\r\n")
    assert played.to_client.startswith(b"HTTP/1.1 403 ")
    assert played.connected == []


def test_a_large_body_is_swallowed_while_the_page_is_read(site: Site) -> None:
    head = b"POST / HTTP/1.1\r\nHost: chat.banned.test\r\nContent-Length: 900000\r\n\r\n"
    played = play(site, port=80).client(head, *[b"x" * 60_000] * 15)
    assert played.to_client.startswith(b"HTTP/1.1 403 ")
    assert not played.closed
    assert played.to_server == b""
    played.wake()
    assert played.closed


def test_who_never_stops_sending_is_closed(site: Site) -> None:
    head = b"POST / HTTP/1.1\r\nHost: chat.banned.test\r\nContent-Length: 90000000\r\n\r\n"
    assert play(site, port=80).client(head, *[b"x" * 60_000] * 20).closed


def test_a_banned_address_is_refused_with_what_the_client_understands(site: Site) -> None:
    assert play(site, to=BANNED_SERVER).client(hello("www.ok.test")).to_client == ALERT
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.via) == ("tls", "www.ok.test", BANNED_SERVER)
    played = play(site, to=BANNED_SERVER).client(b"\x05\x01\x00")
    assert (played.to_client, played.closed, played.connected) == (b"", True, [])
    assert [entry.block.layer for entry, _ in site.recorded] == ["tls", "ip"]


def test_a_silent_client_of_a_banned_address_is_reset(site: Site) -> None:
    played = play(site, to=BANNED_SERVER, port=25).wake()
    assert (played.closed, played.connected) == (True, [])
    assert [(entry.block.layer, count) for entry, count in site.recorded] == [("ip", 1)]


def test_a_server_may_speak_first_and_what_the_client_says_then_is_judged(site: Site) -> None:
    played = play(site, port=25).wake()
    assert played.connected == [(SERVER, 25)]
    assert played.server(b"220 mail.test\r\n").to_client == b"220 mail.test\r\n"
    played.client(b"EHLO phone\r\n")
    assert played.to_server == b"EHLO phone\r\n"
    waiting = play(site).wake().client(hello("chat.banned.test"))
    assert waiting.to_client == ALERT
    assert waiting.to_server == b""
    assert waiting.closed


def test_a_server_that_cannot_be_reached_closes_the_client(site: Site) -> None:
    made = flow(port=25)
    surroundings = context(made)
    played = Play(Gate(surroundings, site.door, made), surroundings, reachable=lambda _: "no route")
    assert played.wake().closed


def test_who_begins_and_does_not_go_on_is_closed(site: Site) -> None:
    played = play(site).client(b"\x16\x03").wake()
    assert not played.closed
    assert played.wake().closed
    assert played.connected == []


def test_text_without_an_end_of_line_goes_on_and_is_judged_on(site: Site) -> None:
    played = play(site, port=4000).client(b"hold").wake()
    assert (played.connected, played.to_server) == ([(SERVER, 4000)], b"hold")
    played.client(b"-on").server(b"ok").client(b" this\n", b"more")
    assert (played.to_server, played.to_client) == (b"hold-on this\nmore", b"ok")
    late = play(site, port=80).client(b"GE").wake().client(b"T / HTTP/1.1\r\nHost: chat.banned.test\r\n\r\n")
    assert late.to_server == b"GE"
    assert late.to_client.startswith(b"HTTP/1.1 403 ")
    fine = play(site, port=80).client(b"GE").wake().client(b"T / HTTP/1.1\r\n", b"Host: www.ok.test\r\n\r\n")
    assert fine.to_server == b"GET / HTTP/1.1\r\nHost: www.ok.test\r\n\r\n"
    assert fine.client(b"GET / HTTP/1.1\r\nHost: chat.banned.test\r\n\r\n").to_server == fine.to_server


def test_segments_without_end_are_closed(site: Site) -> None:
    played = play(site, port=80).client(*[b"A"] * 10, b" ", *[b"x"] * SEGMENTS_MAX)
    assert played.closed
    assert played.connected == []


def test_unknown_protocols_pass_or_are_reset_as_configured(site: Site) -> None:
    played = play(site, port=4000).client(b"\x00\x01\x02\x03")
    assert played.connected == [(SERVER, 4000)]
    site.door.judge_by(site.door.policy, rules(unknown=False))
    played = play(site, port=4000).client(b"\x00\x01\x02\x03")
    assert (played.connected, played.closed) == ([], True)
    assert play(site, port=4000).wake().connected == []
    assert site.recorded == []
    assert site.counted("other", "allowed") == 1
    assert site.counted("other", "failed") == 2


def test_what_looks_like_tls_and_is_none_is_refused(site: Site) -> None:
    played = play(site).client(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")
    assert (played.to_client, played.closed, played.connected) == (ALERT, True, [])
    assert site.recorded == []


def test_a_watched_realm_is_recorded_and_carried(site: Site) -> None:
    played = play(site, source=WATCHED).client(hello("chat.banned.test"))
    assert played.connected == [(SERVER, 443)]
    [(entry, _)] = site.recorded
    assert (entry.block.action, entry.block.response, entry.block.realm) == (Recorded.OBSERVED, None, "watched")
    assert site.counted("tls", "observed") == 1


def test_clients_outside_of_the_realms_are_refused_or_passed_and_never_recorded(site: Site) -> None:
    assert play(site, source=STRANGER).client(hello("chat.banned.test")).to_client == ALERT
    site.door.judge_by(site.door.policy, rules(outside=True))
    assert play(site, source=STRANGER).client(hello("chat.banned.test")).connected == [(SERVER, 443)]
    assert site.recorded == []


def test_what_passes_is_carried_by_a_layer_that_keeps_nothing(site: Site) -> None:
    played = play(site).client(hello("www.ok.test"))
    carrier = played.layer.handle_event.__self__  # type: ignore[attr-defined]
    assert isinstance(carrier, TCPLayer)
    assert carrier.flow is None


def test_an_exception_closes_and_passes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("www.ok.test")

    monkeypatch.setattr(site.door, "first", broken)
    played = play(site).client(hello("www.ok.test"))
    assert (played.closed, played.connected, played.to_client) == (True, [], b"")
    assert site.counted("other", "failed") == 1


def test_a_client_that_leaves_before_it_has_shown_anything(site: Site) -> None:
    played = play(site).client(b"\x16")
    played.ends(played.context.client)
    assert played.closed
    assert not [command for command in played.given if isinstance(command, commands.OpenConnection)]
