"""Our own forms of mitmproxy's modes regular, transparent and upstream, for a gateway's load.

They differ in that several workers share an address (SO_REUSEPORT), in the length of the queue, and in that the layer
that judges is the topmost: without a hook for each connection that asks for it.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Protocol

import mitmproxy_rs
from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.options import Options
from mitmproxy.platform.linux import original_addr as original
from mitmproxy.proxy import layer, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_servers import AsyncioServerInstance

from enforcer.proxy.handler import Asked, Handler, Settled

BACKLOG = 4096
_OWN = "enforcer"


class EnforcerRegularMode(mode_specs.RegularMode):
    """`regular`, shared by workers."""


class EnforcerTransparentMode(mode_specs.TransparentMode):
    """`transparent`, shared by workers. What nftables or iptables redirected here keeps its destination."""


class EnforcerUpstreamMode(mode_specs.UpstreamMode):
    """`upstream`, shared by workers."""


def own(spec: str) -> str:
    """Our form of a mode that has one; else the same."""
    kind = spec.partition("@")[0].partition(":")[0]
    return f"{_OWN}{spec}" if kind in ("regular", "transparent", "upstream") else spec


def configured(spec: str) -> str:
    """The mode as it is written in the configuration."""
    return spec.removeprefix(_OWN)


class Layers(Asked, Protocol):
    """Who is asked about connections, and gives the topmost layers."""

    def gate(self, context: Context) -> layer.Layer:
        """For a destination that is known."""

    def explicit(self, context: Context) -> layer.Layer:
        """For clients that know their proxy."""

    def upstream(self, context: Context) -> layer.Layer:
        """For clients that know their proxy, which asks another one."""


class Listeners(Proxyserver):
    """mitmproxy's own addon that listens, with sockets that are bound already, by our form of the mode."""

    name = "proxyserver"

    def __init__(self, layers: Layers, sockets: Mapping[str, list[socket.socket]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers, self.sockets = layers, sockets
        self.settled = Settled(Options())

    def settle(self, options: Options) -> None:
        """Take the options as they are for all connections to come."""
        self.settled = Settled(options)

    def end_idle(self, seconds: float) -> None:
        """Close connections on which nothing has been said for so long."""
        for handler in list(self.connections.values()):
            if isinstance(handler, Handler):
                handler.end_if_idle(seconds)


class _Shared[M: mode_specs.ProxyMode](AsyncioServerInstance[M]):
    """Listens on sockets that other workers have as well."""

    @property
    def listeners(self) -> Listeners:
        """Who made this instance."""
        assert isinstance(self.manager, Listeners)  # noqa: S101 (nobody else knows these modes)
        return self.manager

    async def handle_stream(
        self,
        reader: asyncio.StreamReader | mitmproxy_rs.Stream,
        writer: asyncio.StreamWriter | mitmproxy_rs.Stream | None = None,
    ) -> None:
        """Carry one connection."""
        if not isinstance(reader, asyncio.StreamReader) or not isinstance(writer, asyncio.StreamWriter):
            raise TypeError("our modes listen on sockets alone")
        listeners = self.listeners
        top = self.make_top_layer
        streams = reader, writer
        handler = Handler(listeners.layers, top, streams, master=ctx.master, options=listeners.settled, mode=self.mode)
        context = handler.context
        if isinstance(self.mode, mode_specs.TransparentMode):
            destination = _destination(writer)
            if destination is None:
                writer.close()
                return
            context.client.sockname = context.server.address = destination
        with listeners.register_connection(context.client.id, handler):
            await handler.handle_client()

    async def listen(self, host: str, port: int) -> list[asyncio.Server]:  # type: ignore[override]  # noqa: ARG002
        """Begin on each of the mode's sockets."""
        bound = self.listeners.sockets[self.mode.full_spec]
        return [await asyncio.start_server(self.handle_stream, sock=sock, backlog=BACKLOG) for sock in bound]


class _Regular(_Shared[EnforcerRegularMode]):
    def make_top_layer(self, context: Context) -> layer.Layer:
        return self.listeners.layers.explicit(context)


class _Transparent(_Shared[EnforcerTransparentMode]):
    def make_top_layer(self, context: Context) -> layer.Layer:
        return self.listeners.layers.gate(context)


class _Upstream(_Shared[EnforcerUpstreamMode]):
    def make_top_layer(self, context: Context) -> layer.Layer:
        return self.listeners.layers.upstream(context)


def _destination(writer: asyncio.StreamWriter) -> tuple[str, int] | None:
    """Where a redirected connection was going; None for one that came to us directly, which would go round for ever."""
    try:
        found = original(writer.get_extra_info("socket"))
    except OSError:
        return None
    return None if found == tuple(writer.get_extra_info("sockname")[:2]) else found
