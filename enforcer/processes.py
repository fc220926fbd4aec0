"""What each process is made of. Here things are put together, sockets bound, and the clock is read; nowhere else."""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from enforcer.attempts.spool import Spool
from enforcer.blocklists import compile_to, open_policy, shipped
from enforcer.blocklists import load as load_lists
from enforcer.config.load import check_services, load
from enforcer.config.model import Config, Demand, Listener, Outside, Strategy, ThirdParty, UnknownToken
from enforcer.config.values import Endpoint, Upstream
from enforcer.counters import Counters, word
from enforcer.decide.cache import Cache
from enforcer.decide.dns import Manners
from enforcer.decide.local import LocalRecords
from enforcer.devices.device import Binding
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.folders import Folders
from enforcer.hub.compiler import Compiled
from enforcer.hub.hub import Hub, Inputs
from enforcer.identity.inventory import read_inventory
from enforcer.orders import Orders, decode_orders
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.rules import Answer
from enforcer.policy.selftest import self_test, tried
from enforcer.policy.thirdparty import Format, Source
from enforcer.policy.verdict import Client
from enforcer.resolver.admission import Admission
from enforcer.resolver.clients import Directory, Realm
from enforcer.resolver.credentials import Credentials, TlsFiles
from enforcer.resolver.doh import DohPath
from enforcer.resolver.doors import Door
from enforcer.resolver.fast import UdpPath
from enforcer.resolver.handler import Clock, Conduct, Handler
from enforcer.resolver.listeners import StreamPath, TcpLimits, TcpPath, TlsPath
from enforcer.resolver.pace import Pace
from enforcer.resolver.upstream import Manner, Upstreams, nameservers
from enforcer.wire.doh import PATH as DOH_PATH
from enforcer.wire.name import Name
from enforcer.wire.svcb import service

RESOLV_CONF = Path("/etc/resolv.conf")
ORDERS_S = 0.2  # how often a worker looks whether its orders have changed
RECEIVE_BUFFER = 4 << 20
BACKLOG = 1024
DRAIN_S = 1.0

_log = logging.getLogger(__name__)


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000  # noqa: TID251 (the clock)


def utc_now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 (the clock)


CLOCK = Clock(wall_ms, time.monotonic)  # noqa: TID251 (the clock)


def make_hub(path: Path) -> Hub:
    """The hub of a configuration file. Raises Mistakes or Unavailable for what keeps it from starting."""
    return Hub(
        Inputs(
            config=lambda: load(path, shipped),
            bindings=bindings_of,
            policy=lambda config, now: compile_config(path, config, now),
        ),
        utc_now,
    )


def bindings_of(config: Config) -> tuple[Binding, ...]:
    """The static inventory that a configuration names; nothing without one."""
    inventory = config.identity.inventory
    return () if inventory is None else read_inventory(inventory.file, config.realms)


def compile_config(path: Path, config: Config, now: datetime) -> Compiled:
    """Compile what a configuration names into `data_dir/policy`, and see that it does what its lists say.

    path: the configuration's file, for mistakes in it. Raises Mistakes with everything that is wrong.
    """
    folders = Folders(config.data_dir)
    folder = folders.policy
    try:
        for private in (folders.data, folder):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Unavailable(f"{error.filename}: cannot be made ({error.strerror}); name another data_dir") from error
    sources = [source_of(each) for each in config.policy.third_party]
    lists = load_lists(config.policy.lists, sources, folder / "copies", now.date())
    for warning in lists.warnings:
        _log.warning("list event=warning %s", warning)
    file = compile_to(folder, lists.own, lists.third_party, settings_of(config))
    policy = open_policy(file)
    wrong = [*check_services(path, config, policy.services)]
    wrong += [
        Mistake(each.file, None, 'answer "sinkhole" has no address to give; write resolver.sinkhole in enforcer.yaml')
        for each in lists.own
        if each.answer is Answer.SINKHOLE and not config.resolver.sinkhole
    ]
    wrong += [Mistake(str(path), None, f"self-test: {failure}") for failure in self_test(policy)]
    if wrong:
        raise Mistakes(wrong)
    return Compiled(file.name, policy.services, policy.rules_by)


def settings_of(config: Config) -> PolicySettings:
    """What judging needs to know of a configuration."""
    return PolicySettings(
        answer=config.resolver.answer,
        ban=config.policy.ban,
        nat64=config.resolver.nat64,
        upstreams=tuple(
            str(upstream.address)
            for upstreams in (upstreams_of(config), *config.resolver.local.forward.values())
            for upstream in upstreams
        ),
    )


def source_of(third_party: ThirdParty) -> Source:
    """A third-party list of the configuration, as the reader of lists wants it."""
    return Source(
        name=third_party.list_name,
        file=str(third_party.file),
        service=third_party.service,
        part=third_party.part,
        evidence=third_party.evidence,
        format=Format(third_party.format.value),
        max_bad_lines=third_party.max_bad_lines,
    )


class DnsWorker:
    """One of the resolver's processes: `number` tells it from the others."""

    def __init__(self, config: Config, number: int) -> None:
        self._config = config
        self._folders = Folders(config.data_dir)
        name = f"dns-{number}"
        self._counters = Counters(self._folders.counters / name)
        workers = workers_of(config)
        self._spool = Spool(
            self._folders.spool / name,
            window_ms=round(config.attempts.aggregate_s * 1000),
            max_bytes=config.attempts.spool_max // workers,
        )
        self._cache = Cache(config.resolver.cache.max_bytes // workers, serve_stale=config.resolver.cache.serve_stale)
        self._directories: dict[str, Directory] = {}
        self._udp: list[UdpPath] = []
        self._streams: list[StreamPath] = []
        self._credentials: list[Credentials] = []
        self._servers: list[asyncio.Server] = []
        self._doors: list[Door] = []
        self._welcoming: list[asyncio.Task[None]] = []
        self._orders_seen = (0, 0)  # the file's inode and time: two orders can be written in one tick of its clock
        self._unusable = ""
        self._generation = -1

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. ready: called when every listener answers.

        Raises Unavailable when an address cannot be bound.
        """
        try:
            await self._run(ready)
        except* EnforcerError as group:
            raise group.exceptions[0] from None
        finally:
            for server in self._servers:
                server.close()
            for door in self._doors:
                door.close()
            for udp in self._udp:
                udp.sock.close()
            self._spool.close()
            self._counters.close()

    async def _run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        words = self._counters.words
        async with asyncio.TaskGroup() as tasks:
            manner, ca = manner_of(self._config), self._config.resolver.upstream_ca
            forward: dict[Name, Upstreams] = {}
            first = 0  # as the hub counts them: what is forwarded comes first, since `auto` has no labels
            for zone, targets in self._config.resolver.local.forward.items():
                forward[parse(zone)] = Upstreams(targets, manner, words, loop, tasks, ca=ca, first=first)
                first += len(targets)
            upstreams = Upstreams(upstreams_of(self._config), manner, words, loop, tasks, ca=ca, first=first)
            handler = self._handler(upstreams, forward)
            self._open_paths(handler)
            await self._first_orders(handler, stop)
            if not stop.is_set():
                handler.tick(wall_ms())  # which makes the first segment
                await self._listen(loop, tasks)
                gc.collect()
                gc.freeze()  # what the start made stays; it need not be looked through again
                ready()
                work = (self._follow_orders(handler), self._each_second(handler), self._sync())
                upkeep = [tasks.create_task(each) for each in work]
                await stop.wait()
                await self._drain(loop)
                for task in upkeep:
                    task.cancel()
            for each in (upstreams, *forward.values()):
                each.close()

    def _handler(self, upstreams: Upstreams, forward: Mapping[Name, Upstreams]) -> Handler:
        return Handler(
            conduct=conduct_of(self._config),
            cache=self._cache,
            upstreams=upstreams,
            forward=forward,
            spool=self._spool,
            words=self._counters.words,
            clock=CLOCK,
        )

    def _open_paths(self, handler: Handler) -> None:
        """Bind every socket now, so that a mistake shows before anything else happens; nothing is read yet."""
        words = self._counters.words
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
                        spool=self._spool,
                        words=words,
                        clock=CLOCK,
                        pace=pace_of(self._config),
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

    async def _listen(self, loop: asyncio.AbstractEventLoop, tasks: asyncio.TaskGroup) -> None:
        for udp in self._udp:
            loop.add_reader(udp.sock.fileno(), udp.readable)
        for door in self._doors:
            if door.is_plain:
                self._servers.append(await loop.create_server(door.path.connection, sock=door.sock, backlog=BACKLOG))
            else:
                door.sock.listen(BACKLOG)
                self._welcoming.append(tasks.create_task(door.serve(tasks)))

    async def _first_orders(self, handler: Handler, stop: asyncio.Event) -> None:
        """No policy, no answers: wait for the hub to have compiled one."""
        waited = 0.0
        while not stop.is_set() and not self._take_orders(handler):
            if waited == 0.0:
                _log.info("waiting event=no_orders file=%s", self._folders.orders)
            waited += ORDERS_S
            await asyncio.sleep(ORDERS_S)

    async def _follow_orders(self, handler: Handler) -> None:
        while True:
            await asyncio.sleep(ORDERS_S)
            self._take_orders(handler)

    def _take_orders(self, handler: Handler) -> bool:
        """Look whether there are new orders, and follow them; True when there are any in force."""
        path = self._folders.orders
        try:
            found = path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen == self._orders_seen:
                return self._generation >= 0
            orders = decode_orders(path.read_bytes())
            if orders.generation != self._generation:
                self._put_in_force(orders, handler)
        except FileNotFoundError:
            return self._generation >= 0
        except (EnforcerError, OSError) as error:
            if str(error) != self._unusable:  # said once, and tried again: what is missing may come
                self._unusable = str(error)
                _log.error("orders event=unusable error=%s", error)
            return self._generation >= 0
        for directory in self._directories.values():
            directory.follow(orders)
        for udp in self._udp:
            udp.follow(orders)
        self._orders_seen, self._unusable = seen, ""
        return True

    def _put_in_force(self, orders: Orders, handler: Handler) -> None:
        """Another generation: a policy, a configuration, or both. What needs a restart stays as it was."""
        policy = open_policy(self._folders.policy / orders.policy, verify=False)
        config = load(self._folders.accepted, files=False)
        if self._generation < 0:
            _warm_up(policy)
        handler.follow(policy, conduct_of(config))
        for listener in config.resolver.listeners:
            if listener.name in self._directories:
                self._directories[listener.name].serve(realms_of(config, listener))
        for udp in self._udp:
            udp.limit(pace_of(config))
        self._generation = orders.generation
        self._counters.words[word("worker_generation")] = orders.generation
        _log.info("policy event=in_force ruleset=%s generation=%d", orders.policy[:12], orders.generation)

    async def _each_second(self, handler: Handler) -> None:
        heartbeat = word("worker_heartbeat_milliseconds")
        while True:
            now_ms = wall_ms()
            self._counters.words[heartbeat] = now_ms
            handler.tick(now_ms)
            for stream in self._streams:
                stream.sweep()
            for credentials in self._credentials:
                credentials.follow()
            await asyncio.sleep(1)

    async def _sync(self) -> None:
        """Off the loop, because a disk may take its time; what a killed process leaves needs none of this."""
        while True:
            await asyncio.sleep(self._config.attempts.fsync_s)
            try:
                await asyncio.to_thread(self._spool.sync)
            except OSError as error:
                _log.error("spool event=sync_failed error=%s", error.strerror)

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
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
            loop.remove_reader(udp.sock.fileno())
            udp.readable()
            udp.sock.close()


def _warm_up(policy: Policy) -> None:
    """Judge everything once, so that no phone waits while a pattern is compiled."""
    client, now = Client("start"), utc_now()
    for each in policy.lists:
        for rule in each.rules:
            for destination in tried(rule):
                policy.judge(destination, client, now)


def conduct_of(config: Config) -> Conduct:
    """How the configuration wants the resolver to behave."""
    resolver = config.resolver
    return Conduct(
        manners=Manners(
            block_ttl=resolver.block_ttl,
            ede_code=resolver.ede.code,
            ede_text=config.ede_text,
            mname=parse(resolver.soa.mname),
            rname=parse(resolver.soa.rname),
            sinkhole=resolver.sinkhole,
            chaos=resolver.chaos,
            designated=designated_of(config),
        ),
        drop_outside=resolver.outside is Outside.DROP,
        name_clients=config.policy.notice.monitoring_notice_acknowledged,
        max_ttl=resolver.cache.max_ttl,
        local=LocalRecords(resolver.local.records),
    )


def realms_of(config: Config, listener: Listener) -> tuple[Realm, ...]:
    """The realms that ask at a listener."""
    return tuple(
        Realm(realm.name, realm.networks, realm.mode, realm.ech or config.resolver.ech)
        for realm in config.realms
        if listener.name in realm.listeners
    )


def credentials_of(listener: Listener) -> Credentials | None:
    """The TLS side of a listener; None where it has none. Raises Unavailable when its files cannot be used."""
    if listener.certificate is None or listener.key is None:
        return None
    files = TlsFiles(
        certificate=listener.certificate,
        key=listener.key,
        client_ca=listener.client_ca,
        client_required=listener.client_certificates is Demand.REQUIRED,
        tokens=listener.token_file,
    )
    admission = Admission(
        tokens=listener.tokens is not None,
        required=listener.tokens is Demand.REQUIRED,
        strictest=listener.unknown_token is UnknownToken.STRICTEST,
        name=listener.server_name,
    )
    return Credentials(listener.name, files, admission)


def designated_of(config: Config) -> dict[str, tuple[bytes, ...]]:
    """By realm, the encrypted ways to ask us that anybody there may take (RFC 9462 §4): DoH first, then DoT."""
    found: dict[str, tuple[bytes, ...]] = {}
    for realm in config.realms:
        ways: list[bytes] = []
        for listener in config.resolver.listeners:
            if listener.name not in realm.listeners or listener.server_name is None or listener.demands_proof:
                continue
            target = parse(listener.server_name)
            for endpoint, alpn, path in (
                (listener.https, ("h2", "http/1.1"), f"{DOH_PATH}{{?dns}}"),
                (listener.tls, ("dot",), None),
            ):
                if endpoint is not None:
                    hints = () if endpoint.address.is_unspecified else (endpoint.address,)
                    data = service(len(ways) + 1, target, alpn=alpn, port=endpoint.port, addresses=hints, dohpath=path)
                    ways.append(data)
        found[realm.name] = tuple(ways)
    return found


def pace_of(config: Config) -> Pace:
    """How fast the configuration lets one client ask."""
    limits = config.resolver.limits
    return Pace(limits.per_client_qps, limits.burst, limits.trusted_forwarders)


def workers_of(config: Config) -> int:
    """How many DNS workers a configuration asks for."""
    return config.resolver.workers or len(os.sched_getaffinity(0))


def upstreams_of(config: Config) -> tuple[Upstream, ...]:
    """The upstreams: as configured, else this machine's own name servers but for ourselves."""
    upstreams = config.resolver.upstreams
    if not upstreams:
        ours = [endpoint for listener in config.resolver.listeners for _, endpoint in listener.endpoints]
        upstreams = tuple(
            upstream
            for upstream in map(Upstream, nameservers(_text(RESOLV_CONF)))
            if not any(upstream.reaches(endpoint) for endpoint in ours)
        )
    return upstreams


def manner_of(config: Config) -> Manner:
    """How the configuration wants upstreams asked."""
    resolver = config.resolver
    timeouts = resolver.timeouts
    strategy = resolver.strategy
    return Manner(
        fastest=strategy is Strategy.FASTEST,
        parallel=strategy is Strategy.PARALLEL,
        attempt_s=timeouts.attempt_s,
        query_s=timeouts.query_s,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def tcp_socket(endpoint: Endpoint) -> socket.socket:
    """A TCP socket that several workers share, bound. Raises Unavailable when it cannot be."""
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        sock.close()
        raise Unavailable(f"{endpoint}: cannot listen on TCP ({error.strerror})") from error
    return sock


def udp_socket(endpoint: Endpoint) -> socket.socket:
    """A UDP socket that several workers share. Raises Unavailable when it cannot be bound."""
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        sock.close()
        raise Unavailable(f"{endpoint}: cannot listen on UDP ({error.strerror})") from error
    return sock
