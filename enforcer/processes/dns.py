"""The resolver's process."""

import asyncio
import gc
from collections.abc import Mapping
from functools import partial

from enforcer.config.model import Config
from enforcer.config.resolver import Listener
from enforcer.config.values import Endpoint
from enforcer.decide.cache import Cache
from enforcer.orders import Orders
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.processes.clock import CLOCK
from enforcer.processes.settings import (
    conduct_of,
    credentials_of,
    manner_of,
    pace_of,
    realms_of,
    workers_of,
)
from enforcer.processes.sockets import more_files, tcp_socket, udp_socket
from enforcer.processes.upstreams import upstreams_of
from enforcer.processes.worker import Kit, Worker
from enforcer.resolver.clients import Directory
from enforcer.resolver.credentials import Credentials
from enforcer.resolver.doh import DohPath
from enforcer.resolver.doors import Door
from enforcer.resolver.fast import UdpPath
from enforcer.resolver.handler import Handler
from enforcer.resolver.listeners import StreamPath, TcpLimits, TcpPath, TlsPath
from enforcer.resolver.upstream import Upstreams
from enforcer.wire.name import Name

BACKLOG = 1024
DRAIN_S = 1.0
# When to look for garbage in cycles: so many objects more than before; so many times of that; so many times of these.
# What a query leaves is in no cycle, and to look through a full cache takes 0.2 s, in which nobody is answered.
COLLECT_AFTER = (5_000, 5, 100)


def dns_worker(config: Config, number: int) -> Worker:
    """One of the resolver's processes."""
    return Worker(config, "dns", number, Resolver)


class Resolver:
    """Answers at every listener."""

    def __init__(self, config: Config, kit: Kit) -> None:
        self._config, self._kit = config, kit
        cache, workers = config.resolver.cache, workers_of(config)
        self._cache = Cache(cache.max_bytes // workers, serve_stale=cache.serve_stale)
        self._directories: dict[str, Directory] = {}
        self._udp: list[UdpPath] = []
        self._streams: list[StreamPath] = []
        self._credentials: list[Credentials] = []
        self._servers: list[asyncio.Server] = []
        self._doors: list[Door] = []
        self._welcoming: list[asyncio.Task[None]] = []
        self._asked: tuple[Upstreams, ...] = ()

    def bind(self, tasks: asyncio.TaskGroup) -> None:
        """Bind every socket."""
        more_files()
        loop, words = asyncio.get_running_loop(), self._kit.words
        manner, ca = manner_of(self._config), self._config.resolver.upstream_ca
        forward: dict[Name, Upstreams] = {}
        first = 0  # as the hub counts them: what is forwarded comes first, since `auto` has no labels
        for zone, targets in self._config.resolver.local.forward.items():
            forward[parse(zone)] = Upstreams(targets, manner, words, loop, tasks, ca=ca, first=first)
            first += len(targets)
        upstreams = Upstreams(upstreams_of(self._config), manner, words, loop, tasks, ca=ca, first=first)
        self._asked = (upstreams, *forward.values())
        self._handler = self._make_handler(upstreams, forward)
        self._open_paths(self._handler)

    def judge_by(self, policy: Policy, config: Config) -> None:
        """Answer so from now on. What needs a restart stays as it was."""
        self._handler.follow(policy, conduct_of(config))
        for listener in config.resolver.listeners:
            if listener.name in self._directories:
                self._directories[listener.name].serve(realms_of(config, listener))
        for udp in self._udp:
            udp.limit(pace_of(config))

    def follow(self, orders: Orders) -> None:
        """Forget what was rendered under other orders."""
        for directory in self._directories.values():
            directory.follow(orders)
        for udp in self._udp:
            udp.follow(orders)

    async def listen(self, tasks: asyncio.TaskGroup) -> None:
        """Answer whoever asks."""
        loop = asyncio.get_running_loop()
        gc.set_threshold(*COLLECT_AFTER)
        for udp in self._udp:
            loop.add_reader(udp.sock.fileno(), udp.readable)
        for door in self._doors:
            if door.is_plain:
                self._servers.append(await loop.create_server(door.path.connection, sock=door.sock, backlog=BACKLOG))
            else:
                door.sock.listen(BACKLOG)
                self._welcoming.append(tasks.create_task(door.serve(tasks)))

    def tick(self, now_ms: int) -> None:
        """Let the spool age, idle connections end, and certificates be read again."""
        self._handler.tick(now_ms)
        for stream in self._streams:
            stream.sweep()
        for credentials in self._credentials:
            credentials.follow()

    async def drain(self) -> None:
        """Give upstreams a moment for what was asked; the kernel sends us UDP until the socket is closed."""
        for server in self._servers:
            server.close()
        for welcoming in self._welcoming:
            welcoming.cancel()
        for door in self._doors:
            door.close()
        await asyncio.sleep(DRAIN_S)
        for stream in self._streams:
            stream.close()
        for udp in self._udp:
            asyncio.get_running_loop().remove_reader(udp.sock.fileno())
            udp.readable()
            udp.sock.close()

    def release(self) -> None:
        """Close the connections to upstreams."""
        for each in self._asked:
            each.close()

    def close(self) -> None:
        """Close every socket."""
        for server in self._servers:
            server.close()
        for door in self._doors:
            door.close()
        for udp in self._udp:
            udp.sock.close()

    def _make_handler(self, upstreams: Upstreams, forward: Mapping[Name, Upstreams]) -> Handler:
        return Handler(
            conduct=conduct_of(self._config),
            cache=self._cache,
            upstreams=upstreams,
            forward=forward,
            spool=self._kit.spool,
            words=self._kit.words,
            clock=CLOCK,
        )

    def _open_paths(self, handler: Handler) -> None:
        words = self._kit.words
        limits = self._config.resolver.limits
        most = TcpLimits(limits.tcp_clients, limits.tcp_per_client, limits.tcp_idle_s)
        for listener in self._config.resolver.listeners:
            directory = Directory(realms_of(self._config, listener))
            self._directories[listener.name] = directory
            if listener.udp is not None:
                sock = udp_socket(listener.udp)
                self._udp.append(
                    UdpPath(
                        sock,
                        directory=directory,
                        handler=handler,
                        spool=self._kit.spool,
                        words=words,
                        clock=CLOCK,
                        pace=pace_of(self._config),
                        soon=asyncio.get_running_loop().call_soon,
                    )
                )
            if listener.tcp is not None:
                self._open(listener, listener.tcp, TcpPath(directory, handler, words, CLOCK, most))
            credentials = credentials_of(listener)
            if credentials is not None:
                self._credentials.append(credentials)
            if credentials is not None and listener.tls is not None:
                self._open(
                    listener, listener.tls, TlsPath(directory, handler, words, CLOCK, most, credentials=credentials)
                )
            if credentials is not None and listener.https is not None:
                self._open(
                    listener, listener.https, DohPath(directory, handler, words, CLOCK, most, credentials=credentials)
                )

    def _open(self, listener: Listener, endpoint: Endpoint, path: StreamPath) -> None:
        self._streams.append(path)
        context = None if path.credentials is None else partial(path.credentials.context, path.transport)
        sock = tcp_socket(endpoint)
        self._doors.append(Door(sock, path, context=context, front_ends=listener.proxy_protocol_from))
