import asyncio
import logging
import socket
from ipaddress import IPv4Address
from types import SimpleNamespace

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.dns import DNSFlow, DNSMessage, ResourceRecord
from mitmproxy.exceptions import AddonHalt
from mitmproxy.net.dns import response_codes
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.dns import DNSLayer
from mitmproxy.proxy.layers.quic import QuicTlsData
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

from enforcer.decide.dns import Manners
from enforcer.policy.names import parse
from enforcer.policy.rules import Transport
from enforcer.proxy.addon import CLOSED, Enforcer
from enforcer.proxy.datagrams import DatagramGate
from enforcer.proxy.door import ALERT
from enforcer.proxy.explicit import ExplicitProxy
from enforcer.proxy.gate import Gate
from enforcer.proxy.layers import Page, Shut
from enforcer.proxy.relay import HttpRelay
from enforcer.proxy.secured import Secured
from tests.proxy.playbook import BANNED_SERVER, PHONE, SERVER, Play, Site, context, flow, hello, policy, rules


def question(name: str) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"


def addon(site: Site) -> Enforcer:
    return Enforcer(site.door, dict)


def connected(
    site: Site, mode: str = "transparent@5081", to: str | None = SERVER, **of: object
) -> tuple[Enforcer, Context]:
    """An addon that has taken in a client."""
    made, surroundings = addon(site), context(flow(to=to, **of), mode)  # type: ignore[arg-type]
    made.client_connected(surroundings.client)
    assert surroundings.client.error is None
    return made, surroundings


def asked(made: Enforcer, surroundings: Context, top: type[layer.Layer] = modes.TransparentProxy) -> layer.Layer | None:
    """What it gives a connection of a mode."""
    top(surroundings)
    nextlayer = layer.NextLayer(surroundings)
    made.next_layer(nextlayer)
    return nextlayer.layer


def server_connect(made: Enforcer, surroundings: Context, host: str, port: int = 443) -> Server:
    server = Server(address=(host, port))
    asyncio.run(made.server_connect(ServerConnectionHookData(server, surroundings.client)))
    return server


def test_each_mode_has_its_layer(site: Site) -> None:
    assert isinstance(asked(*connected(site)), Gate)
    assert isinstance(asked(*connected(site, to=None), modes.HttpProxy), ExplicitProxy)
    upstream = connected(site, "upstream:http://192.0.2.8:3128@5080", None)
    assert isinstance(asked(*upstream, modes.HttpUpstreamProxy), HttpRelay)
    assert upstream[1].server.address == ("192.0.2.8", 3128)
    assert isinstance(asked(*connected(site, "wireguard@51820", transport=Transport.UDP)), DatagramGate)
    secured = connected(site, "upstream:https://proxy.test:3128@5080", None)
    assert isinstance(asked(*secured, modes.HttpUpstreamProxy), Secured)
    assert secured[1].server.address == ("proxy.test", 3128)
    assert isinstance(asked(*connected(site, "reverse:https://192.0.2.8@5080", None), modes.HttpUpstreamProxy), Shut)


def test_a_name_that_is_asked_for_before_anything_is_said_is_judged_with_what_is_said(site: Site) -> None:
    made, surroundings = connected(site, "socks5@1080", None)
    surroundings.server.address = ("Chat.Banned.test.", 443)
    given = asked(made, surroundings, modes.Socks5Proxy)
    assert given is not None
    played = Play(given, surroundings).client(hello("www.ok.test"))
    assert (played.to_client, played.connected) == (ALERT, [])
    silent = connected(site, "socks5@1080", None)
    silent[1].server.address = ("chat.banned.test", 22)
    waiting = asked(*silent, modes.Socks5Proxy)
    assert waiting is not None
    assert Play(waiting, silent[1]).wake().closed
    [(tls, _), (ip, _)] = site.recorded
    assert (tls.block.layer, tls.block.name, tls.block.dest_port) == ("tls", "chat.banned.test", 443)
    assert (ip.block.layer, ip.block.name, ip.block.dest_port) == ("ip", "chat.banned.test", 22)


def test_a_resolver_that_is_asked_for_by_a_banned_name_is_not_asked(site: Site) -> None:
    for name, kind in (("chat.banned.test", Shut), ("resolver.ok.test", DNSLayer)):
        made, surroundings = connected(site, "socks5@1080", None)
        surroundings.server.address = (name, 53)
        assert isinstance(asked(made, surroundings, modes.Socks5Proxy), kind)
    assert len(site.recorded) == 1


def test_a_connection_that_nobody_knows_is_shut(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    made, surroundings = addon(site), context(flow())
    given = asked(made, surroundings)
    assert isinstance(given, Shut)
    played = Play(given, surroundings)
    assert not played.closed
    assert played.client(hello("www.ok.test")).closed
    assert played.connected == []
    assert "event=failed error=KeyError at=addon.py:" in caplog.text


def test_too_many_connections_of_one_client_or_of_all_are_closed(site: Site) -> None:
    site.door.judge_by(site.door.policy, rules(per_client=1, clients_max=2))
    made = addon(site)
    first, second = context(flow()).client, context(flow()).client
    made.client_connected(first)
    made.client_connected(second)
    assert (first.error, second.error) == (None, CLOSED)
    made.client_connected(context(flow("10.20.0.8")).client)
    other = context(flow("10.20.0.9")).client
    made.client_connected(other)
    assert other.error == CLOSED
    made.client_disconnected(first)
    made.client_disconnected(second)  # which never was inside
    again = context(flow()).client
    made.client_connected(again)
    assert again.error is None


def test_an_address_behind_a_name_is_judged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = [BANNED_SERVER, SERVER]

    async def resolve(self: object, host: str, port: int, **_: object) -> list[object]:
        assert host == "www.ok.test"
        return [(0, 0, 0, "", (each, port)) for each in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    made, surroundings = connected(site, "regular@5080", None)
    server = server_connect(made, surroundings, "www.ok.test")
    assert (server.address, server.error) == ((SERVER, 443), None)
    assert len(site.recorded) == 1
    found.pop()
    assert server_connect(made, surroundings, "www.ok.test").error == CLOSED
    found.clear()
    assert server_connect(made, surroundings, "www.ok.test").error == CLOSED


def test_an_explicit_proxy_is_no_way_into_this_machine(site: Site) -> None:
    made, surroundings = connected(site, "regular@5080", None)
    for host in ("127.0.0.1", "::1", "0.0.0.0", "169.254.1.1", "::ffff:127.0.0.1"):
        assert server_connect(made, surroundings, host).error == CLOSED
    assert server_connect(made, surroundings, SERVER).error is None


def test_a_destination_that_was_judged_is_not_judged_twice(site: Site) -> None:
    made, surroundings = connected(site, to=BANNED_SERVER)
    asked(made, surroundings)
    assert server_connect(made, surroundings, BANNED_SERVER).error is None
    assert site.recorded == []


def test_the_operators_own_proxy_is_no_destination(site: Site) -> None:
    made, surroundings = connected(site, f"upstream:http://{BANNED_SERVER}:3128@5080", None)
    assert server_connect(made, surroundings, BANNED_SERVER).error is None


def test_what_another_addon_has_refused_stays_refused(site: Site) -> None:
    made, surroundings = connected(site)
    server = Server(address=(SERVER, 443))
    server.error = "no"
    asyncio.run(made.server_connect(ServerConnectionHookData(server, surroundings.client)))
    assert server.error == "no"


def test_tls_is_never_ended_here_but_for_the_page_of_a_banned_name(site: Site) -> None:
    made, surroundings = connected(site)
    start = TlsData(surroundings.client, surroundings)
    quic = QuicTlsData(surroundings.client, surroundings)
    for hook, data in (
        (made.tls_start_client, start),
        (made.tls_start_server, start),
        (made.quic_start_client, quic),
        (made.quic_start_server, quic),
    ):
        with pytest.raises(AddonHalt):
            hook(data)  # type: ignore[arg-type]
    Page(surroundings, lambda _: b"page")
    made.tls_start_client(start)


def test_questions_of_dns_are_judged_wherever_they_come_through(site: Site) -> None:
    manners = Manners(60, 15, "Blocked", parse("policy.invalid"), parse("hostmaster.invalid"))
    site.door.judge_by(site.door.policy, rules(manners=manners))
    made, surroundings = connected(site, "dns@5353", None, transport=Transport.UDP)

    def ask(name: str) -> DNSFlow:
        flow = DNSFlow(surroundings.client, surroundings.server, live=True)
        flow.request = DNSMessage.unpack(question(name))
        made.dns_request(flow)
        return flow

    banned = ask("chat.banned.test")
    assert banned.response is not None
    assert banned.response.response_code == response_codes.NXDOMAIN
    made.dns_response(banned)
    assert banned.response.response_code == response_codes.NXDOMAIN
    allowed = ask("www.ok.test")
    assert allowed.response is None
    for address, kept in ((SERVER, 1), (BANNED_SERVER, 0)):
        record = ResourceRecord.A("www.ok.test", IPv4Address(address))
        allowed.response = allowed.request.succeed([record])
        made.dns_response(allowed)
        assert len(allowed.response.answers) == kept
    assert [count for _, count in site.recorded] == [1, 1]
    made._flows.clear()
    lost = ask("www.ok.test")
    assert lost.response is not None
    assert lost.response.response_code == response_codes.SERVFAIL
    allowed.response = allowed.request.succeed([ResourceRecord.A("www.ok.test", IPv4Address(SERVER))])
    made.dns_response(allowed)
    assert (allowed.response.response_code, allowed.response.answers) == (response_codes.SERVFAIL, [])


def test_dns_to_anybody_has_mitmproxys_layer_for_it(site: Site) -> None:
    assert isinstance(asked(*connected(site, "tun:enf0", port=53, transport=Transport.UDP)), DNSLayer)
    made, surroundings = connected(site, "tun:enf0", BANNED_SERVER, port=53)
    asked(made, surroundings)
    assert server_connect(made, surroundings, BANNED_SERVER, 53).error == CLOSED


@pytest.mark.parametrize("broken", ["client_connected", "client_disconnected", "next_layer", "server_connect"])
def test_an_exception_in_a_hook_closes_and_says_nothing_of_the_connection(
    site: Site, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, surroundings = connected(site, to="192.0.2.10")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError(f"{PHONE} www.secret.test")

    for name in ("enter", "leave", "resolved"):
        monkeypatch.setattr(site.door, name, fails)
    monkeypatch.setattr(made, "choose", fails)
    with caplog.at_level(logging.DEBUG):
        match broken:
            case "client_connected":
                client = context(flow()).client
                made.client_connected(client)
                assert client.error == CLOSED
            case "client_disconnected":
                made.client_disconnected(surroundings.client)
            case "next_layer":
                assert isinstance(asked(made, surroundings), Shut)
            case _:
                assert server_connect(made, surroundings, SERVER).error == CLOSED
    assert "hook event=failed error=RuntimeError at=test_addon.py:" in caplog.text
    assert "secret" not in caplog.text
    assert PHONE not in caplog.text


def test_the_layer_of_who_waits_hears_that_time_has_passed(site: Site) -> None:
    heard: list[events.Event] = []

    async def server_event(event: events.Event) -> None:
        heard.append(event)

    async def scene() -> None:
        surroundings = context(flow())
        made = Enforcer(site.door, lambda: {surroundings.client.id: SimpleNamespace(server_event=server_event)})  # type: ignore[dict-item]
        made.client_connected(surroundings.client)
        given = asked(made, surroundings)
        assert given is not None
        played = Play(given, surroundings)
        site.door._steady = lambda: 2.0
        site.door.wake()
        await asyncio.sleep(0)
        played.client(hello("www.ok.test"))
        site.door.wake()
        await asyncio.sleep(0)

    asyncio.run(scene())
    assert [type(each) for each in heard] == [events.Wakeup]


def test_without_a_door_nobody_passes() -> None:
    made, surroundings = Enforcer(None, dict), context(flow())
    made.client_connected(surroundings.client)
    assert surroundings.client.error == CLOSED
    assert isinstance(asked(made, surroundings), Shut)
    assert server_connect(made, surroundings, SERVER).error == CLOSED


def test_a_client_without_an_address_is_closed(site: Site) -> None:
    client = Client(
        peername=("nowhere", 1), sockname=("x", 1), timestamp_start=0, proxy_mode=ProxyMode.parse("regular@5080")
    )
    addon(site).client_connected(client)
    assert client.error == CLOSED


def test_a_flow_that_passed_is_cut_by_a_reset_when_it_may_not_go_on(site: Site) -> None:
    cut: list[Client] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:

        async def scene() -> None:
            _, writer = await asyncio.open_connection(sock=ours)
            surroundings = context(flow())
            handler = SimpleNamespace(
                transports={surroundings.client: SimpleNamespace(writer=writer)}, close_connection=cut.append
            )
            made = Enforcer(site.door, lambda: {surroundings.client.id: handler})  # type: ignore[dict-item]
            made.client_connected(surroundings.client)
            given = asked(made, surroundings)
            assert given is not None
            Play(given, surroundings).client(hello("new.test"))
            assert site.door.again(site.door.inside) == 0
            site.door.judge_by(policy("suffix: new.test"), site.rules)
            assert site.door.again(site.door.inside) == 1
            assert cut == [surroundings.client]
            linger = ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            assert linger == b"\1\0\0\0\0\0\0\0"
            writer.close()

        asyncio.run(scene())
    [(entry, _)] = site.recorded
    assert (entry.block.name, entry.block.response) == ("new.test", "reset")
