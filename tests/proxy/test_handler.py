import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.tls import TlsClienthelloHook
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import (
    ServerConnectedHook,
    ServerConnectHook,
    ServerConnectionHookData,
)
from mitmproxy.tls import ClientHelloData

from enforcer.proxy.handler import Handler, Settled, Top
from enforcer.proxy.layers import Over, Shut


class Asked:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def client_connected(self, client: Client) -> None:
        self.heard.append("client_connected")

    def client_disconnected(self, client: Client) -> None:
        self.heard.append("client_disconnected")

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        self.heard.append("server_connect")

    def tls_clienthello(self, data: object) -> None:
        self.heard.append("tls_clienthello")


def handled(scene: Callable[[Handler, Asked], Coroutine[None, None, None]], top: Top = Over) -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            streams = await asyncio.open_connection(sock=ours)
            asked, master = Asked(), Master(Options())
            master.addons.add(asked)
            mode = ProxyMode.parse("regular@5080")
            handler = Handler(asked, top, streams, master=master, options=Settled(master.options), mode=mode)
            await scene(handler, asked)
            streams[1].close()
            await asyncio.sleep(0)

    asyncio.run(play())


def test_our_addon_is_asked_once_and_nobody_about_the_rest() -> None:
    async def scene(handler: Handler, asked: Asked) -> None:
        data = ServerConnectionHookData(Server(address=("192.0.2.1", 1)), handler.client)
        for hook in (
            ServerConnectHook(data),
            ServerConnectedHook(data),
            TlsClienthelloHook(ClientHelloData(handler.context, None)),  # type: ignore[arg-type]
        ):
            await handler.handle_hook(hook)
        assert asked.heard == ["server_connect", "tls_clienthello"]

    handled(scene)


def test_a_connection_ends_when_its_client_or_its_layer_ends_it() -> None:
    async def scene(handler: Handler, asked: Asked) -> None:
        started = asyncio.create_task(handler.handle_client())
        await asyncio.sleep(0)
        assert asked.heard == ["client_connected"]
        handler.close_connection(handler.client)
        await started
        assert asked.heard == ["client_connected", "client_disconnected"]
        assert not handler.transports

    handled(scene)


def test_who_may_not_come_in_has_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(client: Client) -> None:
        client.error = "closed"

    async def scene(handler: Handler, asked: Asked) -> None:
        asked.client_connected = refuse  # type: ignore[method-assign]
        await handler.handle_client()
        assert not handler.transports
        assert asked.heard == ["client_disconnected"]

    handled(scene, top=lambda _: pytest.fail("a layer was made"))


@pytest.mark.parametrize("broken", ["top", "connection"])
def test_whatever_fails_the_connection_ends_and_is_known_to_have_ended(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> layer.Layer:
        raise KeyError("10.20.0.7")

    async def scene(handler: Handler, asked: Asked) -> None:
        if broken == "connection":
            monkeypatch.setattr(handler, "handle_connection", fails)
        await asyncio.wait([asyncio.create_task(handler.handle_client())])
        assert isinstance(handler.layer, Shut if broken == "top" else Over)
        assert asked.heard == ["client_connected", "client_disconnected"]

    handled(scene, top=fails if broken == "top" else Over)
    assert "KeyError" in caplog.text
    assert "10.20.0.7" not in "".join(record.getMessage() for record in caplog.records)


def test_who_is_silent_for_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(handler: Handler, asked: Asked) -> None:
        closed: list[object] = []
        handler.close_connection = lambda connection, half_close=False: closed.append(connection)  # type: ignore[method-assign]
        handler.end_if_idle(3600)
        assert closed == []
        handler.timeout_watchdog.last_activity -= 3601
        handler.end_if_idle(3600)
        assert closed == [handler.client]
        handler.timeout_watchdog.register_activity()
        handler.end_if_idle(3600)
        assert len(closed) == 1
        await handler.timeout_watchdog.watch()
        with handler.timeout_watchdog.disarm():
            pass

    handled(scene)


def test_it_logs_errors_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(handler: Handler, asked: Asked) -> None:
        handler.log("client connect")
        handler.log("mitmproxy has crashed!", logging.ERROR)

    with caplog.at_level(logging.DEBUG, logger="mitmproxy"):
        handled(scene)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("server")] == [
        "mitmproxy has crashed!"
    ]


def test_settled_options_are_those_of_the_start() -> None:
    options = Options()
    settled = Settled(options)
    options.update(tcp_timeout=7)
    assert settled.tcp_timeout == 600
    with pytest.raises(AttributeError):
        settled.no_such_option  # noqa: B018 (reading it is the test)
