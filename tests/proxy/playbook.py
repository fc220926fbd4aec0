"""mitmproxy's layers without sockets: events in, commands out; a door with a policy of a few names before them."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode

from enforcer.attempts.block import Entry, decode_entry
from enforcer.attempts.ledger import Ledger
from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.clients import Realm
from enforcer.counters import Counters, word
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Mode, Transport
from enforcer.proxy.door import Door, Flow, Rules
from tests.policy.made import a_list, a_policy

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PHONE, WATCHED, STRANGER = "10.20.0.7", "10.30.0.7", "192.0.2.99"
SERVER, BANNED_SERVER = "198.51.100.10", "203.0.113.66"
MODE = "transparent@127.0.0.1:5081"
MMTLS = bytes.fromhex("16f10400a10000009d0104f10100a8") + bytes(0xA6 - 15)
REALMS = (
    Realm("office", (ip_network("10.20.0.0/16"), ip_network("2001:db8:20::/48")), Mode.ENFORCE),
    Realm("watched", (ip_network("10.30.0.0/16"),), Mode.MONITOR),
)
RULES = ("suffix: banned.test", "cidr: 203.0.113.64/26", "fingerprint: mmtls", "http_path: /mmtls/")


def policy(*more: str) -> Policy:
    return a_policy(a_list(*RULES, *more))


def rules(**changes: object) -> Rules:
    values: dict[str, object] = {"realms": REALMS, "name_clients": True, "node": "gw-1", **changes}
    return Rules(**values)  # type: ignore[arg-type]


@dataclass
class Site:
    """A door on its own folder. moment: what time it is."""

    folder: Path
    moment: datetime = NOW
    rules: Rules = field(default_factory=rules)

    def __post_init__(self) -> None:
        self.spool = Spool(self.folder / "spool", window_ms=60_000, max_bytes=1 << 30, capacity=64, heap=1 << 16)
        self.counters = Counters(self.folder / "counters")
        self.door = Door(Ledger(self.spool), self.counters.words, lambda: self.moment, lambda: 0.0)
        self.door.judge_by(policy(), self.rules)

    def pass_time(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    @property
    def recorded(self) -> list[tuple[Entry, int]]:
        """Every row of the spool with its count."""
        found = []
        for _, path in segments(self.spool.folder):
            segment = Segment(path)
            for index in range(segment.used):
                row = segment.row(index)
                found.append((decode_entry(row.entry), row.count))
            segment.close()
        return found

    def counted(self, layer_: str, verdict: str) -> int:
        return int(self.counters.words[word("proxy_connections", layer_, verdict)])

    def close(self) -> None:
        self.spool.close()
        self.counters.close()


def flow(source: str = PHONE, to: str | None = SERVER, port: int = 443, transport: Transport = Transport.TCP) -> Flow:
    return Flow(ip_address(source), 50_000, MODE, transport, None if to is None else ip_address(to), port)


def context(of: Flow, mode: str = MODE) -> Context:
    client = Client(
        peername=(str(of.ip), of.source_port),
        sockname=(str(of.address or "127.0.0.1"), of.port or 5080),
        timestamp_start=0.0,
        state=ConnectionState.OPEN,
        proxy_mode=ProxyMode.parse(mode),
        transport_protocol=of.transport.value,
    )
    made = Context(client, Options())
    made.server.address = None if of.address is None else (str(of.address), of.port)
    return made


@dataclass
class Play:
    """One flow through a layer. reachable: what becomes of each attempt to connect; None is success."""

    layer: layer.Layer
    context: Context
    reachable: Callable[[Server], str | None] = lambda _: None
    given: list[commands.Command] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tell(events.Start())

    def tell(self, *told: events.Event) -> "Play":
        waiting = list(told)
        while waiting:
            for command in self.layer.handle_event(waiting.pop(0)):
                self.given.append(command)
                if isinstance(command, commands.OpenConnection):
                    server = command.connection
                    assert isinstance(server, Server)
                    error = self.reachable(server)
                    server.timestamp_start = 1.0
                    server.state = ConnectionState.OPEN if error is None else ConnectionState.CLOSED
                    waiting.insert(0, events.OpenConnectionCompleted(command, error))
                elif isinstance(command, commands.StartHook) and command.blocking:
                    waiting.insert(0, events.HookCompleted(command))
                elif isinstance(command, commands.CloseTcpConnection) and command.half_close:
                    command.connection.state &= ~ConnectionState.CAN_WRITE
                elif isinstance(command, commands.CloseConnection):
                    command.connection.state = ConnectionState.CLOSED
        return self

    def client(self, *data: bytes) -> "Play":
        for each in data:
            self.tell(events.DataReceived(self.context.client, each))
        return self

    def server(self, *data: bytes) -> "Play":
        for each in data:
            self.tell(events.DataReceived(self.context.server, each))
        return self

    def ends(self, connection: Connection) -> "Play":
        connection.state &= ~ConnectionState.CAN_READ
        return self.tell(events.ConnectionClosed(connection))

    def wake(self) -> "Play":
        """The time has passed that it waits for."""
        return self.tell(events.Wakeup(commands.RequestWakeup(0)))

    def sent(self, connection: Connection) -> bytes:
        return b"".join(c.data for c in self.given if isinstance(c, commands.SendData) and c.connection is connection)

    @property
    def to_client(self) -> bytes:
        return self.sent(self.context.client)

    @property
    def to_server(self) -> bytes:
        return b"".join(
            c.data for c in self.given if isinstance(c, commands.SendData) and isinstance(c.connection, Server)
        )

    @property
    def connected(self) -> list[tuple[str, int] | None]:
        return [c.connection.address for c in self.given if isinstance(c, commands.OpenConnection)]

    @property
    def closed(self) -> bool:
        return self.context.client.state is ConnectionState.CLOSED


def hello(name: str | None, alpn: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    """A ClientHello of Python's own TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def splits(data: bytes) -> list[list[bytes]]:
    """The same octets whole, in halves, in sevens and one by one."""
    sizes = (len(data), len(data) // 2 + 1, 7, 1)
    return [[data[at : at + size] for at in range(0, len(data), size)] for size in sizes]
