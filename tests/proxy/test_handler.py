import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.layers.tls import TlsClienthelloHook
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import (
    ClientConnectedHook,
    ClientDisconnectedHook,
    ServerConnectedHook,
    ServerConnectHook,
    ServerConnectionHookData,
)
from mitmproxy.tls import ClientHelloData

from enforcer.proxy.handler import Handler, Settled


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


def handled(scene: Callable[[Handler, Asked], Coroutine[None, None, None]]) -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            streams = await asyncio.open_connection(sock=ours)
            asked, master = Asked(), Master(Options())
            master.addons.add(asked)
            handler = Handler(asked, streams, master, Settled(master.options), ProxyMode.parse("regular@5080"))
            await scene(handler, asked)
            streams[1].close()
            await asyncio.sleep(0)

    asyncio.run(play())


def test_our_addon_is_asked_once_and_nobody_about_the_rest() -> None:
    async def scene(handler: Handler, asked: Asked) -> None:
        data = ServerConnectionHookData(Server(address=("192.0.2.1", 1)), handler.client)
        for hook in (
            ClientConnectedHook(handler.client),
            ServerConnectHook(data),
            ServerConnectedHook(data),
            TlsClienthelloHook(ClientHelloData(handler.layer.context, None)),  # type: ignore[arg-type]
            ClientDisconnectedHook(handler.client),
        ):
            await handler.handle_hook(hook)
        assert asked.heard == ["client_connected", "server_connect", "tls_clienthello", "client_disconnected"]

    handled(scene)


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
