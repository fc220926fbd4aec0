"""The gate: holds what a client sends first until it shows where it goes, and connects nowhere before it may pass."""

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

from enforcer.decide.flow import SILENT, Opening, Seen
from enforcer.policy.verdict import Layer
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands, Guarded
from enforcer.proxy.relay import HttpRelay

SILENT_S = 1.0
"""A client that has said nothing for so long may be waiting for the server to speak first (SMTP, SSH)."""

OPENING_S = 30.0
"""How long a client may take to show where it goes, once it has begun."""


class Gate(Guarded):
    """TCP to a destination that is known, directly or as what a CONNECT has led to."""

    def __init__(self, context: Context, door: Door, flow: Flow) -> None:
        super().__init__(context, door, flow)
        self._opening = Opening()
        self._held: list[bytes] = []
        self._waited = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.client:
                yield from self._client_says(event.data)
            else:  # to a client that says nothing; what it says later is judged all the same
                yield commands.SendData(self.context.client, event.data)
        elif isinstance(event, events.Start):
            yield commands.RequestWakeup(SILENT_S)
        elif isinstance(event, events.ConnectionClosed):
            yield from self.shut()
        elif isinstance(event, events.Wakeup):
            yield from self._time_passes()

    def _client_says(self, data: bytes) -> Commands:
        self._held.append(data)
        seen = self._opening.add(data)
        if seen is None:
            return
        held = b"".join(self._held)
        judge = self.door.first if self.flow.seen is None else self.door.request
        decision = judge(self.flow, seen)
        if decision.how is not How.PASS:
            yield from self.refuse(decision, held)
        else:
            child = self._carrier(seen, held)
            yield from self.become(child, events.Start(), events.DataReceived(self.context.client, held))

    def _carrier(self, seen: Seen, held: bytes) -> HttpRelay | TCPLayer:
        """Who carries what may pass."""
        if seen.layer is Layer.HTTP and not held.startswith(b"PRI "):
            return HttpRelay(self.context, self.door, self.flow, Gate)
        return TCPLayer(self.context, ignore=True)

    def _time_passes(self) -> Commands:
        if self._opening.size:
            if self._waited:
                self.door.failed(self.flow)
                yield from self.shut()
            else:
                yield commands.RequestWakeup(OPENING_S)
            self._waited = True
            return
        if self._waited or self.context.server.state is not ConnectionState.CLOSED:
            return
        decision = self.door.first(self.flow, SILENT)
        if decision.how is not How.PASS:
            yield from self.refuse(decision)
            return
        error = yield commands.OpenConnection(self.context.server)
        if error:
            yield from self.shut()
