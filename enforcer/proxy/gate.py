"""The gate: holds what a client sends first until it shows where it goes, and connects nowhere before it may pass."""

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

from enforcer.decide.flow import SILENT, Opening, Seen
from enforcer.policy.verdict import Layer
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands, Guarded
from enforcer.proxy.relay import HttpRelay
from enforcer.proxy.streams import Http2Relay

SILENT_S = 1.0
"""A client that has said nothing for so long may be waiting for the server to speak first (SMTP, SSH)."""

OPENING_S = 30.0
"""How long a client may take to show where it goes, once it has begun as TLS or the like."""

_TEXT = 0x20


class Gate(Guarded):
    """TCP to a destination that is known, directly or as what a CONNECT has led to."""

    def __init__(self, context: Context, door: Door, flow: Flow) -> None:
        super().__init__(context, door, flow)
        self._opening = Opening()
        self._held: list[bytes] = []
        self._waited = False
        self._sent = 0  # octets that went to the server before it was known what they are

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.client:
                yield from self._client_says(event.data)
            else:  # to a client that says nothing; what it says later is judged all the same
                yield commands.SendData(self.context.client, event.data)
        elif isinstance(event, events.Start):
            self.door.wait(self.flow, SILENT_S)
        elif isinstance(event, events.ConnectionClosed):
            yield from self.shut()
        elif isinstance(event, events.Wakeup):
            yield from self._time_passes()

    def _client_says(self, data: bytes) -> Commands:
        self._held.append(data)
        seen = self._opening.add(data)
        if seen is None:
            if self._sent:
                yield from self._send_on()
            return
        held = b"".join(self._held)
        judge = self.door.first if self.flow.seen is None else self.door.request
        decision = judge(self.flow, seen)
        if decision.how is not How.PASS:
            yield from self.refuse(decision, held)
        else:
            child, first = self._carrier(seen, held)
            yield from self.become(child, events.Start(), events.DataReceived(self.context.client, first))

    def _carrier(self, seen: Seen, held: bytes) -> tuple[layer.Layer, bytes]:
        """Who carries what may pass, and what of it comes first."""
        if seen.layer is Layer.HTTP and seen.alpn:
            return Http2Relay(self.context, self.door, self.flow, sent=self._sent), held
        if seen.layer is Layer.HTTP:
            return HttpRelay(self.context, self.door, self.flow, Gate, sent=self._sent), held
        return TCPLayer(self.context, ignore=True), held[self._sent :]

    def _time_passes(self) -> Commands:
        """It has said nothing for a while, or begun and not gone on."""
        if self._waited:
            if self._opening.size and not self._sent:
                self.door.failed(self.flow)
                yield from self.shut()
            return
        self._waited = True
        if self._opening.size and self._held[0][0] < _TEXT:
            self.door.wait(self.flow, OPENING_S)
            return
        decision = self.door.first(self.flow, SILENT)
        if decision.how is not How.PASS:
            yield from self.refuse(decision)
            return
        if self.context.server.state is ConnectionState.CLOSED:
            error = yield commands.OpenConnection(self.context.server)
            if error:
                yield from self.shut()
                return
        yield from self._send_on()

    def _send_on(self) -> Commands:
        """Text without an end of line may be all that a client of some protocol says; it goes on being judged."""
        held = b"".join(self._held)
        if held[self._sent :]:
            yield commands.SendData(self.context.server, held[self._sent :])
        self._sent = len(held)
