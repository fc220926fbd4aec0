"""HTTP/2 that begins without TLS: every request of the connection is judged before the last of its head is sent on."""

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context

from enforcer.decide.flow import Requests
from enforcer.proxy.door import Door, Flow, How
from enforcer.proxy.layers import Commands, Guarded


class Http2Relay(Guarded):
    """Octets as they come, both ways. The first request has been judged; a later one that may not pass ends them all.

    sent: how many of the first octets the server has got already.
    """

    def __init__(self, context: Context, door: Door, flow: Flow, *, sent: int = 0) -> None:
        super().__init__(context, door, flow)
        self._requests = Requests()
        self._judged = False
        self._sent = sent

    def _handle_event(self, event: events.Event) -> Commands:
        client, server = self.context.client, self.context.server
        if isinstance(event, events.Start):
            if server.timestamp_start is None:
                error = yield commands.OpenConnection(server)
                if error:
                    yield from self.shut()
        elif isinstance(event, events.DataReceived):
            if event.connection is client:
                yield from self._client_says(event.data)
            else:
                yield commands.SendData(client, event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self.half_closed(event)

    def _client_says(self, data: bytes) -> Commands:
        for seen in self._requests.add(data):
            if not self._judged:
                self._judged = True
                continue
            decision = self.door.request(self.flow, seen)
            if decision.how is not How.PASS:
                yield from self.refuse(decision)
                return
        yield commands.SendData(self.context.server, data[self._sent :])
        self._sent = 0
