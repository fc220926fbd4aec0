"""mitmproxy's connection handler, told what a gate needs and no more.

The same layers and hooks; but it calls our addon instead of going through every addon each time, looks at options that
do not change instead of copying them, stays in the task that asyncio made for the connection, and has none that waits
for idleness: whoever says nothing for too long is found once in a while.
"""

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Literal, Protocol

from mitmproxy.connection import Client, ConnectionState
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO, TimeoutWatchdog
from mitmproxy.proxy.server_hooks import (
    ServerConnectedHook,
    ServerConnectErrorHook,
    ServerConnectHook,
    ServerConnectionHookData,
    ServerDisconnectedHook,
)

from enforcer.proxy.layers import Shut, where

_NOBODY_ASKS = (ServerConnectedHook, ServerConnectErrorHook, ServerDisconnectedHook)

type Top = Callable[[Context], layer.Layer]

_AT_ONCE = 5  # connections that one client's connection may be opening to one server
_numbers = itertools.count()

_log = logging.getLogger(__name__)


class Settled(Options):
    """Options as they were when the proxy started."""

    def __init__(self, options: Options) -> None:  # not the parent's: nothing here can be set
        self.__dict__["settled"] = {
            name: getattr(options, name, None)
            for name in ("tcp_timeout", "connection_strategy", "proxy_debug", "http2", "http3", "show_ignored_hosts")
        }

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__["settled"][name]
        except KeyError:
            raise AttributeError(name) from None


class Asked(Protocol):
    """Who is asked about a connection."""

    def client_connected(self, client: Client) -> None:
        """A connection has come."""

    def client_disconnected(self, client: Client) -> None:
        """It has ended."""

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """Before any connection is made."""


class Idle(TimeoutWatchdog):
    """Remembers when something was said last, in the loop's seconds."""

    def __init__(self) -> None:  # not the parent's: nothing waits here
        self._now = asyncio.get_running_loop().time
        self.last_activity = self._now()

    def register_activity(self) -> None:
        """Something was said."""
        self.last_activity = self._now()

    async def watch(self) -> None:
        """Nothing: see `Handler.end_if_idle`."""

    @contextmanager
    def disarm(self) -> Iterator[None]:
        """Nothing to disarm."""
        yield


class Handler(ProxyConnectionHandler):
    """One connection of a client, and those to servers on its behalf. top: makes the layer that judges it."""

    timeout_watchdog: Idle

    def __init__(
        self,
        asked: Asked,
        top: Top,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        *,
        master: Master,
        options: Settled,
        mode: ProxyMode,
    ) -> None:
        # Not the parents': they make a layer that is never asked, a name for a log that is never written, and ids out
        # of the randomness of the system.
        reader, writer = streams
        self.master, self._asked, self._top = master, asked, top
        self.client = Client(
            id=f"{next(_numbers)}",
            peername=writer.get_extra_info("peername"),
            sockname=writer.get_extra_info("sockname"),
            timestamp_start=0.0,
            proxy_mode=mode,
            state=ConnectionState.OPEN,
        )
        self.context = Context(self.client, options)
        self.transports = {self.client: ConnectionIO(reader=reader, writer=writer)}
        self.max_conns = defaultdict(partial(asyncio.Semaphore, _AT_ONCE))
        self.wakeup_timer = set()
        self.timeout_watchdog = Idle()
        self._server_event_lock, self._drain_lock = asyncio.Lock(), asyncio.Lock()

    async def handle_client(self) -> None:
        """Carry the connection from its start to its end, in the task that it was accepted in."""
        client = self.client
        self._asked.client_connected(client)
        if client.error is None:
            self.layer = self._topmost()
            self.transports[client].handler = asyncio.current_task()
            await self.server_event(events.Start())
            await self._carry(client)
        ours = self.transports.pop(client, None)
        if ours is not None and ours.writer is not None:
            ours.writer.close()
        for timer in self.wakeup_timer:
            timer.cancel()
        self._asked.client_disconnected(client)
        others = [each.handler for each in self.transports.values() if each.handler is not None]
        for other in others:
            other.cancel("client disconnected")
        if others:
            await asyncio.wait(others)  # they end also when a layer has closed us twice, and this is cancelled

    async def _carry(self, client: Client) -> None:
        try:
            await self.handle_connection(client)
        except asyncio.CancelledError:
            pass  # so a connection is closed
        except Exception:  # noqa: BLE001 (whatever it is: the connection has ended)
            self.log("connection handler has crashed", logging.ERROR, exc_info=True)

    def _topmost(self) -> layer.Layer:
        try:
            return self._top(self.context)
        except Exception as error:  # noqa: BLE001 (whatever it is: the connection closes)
            _log.error("flow event=failed %s", where(error))
            return Shut(self.context)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Ask our addon; of what it has no interest in, nobody; of everything else, whoever there is."""
        if isinstance(hook, ServerConnectHook):
            await self._asked.server_connect(hook.data)
        elif not isinstance(hook, _NOBODY_ASKS):
            await super().handle_hook(hook)

    def log(
        self,
        message: str,
        level: int = logging.INFO,
        exc_info: Literal[True] | tuple[type[BaseException], BaseException, TracebackType | None] | None = None,
    ) -> None:
        """Errors alone."""
        if level >= logging.ERROR:
            super().log(message, level, exc_info)

    def end_if_idle(self, seconds: float) -> None:
        """Close the connection when nothing has been said for so long."""
        now = asyncio.get_running_loop().time()
        if now - self.timeout_watchdog.last_activity > seconds and self.client in self.transports:
            self.close_connection(self.client)
