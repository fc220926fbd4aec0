"""The gate for UDP: QUIC is judged by the name in its first packets; nothing of it is sent on before that.

A client may open several connections from one port to one server, so each is judged; of a later one that may not pass,
the first packets alone are swallowed, without which it cannot begin.
"""

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context

from enforcer.decide.flow import Datagrams
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands, Guarded


class DatagramGate(Guarded):
    """The datagrams between one port of a client and one of a server."""

    def __init__(self, context: Context, door: Door, flow: Flow) -> None:
        super().__init__(context, door, flow)
        self._passed: Datagrams | None = None  # the connection that passed last
        self._refused: Datagrams | None = None  # the one beside it that did not
        self._opening: Datagrams | None = Datagrams()
        self._held: list[bytes] = []

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.server:
                yield commands.SendData(self.context.client, event.data)
            else:
                yield from self._client_says(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self.shut()

    def _client_says(self, datagram: bytes) -> Commands:
        if self._passed is not None and not self._passed.later(datagram):
            yield commands.SendData(self.context.server, datagram)
            return
        if self._refused is not None and not self._refused.later(datagram):
            return
        opening = self._opening = self._opening or Datagrams()
        self._held.append(datagram)
        seen = opening.add(datagram)
        if seen is None:
            return
        held, self._held, self._opening = self._held, [], None
        decision = self.door.first(self.flow, seen) if self.flow.seen is None else self.door.request(self.flow, seen)
        if decision.how is How.PASS:
            self._passed = opening
            yield from self._pass(held)
        elif self._passed is None:
            yield from self.refuse(decision)
        else:
            self._refused = opening

    def _pass(self, held: list[bytes]) -> Commands:
        if self.context.server.timestamp_start is None:
            error = yield commands.OpenConnection(self.context.server)
            if error:
                yield from self.shut()
                return
        for datagram in held:
            yield commands.SendData(self.context.server, datagram)
