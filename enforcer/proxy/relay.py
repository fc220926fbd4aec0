"""Plain HTTP to one server: every request is judged before any of it is sent on, and not an octet is changed.

A connection that is kept alive may carry requests for many hosts, so its messages are followed to their ends. After a
101 both sides speak another protocol, which is carried as it is; after a CONNECT that another proxy has granted, what
follows is judged as a new connection would be.
"""

import re
from collections import deque
from collections.abc import Callable

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

from enforcer.decide.flow import Opening, Seen, Shows
from enforcer.errors import Malformed
from enforcer.policy.verdict import Layer
from enforcer.proxy.door import Decision, Door, Flow, How
from enforcer.proxy.layers import Commands, Farewell, Guarded
from enforcer.wire.httpframe import Head, Messages, Part, request_framing, response_framing, status

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NONSENSE = Seen(Layer.HTTP, Shows.NONSENSE)
_AUTHORITY = re.compile(
    rb"(?:(CONNECT) +|[A-Z]+ +(http)://(?:[^/?# @]*@)?)(\[[0-9A-Fa-f:.]+\]|[^/?#:@ \[\]]+)(?::([0-9]{0,5}))?",
    re.IGNORECASE,
)

type Tunnel = Callable[[Context, Door, Flow], layer.Layer]


def target(head: Head) -> tuple[str, int] | None:
    """Host and port that a request to a proxy names (RFC 9112 §3.2.2, §3.2.3); None where it names none."""
    found = _AUTHORITY.match(head.start)
    if found is None:
        return None
    port = int(found[4]) if found[4] else 443 if found[1] else 80
    host = found[3].strip(b"[]")
    return (host.decode("ascii"), port) if host.isascii() and 0 < port < 65_536 else None


class HttpRelay(Guarded):
    """Requests to the context's server, one after the other or at once, and its responses.

    tunnel: makes the layer for what follows a granted CONNECT. judged: the first request has been judged already.
    sent: how many octets of the first head the server has got already.
    """

    def __init__(
        self, context: Context, door: Door, flow: Flow, tunnel: Tunnel, *, judged: bool = True, sent: int = 0
    ) -> None:
        super().__init__(context, door, flow)
        self._sent = sent
        self._tunnel = tunnel
        self._judged = judged
        self._requests, self._responses = Messages(), Messages()
        self._asked: deque[bytes] = deque()  # methods of the requests that have no final response yet
        self._switching = False  # a request asks for another protocol: what follows it waits for the answer
        self._raw = False  # the server does not speak HTTP: its octets pass, while requests are judged on
        self._interim = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.client:
                self._requests.feed(event.data)
                yield from self._from_client()
            elif event.connection is self.context.server:
                yield from self._from_server(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closing(event)

    # Requests

    def _from_client(self) -> Commands:
        try:
            while not self._waits() and (piece := self._requests.take()) is not None:
                if isinstance(piece, Head):
                    if not (yield from self._request(piece)):
                        return
                elif piece.octets:
                    yield commands.SendData(self.context.server, piece.octets)
        except Malformed:
            yield from self._farewell(BAD_REQUEST)

    def _waits(self) -> bool:
        """Whether what the client sends has to wait for a response."""
        return self._switching and self._requests.between

    def _request(self, head: Head) -> layer.CommandGenerator[bool]:
        """Judge a request, and send its head; False when the flow is over, or somebody else's."""
        self._requests.frame(request_framing(head))
        if self._judged:
            self._judged = False
        else:
            decision = self._judge(head)
            if decision.how is not How.PASS:
                yield from self.refuse(decision)
                return False
        method = head.start.partition(b" ")[0]
        octets = yield from self._connect(head, method)
        if octets is None:
            return False
        self._asked.append(method)
        self._switching = method == b"CONNECT" or bool(head.values(b"upgrade"))
        yield commands.SendData(self.context.server, octets[self._sent :])
        self._sent = 0
        return True

    def _judge(self, head: Head) -> Decision:
        if self.flow.address is None:
            named = target(head)
            self.flow.port = 80 if named is None else named[1]
        seen = Opening().add(head.octets) or _NONSENSE
        return self.door.first(self.flow, seen) if self.flow.seen is None else self.door.request(self.flow, seen)

    def _connect(self, head: Head, method: bytes) -> layer.CommandGenerator[bytes | None]:  # noqa: ARG002 (of a proxy)
        """See that there is a connection to the server; the octets to send there, or None when the flow is over."""
        if self.context.server.timestamp_start is None:
            error = yield commands.OpenConnection(self.context.server)
            if error:
                yield from self.shut()
                return None
        return head.octets

    # Responses

    def _from_server(self, data: bytes) -> Commands:
        if self._raw:
            yield commands.SendData(self.context.client, data)
            return
        self._responses.feed(data)
        piece: Head | Part | None = None
        try:
            while (piece := self._responses.take()) is not None:
                if isinstance(piece, Part):
                    yield from self._body(piece)
                elif self._is_switch(piece):
                    yield from self._switch(piece)
                    return
                else:
                    framing = response_framing(piece, self._asked[0] if self._asked else b"")
                    self._interim = status(piece) < 200
                    self._responses.frame(framing)
                    yield commands.SendData(self.context.client, piece.octets)
        except Malformed:
            self._raw = True
            head = piece.octets if isinstance(piece, Head) and self._responses.between else b""
            yield commands.SendData(self.context.client, head + self._responses.rest())

    def _body(self, part: Part) -> Commands:
        if part.octets:
            yield commands.SendData(self.context.client, part.octets)
        if part.last and not self._interim:
            yield from self._answered()

    def _answered(self) -> Commands:
        """A response is complete."""
        if self._asked:
            self._asked.popleft()
        if self._switching and not self._asked:
            self._switching = False  # it was not granted
            yield from self._from_client()

    def _is_switch(self, head: Head) -> bool:
        code = status(head)
        return code == 101 or (200 <= code < 300 and len(self._asked) == 1 and self._asked[0] == b"CONNECT")

    def _switch(self, head: Head) -> Commands:
        """From here on it is not HTTP/1."""
        if not self._switching or b"h2c" in head.values(b"upgrade"):
            yield from self.shut()  # nobody asked; or HTTP/2, whose later requests nobody would judge
            return
        yield commands.SendData(self.context.client, head.octets + self._responses.rest())
        if self._asked[0] == b"CONNECT":
            yield from self._become(self._tunnel(self.context, self.door, self.flow))
        else:
            yield from self._become(TCPLayer(self.context, ignore=True))

    def _become(self, child: layer.Layer) -> Commands:
        """Let another layer carry all that comes, and what has come already."""
        rest = self._requests.rest()
        told = [events.DataReceived(self.context.client, rest)] if rest else []
        yield from self.become(child, events.Start(), *told)

    # Ends

    def _farewell(self, octets: bytes) -> Commands:
        yield from self.become(Farewell(self.context, octets), events.Start())

    def _closing(self, event: events.ConnectionClosed) -> Commands:
        yield from self.half_closed(event)
