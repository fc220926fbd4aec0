"""The addon: what mitmproxy asks, in every mode; the answers come from the door and our layers.

Each hook is guarded. An exception in one makes its connection close: mitmproxy itself would log it and go on without
us, which passes the connection, or worse, decrypts it.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.dns import DNSFlow, DNSMessage
from mitmproxy.exceptions import AddonHalt
from mitmproxy.net.dns import response_codes
from mitmproxy.proxy import commands, events, layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.dns import DNSLayer
from mitmproxy.proxy.layers.quic import QuicTlsData
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import UpstreamMode
from mitmproxy.tls import TlsData
from mitmproxy.utils import asyncio_utils

from enforcer.decide.flow import named
from enforcer.policy.rules import Transport
from enforcer.policy.verdict import Address
from enforcer.proxy import questions
from enforcer.proxy.datagrams import DatagramGate
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.explicit import ExplicitProxy
from enforcer.proxy.gate import Gate
from enforcer.proxy.layers import Page, Shut, where
from enforcer.proxy.mode import configured
from enforcer.proxy.relay import HttpRelay
from enforcer.proxy.secured import Secured, trust

CLOSED = "closed by Enforcer"
_DNS = 53
_OURS = "enforcer"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset

_log = logging.getLogger(__name__)


class Enforcer:
    """One addon for one mitmproxy. connections: where mitmproxy keeps its handlers, by the client's id."""

    name = "enforcer"

    def __init__(
        self, door: Door | None, connections: Callable[[], dict[tuple[object, ...] | str, ProxyConnectionHandler]]
    ) -> None:
        """door: None until there is one; then nobody passes."""
        self._given = door
        self._connections = connections
        self._flows: dict[str, Flow] = {}

    # Hooks

    def client_connected(self, client: Client) -> None:
        """A connection has come; too many are closed before an octet is read."""
        try:
            client.error = CLOSED  # until everything has gone well
            flow = self._flow(client)
            if self._door().enter(flow):
                self._flows[client.id] = flow
                client.error = None
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._failed(error)

    def client_disconnected(self, client: Client) -> None:
        """It has ended."""
        try:
            flow = self._flows.pop(client.id, None)
            if flow is not None:
                self._door().leave(flow)
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._failed(error)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Give the connection the layer that judges it, whatever it has sent."""
        try:
            nextlayer.layer = self.choose(nextlayer.context)
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._failed(error)
            nextlayer.layer = Shut(nextlayer.context)

    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Before any connection is made: the address behind a name is judged, and nothing of this machine reached."""
        try:
            server = data.server
            error, server.error = server.error, CLOSED  # until everything has gone well
            flow = self._flows[data.client.id]
            if error is None and server.address is not None:
                server.address = await self._allowed(flow, server.address[0], server.address[1], data.client)
                server.error = CLOSED if server.address is None else None
            else:
                server.error = error or CLOSED
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._failed(error)

    def tls_start_client(self, data: TlsData) -> None:
        """TLS is ended here only for the page of a banned name: no other addon is asked to provide for it."""
        if not any(isinstance(each, Page) for each in data.context.layers):
            raise AddonHalt

    def tls_start_server(self, data: TlsData) -> None:  # noqa: ARG002 (whoever it is)
        """We speak TLS with no server."""
        raise AddonHalt

    def quic_start_client(self, data: QuicTlsData) -> None:  # noqa: ARG002 (whoever it is)
        """QUIC is never ended here."""
        raise AddonHalt

    def quic_start_server(self, data: QuicTlsData) -> None:  # noqa: ARG002 (whoever it is)
        """We speak QUIC with no server."""
        raise AddonHalt

    def dns_request(self, flow: DNSFlow) -> None:
        """A question of DNS, in mode dns or to port 53 of anybody: answered here when it is banned."""
        try:
            reply = questions.ask(self._door(), self._of(flow), flow.request.packed)
            if reply is not None:
                flow.metadata[_OURS] = True
                flow.response = DNSMessage.unpack(reply)
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._no_answer(flow, error)

    def dns_response(self, flow: DNSFlow) -> None:
        """An answer, which may lead to something banned."""
        try:
            if _OURS not in flow.metadata and flow.response is not None:
                reply = questions.answer(self._door(), self._of(flow), flow.request.packed, flow.response.packed)
                flow.response = flow.response if reply is None else DNSMessage.unpack(reply)
        except Exception as error:  # noqa: BLE001 (whatever it is)
            self._no_answer(flow, error)

    # Layers

    def choose(self, context: Context) -> layer.Layer:
        """The layer that judges a connection of this mode."""
        top = context.layers[0] if context.layers else None
        if isinstance(top, modes.HttpProxy):
            return self.explicit(context)
        if isinstance(top, modes.HttpUpstreamProxy):
            return self.upstream(context)
        return self.gate(context)

    def gate(self, context: Context) -> layer.Layer:
        """For a destination that is known."""
        flow = self._flows[context.client.id]
        host, port = (context.server.address or ("", 0))[:2]
        flow.port = port
        address = _address(host)
        flow.asked = named(host) if host and address is None else None
        if port == _DNS:  # its resolver is judged by its address when it is connected, its questions one by one
            refused = flow.asked is not None and self._door().first(flow, flow.asked).how is not How.PASS
            return Shut(context) if refused else DNSLayer(context)
        flow.address = address
        if flow.transport is Transport.UDP:
            return DatagramGate(context, self._door(), flow)
        return Gate(context, self._door(), flow)

    def explicit(self, context: Context) -> layer.Layer:
        """For clients that know their proxy."""
        return ExplicitProxy(context, self._door(), self._flows[context.client.id], Gate)

    def upstream(self, context: Context) -> layer.Layer:
        """For clients that know their proxy, which asks another one."""
        mode = context.client.proxy_mode
        if not isinstance(mode, UpstreamMode) or mode.scheme not in ("http", "https"):
            return Shut(context)
        context.server.address = mode.address
        door, flow = self._door(), self._flows[context.client.id]
        relay = HttpRelay(context, door, flow, Gate, judged=False)
        if mode.scheme == "http":
            return relay
        return Secured(context, door, flow, relay, name=mode.address[0], trusted=trust())

    # Help

    def _door(self) -> Door:
        if self._given is None:
            raise LookupError("no door yet")  # caught where hooks are guarded: nobody passes
        return self._given

    def _flow(self, client: Client) -> Flow:
        ip = _address(client.peername[0])
        if ip is None:
            raise ValueError("no address")
        made = Flow(
            ip, client.peername[1], configured(client.proxy_mode.full_spec), Transport(client.transport_protocol)
        )
        made.end = lambda: self._cut(client)
        made.reset = lambda: self._make_reset(client)
        made.wake = lambda: self._wake(client, made)
        return made

    def _of(self, flow: DNSFlow) -> Flow:
        return self._flows[flow.client_conn.id]

    def _no_answer(self, flow: DNSFlow, error: Exception) -> None:
        self._failed(error)
        flow.metadata[_OURS] = True
        flow.response = flow.request.fail(response_codes.SERVFAIL)

    async def _allowed(self, flow: Flow, host: str, port: int, client: Client) -> tuple[str, int] | None:
        """The first address of a host to which a connection may be made."""
        literal = _address(host)
        addresses = [literal] if literal is not None else await _resolve(host, port)
        if isinstance(client.proxy_mode, UpstreamMode):
            return str(addresses[0]), port  # the operator's own proxy
        for address in addresses:
            if flow.address is None and _is_ours(address) and not flow.ip.is_loopback:
                continue  # an explicit proxy must be no way into this machine
            if self._door().resolved(flow, address, port).how is How.PASS:
                return str(address), port
        return None

    def _handler(self, client: Client) -> ProxyConnectionHandler | None:
        return self._connections().get(client.id)

    def _make_reset(self, client: Client) -> None:
        handler = self._handler(client)
        io = None if handler is None else handler.transports.get(client)
        sock = (
            None
            if io is None or not isinstance(io.writer, asyncio.StreamWriter)
            else io.writer.get_extra_info("socket")
        )
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _wake(self, client: Client, flow: Flow) -> None:
        """Tell a connection's layer that time has passed, if it is still waiting for that."""
        handler = self._handler(client)

        async def tell() -> None:
            if handler is not None and self._door().woken(flow):
                await handler.server_event(events.Wakeup(commands.RequestWakeup(0)))

        self._telling = asyncio_utils.create_task(tell(), name="wake", keep_ref=True)

    def _cut(self, client: Client) -> None:
        """End a connection that passed."""
        handler = self._handler(client)
        if handler is not None and client in handler.transports:
            if client.transport_protocol == "tcp":
                self._make_reset(client)
            handler.close_connection(client)

    def _failed(self, error: Exception) -> None:
        _log.error("hook event=failed %s", where(error))
        if self._given is not None:
            self._given.failed(None)


def running_on() -> dict[tuple[object, ...] | str, ProxyConnectionHandler]:
    """The connections of the mitmproxy that runs in this process."""
    connections: dict[tuple[object, ...] | str, ProxyConnectionHandler] = ctx.master.addons.get(
        "proxyserver"
    ).connections
    return connections


async def _resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        return []
    return [address for each in found if (address := _address(str(each[4][0]))) is not None]


@lru_cache(maxsize=8192)  # a client has many connections, and many clients have one server
def _address(host: str) -> Address | None:
    """An address as it is judged: without a zone, IPv4 where it is only wrapped in IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_ours(address: Address) -> bool:
    return address.is_loopback or address.is_unspecified or address.is_link_local
