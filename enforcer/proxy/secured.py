"""TLS to the operator's own proxy, in mode upstream:https. What devices send is inside of it as it came."""

import ssl
from functools import cache

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context

from enforcer.proxy.door import Door, Flow
from enforcer.proxy.layers import Commands, Guarded


@cache
def trust() -> ssl.SSLContext:
    """Whose certificates a proxy may have: those of the system's authorities, or of SSL_CERT_FILE."""
    return ssl.create_default_context()


class Secured(Guarded):
    """Gives its child a connection to the server that is TLS outside. name: whose certificate the server must have."""

    def __init__(
        self, context: Context, door: Door, flow: Flow, child: layer.Layer, *, name: str, trusted: ssl.SSLContext
    ) -> None:
        super().__init__(context, door, flow)
        self._tunnel = _Tunnel(context, child, name, trusted)

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self._tunnel.handle_event(event)


class _Tunnel(tunnel.TunnelLayer):
    def __init__(self, context: Context, child: layer.Layer, name: str, trusted: ssl.SSLContext) -> None:
        super().__init__(context, tunnel_connection=context.server, conn=context.server)
        self.child_layer = child
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusted.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._ended = False

    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        self._incoming.write(data)
        done, error = True, None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            done, error = False, "no TLS with a certificate that we trust"
        yield from self._flush()
        return done, error

    def receive_data(self, data: bytes) -> Commands:
        self._incoming.write(data)
        try:
            while plain := self._tls.read(0x10000):
                yield from self.event_to_child(events.DataReceived(self.conn, plain))
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._ended = True
        yield from self._flush()
        if self._ended:
            self.conn.state &= ~ConnectionState.CAN_READ
            yield from self.event_to_child(events.ConnectionClosed(self.conn))

    def receive_close(self) -> Commands:
        if not self._ended:
            yield from super().receive_close()

    def send_data(self, data: bytes) -> Commands:
        self._tls.write(data)
        yield from self._flush()

    def _flush(self) -> Commands:
        if self._outgoing.pending:
            yield commands.SendData(self.tunnel_connection, self._outgoing.read())
