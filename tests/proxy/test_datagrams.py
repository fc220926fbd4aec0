import pytest

from enforcer.policy.rules import Transport
from enforcer.proxy.datagrams import DatagramGate
from tests.proxy.playbook import BANNED_SERVER, SERVER, Play, Site, context, flow
from tests.wire.hellos import message, sni
from tests.wire.initials import TO, crypto, of_aioquic, seal

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
    assert played.client(b"again").to_server == b"stunmoreagain"


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


def test_each_connection_from_one_port_is_judged(site: Site) -> None:
    first = of_aioquic("www.ok.test")
    played = play(site).client(*first, SHORT)
    second = of_aioquic("other.ok.test")
    played.client(*second, SHORT)
    assert played.to_server == b"".join((*first, SHORT, *second, SHORT))
    assert (site.recorded, site.counted("quic", "allowed")) == ([], 1)
    banned = of_aioquic("chat.banned.test")
    played.client(*banned, *banned, SHORT).server(b"late")
    assert played.to_server == b"".join((*first, SHORT, *second, SHORT, SHORT))
    assert played.to_client == b"late"
    [(entry, count)] = site.recorded
    assert (entry.block.name, count) == ("chat.banned.test", 1)


def test_what_a_client_repeats_and_acknowledges_is_carried_at_once(site: Site) -> None:
    hello = message(sni(b"www.ok.test"))
    halves = seal(crypto(hello[:40])), seal(crypto(hello[40:], 40), number=3)
    acknowledged = seal(b"\x02\0\0\0\0", to=b"theirs", number=4, keys_of=TO)
    handshake = b"\xe3\0\0\0\1\x06theirs\0\x40\x20" + bytes(32)
    sent = (*halves, halves[1], handshake, acknowledged)
    assert play(site).client(*sent).to_server == b"".join(sent)


def test_a_connection_that_takes_two_datagrams_waits_while_the_other_goes_on(site: Site) -> None:
    hello = message(sni(b"chat.banned.test"))
    halves = [seal(crypto(hello[a:b], a), to=b"another1", number=a) for a, b in ((0, 40), (40, len(hello)))]
    allowed = of_aioquic("www.ok.test")
    played = play(site).client(*allowed, halves[0], SHORT)
    assert played.to_server == b"".join(allowed) + SHORT
    played.client(halves[1])
    assert len(site.recorded) == 1


@pytest.mark.parametrize("version", [1, 0x5130_3530])
def test_another_name_under_the_same_id_and_another_version_are_judged_as_well(site: Site, version: int) -> None:
    played = play(site).client(seal(crypto(message(sni(b"www.ok.test")))))
    before = played.to_server
    other = seal(crypto(message(sni(b"chat.banned.test"))))
    played.client(other[:1] + version.to_bytes(4) + other[5:], SHORT)
    assert played.to_server == before + SHORT
    assert len(site.recorded) == (version == 1)
