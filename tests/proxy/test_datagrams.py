import pytest

from enforcer.policy.rules import Transport
from enforcer.proxy.datagrams import DatagramGate
from tests.proxy.playbook import BANNED_SERVER, SERVER, Play, Site, context, flow
from tests.wire.hellos import message, sni
from tests.wire.initials import crypto, of_aioquic, seal

SHORT = b"\x40" + bytes(30)


def play(site: Site, to: str = SERVER) -> Play:
    made = flow(to=to, transport=Transport.UDP)
    surroundings = context(made)
    return Play(DatagramGate(surroundings, site.door, made), surroundings)


def test_a_banned_name_is_swallowed_and_recorded_once_however_often_it_is_sent(site: Site) -> None:
    played = play(site).client(*of_aioquic("chat.banned.test") * 3)
    assert (played.connected, played.to_client, played.to_server) == ([], b"", b"")
    [(entry, count)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.response, count) == (
        "quic",
        "chat.banned.test",
        "reject",
        1,
    )
    assert entry.block.alpn == ("h3",)


def test_a_name_over_two_datagrams_is_waited_for(site: Site) -> None:
    hello = message(sni(b"chat.banned.test"))
    first, second = seal(crypto(hello[:40])), seal(crypto(hello[40:], 40), number=3)
    played = play(site).client(first)
    assert (played.connected, site.recorded) == ([], [])
    played.client(second)
    assert len(site.recorded) == 1


def test_an_allowed_name_is_carried_datagram_by_datagram(site: Site) -> None:
    sent = of_aioquic("www.ok.test")
    played = play(site).client(*sent, SHORT).server(b"theirs", b"more")
    assert played.connected == [(SERVER, 443)]
    assert played.to_server == b"".join(sent) + SHORT
    assert played.to_client == b"theirsmore"
    assert site.recorded == []
    assert site.counted("quic", "allowed") == 1


def test_other_protocols_pass_until_they_become_quic(site: Site) -> None:
    played = play(site).client(b"stun", b"more")
    assert played.to_server == b"stunmore"
    played.client(*of_aioquic("chat.banned.test"))
    assert played.to_server == b"stunmore"
    assert len(site.recorded) == 1
    played.client(b"again")
    assert played.to_server == b"stunmore"


def test_a_banned_address_is_silent_whatever_is_sent(site: Site) -> None:
    played = play(site, BANNED_SERVER).client(b"stun")
    assert (played.connected, len(site.recorded)) == ([], 1)


def test_a_server_that_cannot_be_reached_ends_it(site: Site) -> None:
    made = flow(transport=Transport.UDP)
    surroundings = context(made)
    assert Play(DatagramGate(surroundings, site.door, made), surroundings, lambda _: "refused").client(b"stun").closed


def test_an_exception_ends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.door, "first", lambda *_: 1 / 0)
    played = play(site).client(b"stun")
    assert (played.closed, played.connected) == (True, [])
