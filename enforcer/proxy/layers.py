"""What all our layers are: guarded, so that a mistake of ours closes a connection and never lets it pass.

mitmproxy's layers take events and give commands; no socket is touched here.
"""

import logging
from collections.abc import Callable
from pathlib import PurePath

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import ClientTLSLayer

from enforcer.decide.flow import Opening
from enforcer.proxy.door import Decision, Door, Flow, How

LINGER_S = 2.0  # what a client still sends is swallowed so long, since closing earlier could lose what it was sent
LINGER_MAX = 1 << 20  # octets of that

type Commands = layer.CommandGenerator[None]

_log = logging.getLogger(__name__)


class Guarded(layer.Layer):
    """A layer of one flow. An exception in it ends the flow."""

    def __init__(self, context: Context, door: Door, flow: Flow) -> None:
        super().__init__(context)
        self.door, self.flow = door, flow

    def handle_event(self, event: events.Event) -> Commands:
        """As `Layer.handle_event`, whatever goes wrong in it."""
        try:
            yield from super().handle_event(event)
        except Exception as error:  # noqa: BLE001 (whatever it is: nothing may pass that was not judged)
            _log.error("flow event=failed %s", where(error))
            self.door.failed(self.flow)
            yield from self.become(Shut(self.context), event if isinstance(event, events.Start) else events.Wakeup)

    def become(self, child: layer.Layer, *told: events.Event | type[events.Event]) -> Commands:
        """Give everything that comes to another layer. told: what it is to know at once; Wakeup: to act at once."""
        self.handle_event = child.handle_event  # type: ignore[method-assign]
        self._handle_event = child.handle_event  # type: ignore[method-assign]  # for who keeps our old one
        for event in told:
            yield from child.handle_event(_NOW if isinstance(event, type) else event)

    def shut(self) -> Commands:
        """Close both connections."""
        yield from closed(self.context)
        yield from self.become(Over(self.context))

    def half_closed(self, event: events.ConnectionClosed) -> Commands:
        """One side has nothing more to say; the other may still have."""
        client, server = self.context.client, self.context.server
        if not (client.state | server.state) & ConnectionState.CAN_READ:
            yield from self.shut()
        else:
            yield commands.CloseTcpConnection(server if event.connection is client else client, half_close=True)

    def refuse(self, decision: Decision, held: bytes = b"") -> Commands:
        """End the flow as was decided. held: what the client has sent."""
        if decision.page is not None:
            page = Page(self.context, decision.page)
            yield from self.become(page, events.Start(), events.DataReceived(self.context.client, held))
        elif decision.how is How.SILENCE:
            yield from self.become(Over(self.context))
        elif decision.how is How.PAGE:
            yield from self.become(Farewell(self.context, decision.octets), events.Start())
        else:
            if decision.how is How.RESET and self.flow.reset is not None:
                self.flow.reset()
            if decision.octets:
                yield commands.SendData(self.context.client, decision.octets)
            yield from self.shut()


_NOW = events.Wakeup(commands.RequestWakeup(0))


class Over(layer.Layer):
    """Nothing happens any more."""

    def _handle_event(self, event: events.Event) -> Commands:  # noqa: ARG002 (whatever it is)
        yield from ()


class Shut(layer.Layer):
    """Closes both connections; at the start a moment later, because mitmproxy cannot close what is not yet set up."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield commands.RequestWakeup(0)
        else:
            yield from closed(self.context)


class Farewell(layer.Layer):
    """Sends its last words, then swallows what the client has still to say, within limits, and closes.

    Without that a client in the middle of a large body would be reset before it has read the page.
    """

    def __init__(self, context: Context, octets: bytes) -> None:
        super().__init__(context)
        self._octets = octets
        self._left = LINGER_MAX

    def _handle_event(self, event: events.Event) -> Commands:
        client, server = self.context.client, self.context.server
        if isinstance(event, events.Start):
            if server.state is not ConnectionState.CLOSED:
                yield commands.CloseConnection(server)
            yield commands.SendData(client, self._octets)
            yield commands.CloseTcpConnection(client, half_close=True)
            yield commands.RequestWakeup(LINGER_S)
            return
        if isinstance(event, events.DataReceived) and event.connection is client:
            self._left -= len(event.data)
            if self._left > 0:
                return
        elif isinstance(event, events.ConnectionEvent) and event.connection is not client:
            return
        yield from closed(self.context)


class Page(layer.Layer):
    """The page inside of the client's TLS, whose first request is answered with it, whatever it is."""

    def __init__(self, context: Context, write: Callable[[str | None], bytes]) -> None:
        super().__init__(context)
        self._tls = ClientTLSLayer(context)
        self._tls.child_layer = _Answer(context, write)

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self._tls.handle_event(event)


class _Answer(layer.Layer):
    def __init__(self, context: Context, write: Callable[[str | None], bytes]) -> None:
        super().__init__(context)
        self._write = write

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            asked = Opening().add(event.data)
            yield commands.SendData(self.context.client, self._write(None if asked is None else asked.languages))
            yield commands.CloseConnection(self.context.client)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)


def closed(context: Context) -> Commands:
    """Close what is open of a connection's two ends."""
    if context.server.state is not ConnectionState.CLOSED:
        yield commands.CloseConnection(context.server)
    yield commands.CloseConnection(context.client)


def where(error: BaseException) -> str:
    """An error's class and place, without its text, which could hold names or octets of a connection."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = "" if trace is None else f" at={PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"error={type(error).__name__}{at}"
