"""A client that knows us as its proxy (RFC 9110 §9.3.6, RFC 9112 §3.2): CONNECT, and requests with a whole URL.

The name in the request is judged before anything is resolved or connected; what passes through a CONNECT is then
judged once more by what it shows itself. Requests go one at a time, each to the host that it names.
"""

import re

from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands
from enforcer.proxy.relay import BAD_REQUEST, HttpRelay, Tunnel, target
from enforcer.wire.httpframe import Head

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# What is for us alone, and not for the server (RFC 9110 §7.6.1, §11.7.1).
_OURS = re.compile(rb"(?im)^proxy-(?:connection|authorization)[^\n]*\n")
_ABSOLUTE = re.compile(rb"(?i)^([A-Z]+ +)http://[^/?# ]*([?#])?/?")


class ExplicitProxy(HttpRelay):
    """Each request opens the connection that it needs, unless the last one's leads to the same place."""

    def __init__(self, context: Context, door: Door, flow: Flow, tunnel: Tunnel) -> None:
        super().__init__(context, door, flow, tunnel, judged=False)
        self._over = False  # the client sends nothing more
        self._to: tuple[str, int] | None = None  # where the server's connection leads

    def _waits(self) -> bool:
        return bool(self._asked) and self._requests.between

    def _connect(self, head: Head, method: bytes) -> layer.CommandGenerator[bytes | None]:
        wanted = target(head)
        if wanted is None:
            yield from self._farewell(BAD_REQUEST)
            return None
        server = self.context.server
        if self._to != wanted or server.state is not ConnectionState.OPEN or method == b"CONNECT":
            if server.state is not ConnectionState.CLOSED:
                yield commands.CloseConnection(server)
            self.context.server = server = Server(address=wanted)
            error = yield commands.OpenConnection(server)
            if error:
                yield from self._unreachable()
                return None
            self._to = wanted
        if method == b"CONNECT":
            yield commands.SendData(self.context.client, ESTABLISHED)
            yield from self._become(self._tunnel(self.context, self.door, self.flow))
            return None
        return origin_form(head.octets)

    def _unreachable(self) -> Commands:
        refused = self.flow.refused
        if refused is not None and refused.how is not How.PASS:
            yield from self.refuse(refused)
        else:
            yield from self._farewell(BAD_GATEWAY)

    def _answered(self) -> Commands:
        self._asked.clear()
        self._switching = False
        if self._over:
            yield from self.shut()
        else:
            yield from self._from_client()

    def _closing(self, event: events.ConnectionClosed) -> Commands:
        if event.connection is self.context.client:
            self._over = True
            if not self._asked:
                yield from self.shut()
        elif event.connection is self.context.server:
            if self._asked:  # in the middle of a response, or at the end of one that has no other end
                yield from self.shut()
            else:
                yield commands.CloseConnection(event.connection)


def origin_form(head: bytes) -> bytes:
    """A request as the server expects it: the target without scheme and host, and nothing that is for the proxy."""
    line, newline, fields = head.lstrip(b"\r\n").partition(b"\n")
    line = _ABSOLUTE.sub(lambda found: found[1] + b"/" + (found[2] or b""), line, count=1)
    return line + newline + _OURS.sub(b"", fields)
