"""The gate for UDP: QUIC is judged by the name in its first packets; nothing is sent on before that."""

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context

from enforcer.decide.flow import Datagrams, Seen, Shows
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands, Guarded
from enforcer.wire.quic import is_quic


class DatagramGate(Guarded):
    """The datagrams between one port of a client and one of a server."""

    def __init__(self, context: Context, door: Door, flow: Flow) -> None:
        super().__init__(context, door, flow)
        self._opening: Datagrams | None = Datagrams()
        self._held: list[bytes] = []
        self._watched = False  # it passed as something unknown, and may become QUIC

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.server:
                yield commands.SendData(self.context.client, event.data)
            else:
                yield from self._client_says(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self.shut()

    def _client_says(self, datagram: bytes) -> Commands:
        if self._opening is None and self._watched and is_quic(datagram):
            self._opening = Datagrams()
        if self._opening is None:
            yield commands.SendData(self.context.server, datagram)
            return
        self._held.append(datagram)
        seen = self._opening.add(datagram)
        if seen is None:
            return
        held, self._held, self._opening = self._held, [], None
        decision = self.door.first(self.flow, seen) if self.flow.seen is None else self.door.request(self.flow, seen)
        if decision.how is not How.PASS:
            yield from self.refuse(decision)
            return
        yield from self._pass(seen, held)

    def _pass(self, seen: Seen, held: list[bytes]) -> Commands:
        self._watched = seen.shows is Shows.UNKNOWN
        if self.context.server.timestamp_start is None:
            error = yield commands.OpenConnection(self.context.server)
            if error:
                yield from self.shut()
                return
        for datagram in held:
            yield commands.SendData(self.context.server, datagram)
