import asyncio
import socket

import pytest
from mitmproxy.connection import Client
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from enforcer.proxy.layers import Over
from enforcer.proxy.mode import Listeners, configured, own
from tests.proxy.playbook import context, flow


class Layers:
    """Gives a layer for each kind of mode."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def client_connected(self, client: Client) -> None:
        """Whoever it is."""

    def client_disconnected(self, client: Client) -> None:
        """Whoever it was."""

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """Wherever it goes."""

    def gate(self, context: Context) -> layer.Layer:
        self.asked.append("gate")
        return Over(context)

    def explicit(self, context: Context) -> layer.Layer:
        self.asked.append("explicit")
        return Over(context)

    def upstream(self, context: Context) -> layer.Layer:
        self.asked.append("upstream")
        return Over(context)


@pytest.mark.parametrize(
    ("spec", "ours", "kind"),
    [
        ("regular@127.0.0.1:5080", "enforcerregular@127.0.0.1:5080", "explicit"),
        ("transparent@5081", "enforcertransparent@5081", "gate"),
        ("upstream:http://192.0.2.8:3128@5080", "enforcerupstream:http://192.0.2.8:3128@5080", "upstream"),
    ],
)
def test_shared_modes_have_our_form_and_their_layer_on_top(spec: str, ours: str, kind: str) -> None:
    assert (own(spec), configured(ours)) == (ours, spec)
    layers = Layers()
    instance: ServerInstance[ProxyMode] = ServerInstance.make(ours, Listeners(layers, {}))
    surroundings = context(flow())
    instance.make_top_layer(surroundings)
    assert layers.asked == [kind]


@pytest.mark.parametrize("spec", ["tun:enf0", "wireguard@51820", "dns@5353", "socks5@1080", "local:curl"])
def test_other_modes_are_mitmproxys_own(spec: str) -> None:
    assert (own(spec), configured(spec)) == (spec, spec)


def shared_socket(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def test_two_listen_at_one_address() -> None:
    async def scene() -> None:
        first = shared_socket(0)
        port = first.getsockname()[1]
        for sock in (first, shared_socket(port)):
            spec = f"enforcertransparent@{port}"
            instance: ServerInstance[ProxyMode] = ServerInstance.make(spec, Listeners(Layers(), {spec: [sock]}))
            [server] = await instance.listen("", 0)  # type: ignore[attr-defined]
            assert server.sockets[0].getsockname() == ("127.0.0.1", port)
            server.close()

    asyncio.run(scene())


@pytest.mark.parametrize("found", ["itself", "nothing"])
def test_who_was_not_redirected_is_closed(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def original(sock: socket.socket) -> tuple[str, int]:
        if found == "nothing":
            raise OSError
        host, port = sock.getsockname()
        return host, port

    monkeypatch.setattr("enforcer.proxy.mode.original", original)
    layers = Layers()

    async def scene() -> None:
        sock = shared_socket(0)
        spec = f"enforcertransparent@{sock.getsockname()[1]}"
        instance: ServerInstance[ProxyMode] = ServerInstance.make(spec, Listeners(layers, {spec: [sock]}))
        monkeypatch.setattr("mitmproxy.ctx.master", Master(Options()), raising=False)
        [server] = await instance.listen("", 0)  # type: ignore[attr-defined]
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()

    asyncio.run(scene())
    assert layers.asked == []
