"""A whole console in process: a log, an index that follows it, a compiled policy, the hub's parts; no sockets."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.testclient import TestClient

from enforcer.attempts.attempt import Attempt, Event
from enforcer.attempts.block import Recorded
from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.index import Index
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.attempts.keys import publish
from enforcer.attempts.log import DayLog
from enforcer.blocklists import compile_to
from enforcer.blocklists import load as load_lists
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.console.access import Access
from enforcer.console.app import make_app
from enforcer.console.cached import Cached
from enforcer.console.desk import Desk
from enforcer.console.policies import Policies
from enforcer.console.render import Renderer
from enforcer.console.site import Site
from enforcer.console.users import UsersFile
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.registry import NOBODY
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.hub.access import AccessLog
from enforcer.hub.marks import Marks
from enforcer.hub.visits import Visits
from enforcer.orders import Orders, encode_orders
from enforcer.part import Means
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.verdict import Layer
from tests.cli.site import CONFIG, LIST
from tests.records import BLOCK, NOON_MS, moment

RENDERER = Renderer()
NOTARY = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
MINUTE_MS = 60_000
HOST = "127.0.0.1:9311"
STATUS: Mapping[str, object] = {
    "log_sequence": 9,
    "index_lag": 0,
    "problems": ["dns-1: no heartbeat"],
    "processes": {"dns-0": {"kind": "dns", "pid": 7, "restarts": 1, "up": True}},
    "workers": {
        "dns-0": {"generation": 3, "heartbeat_ms": 1, "alive": True},
        "dns-1": {"generation": 2, "heartbeat_ms": 1, "alive": False},
    },
    "spool": {"dns-0": {"bytes": 5_000_000, "oldest_s": 0}},
    "pauses": [],
}
SESSIONS = [
    {
        "device": "dev-1",
        "group": "field",
        "realm": "lab",
        "addresses": ["10.20.0.5/32"],
        "since_ms": NOON_MS,
        "last_ms": NOON_MS + 1,
        "state": "open",
        "source": "radius",
    }
]
METRICS = """\
# TYPE enforcer_sink_lag_records gauge
enforcer_sink_lag_records{sink="siem"} 12
# TYPE enforcer_sink_lag_seconds gauge
enforcer_sink_lag_seconds{sink="siem"} 700
# TYPE enforcer_attempts_identified counter
enforcer_attempts_identified_total{source="radius"} 41
# TYPE enforcer_certificate_expiry_timestamp_seconds gauge
enforcer_certificate_expiry_timestamp_seconds{listener="dns-roam"} 1795953600
# TYPE enforcer_probe_last_success_timestamp_seconds gauge
enforcer_probe_last_success_timestamp_seconds{transport="udp",service="chat"} 0
"""
SURE = Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 3, Granularity.DEVICE)


def attempt(minute: int, device: str | None = "dev-1", count: int = 1, **block: object) -> Attempt:
    """A record so many minutes after noon."""
    at = NOON_MS + minute * MINUTE_MS
    owner = NOBODY if device is None else Owner(device, "field", SURE)
    client_ip = "192.0.2.1" if device is None else "10.20.0.5"
    changed = replace(BLOCK, **{"realm": "lab", **block})  # type: ignore[arg-type]
    where = (at, at, at + 5, "gw-1", "dns-0", 1, (minute << 32) + 1, (minute << 32) + count)
    return Attempt(*where, changed, client_ip, 40_000, owner)


ENTRIES: tuple[Attempt | Event, ...] = (
    Event("start", NOON_MS, "gw-1", {"version": "0.1.0"}),
    attempt(1),
    attempt(2, count=41, layer=Layer.TLS, response=None, qtype=None, rcode=None, ede=None, dest_ip="203.0.113.9"),
    attempt(
        3, "dev-2", service="talk", part="site", name="www.talk.test", evidence="web", rule="talk/suffix/talk.test"
    ),
    attempt(4, None, action=Recorded.OBSERVED, response=None, rcode=None, ede=None),
)


@dataclass
class Lab:
    """One site, and what was asked of the hub."""

    folder: Path
    config: Config
    site: Site
    app: Starlette
    log: DayLog
    writer: SqliteWriter
    now: list[datetime]
    away: bool = False
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def write(self, *entries: Attempt | Event) -> None:
        """Log and index."""
        self.log.append(entries, self.now[0])
        self.log.sync()
        self.follow()

    def sign(self) -> None:
        """Write a checkpoint into the log."""
        self.log.checkpoint(self.now[0])
        self.log.sync()
        self.follow()

    def follow(self) -> None:
        """Index what is in the log."""
        while self.writer.follow(self.log.synced, 1000):
            pass
        assert self.writer.trouble is None

    def client(self, address: str = "127.0.0.1", **headers: str) -> TestClient:
        """A browser that follows nothing by itself."""
        return TestClient(
            self.app,
            base_url=f"https://{HOST}",
            client=(address, 50_000),
            follow_redirects=False,
            headers={"sec-fetch-site": "same-origin", **headers},
            raise_server_exceptions=True,
        )

    def events(self, kind: str) -> list[Mapping[str, object]]:
        """The details of the events of a kind in the index, oldest first."""
        with self.site.index() as index:
            lines = index.events((kind,), 1000)
        return [line.entry.detail for line in reversed(lines) if isinstance(line.entry, Event)]

    def pass_time(self, **lasting: float) -> None:
        self.now[0] += timedelta(**lasting)


def settings(**console: object) -> dict[str, object]:
    """The configuration of a console, open to everybody here with every role, unless said otherwise."""
    everything = {"auth": "open", "open_roles": ["viewer", "reviewer", "operator", "auditor"], **console}
    return {**CONFIG, "console": everything}


def make_lab(
    folder: Path, values: Mapping[str, object], entries: Sequence[Attempt | Event] = ENTRIES, text: str = LIST
) -> Lab:
    """A console in a folder. text: of the list in force."""
    (folder / "chat.yaml").write_text(text)
    (folder / "devices.csv").write_text("id,group,addresses\ndev-1,field,10.20.0.5\n")
    (folder / "enforcer.yaml").write_text(json.dumps(values))
    config = load(folder / "enforcer.yaml")
    folders = Folders(config.data_dir)
    now = [moment(NOON_MS + 10 * MINUTE_MS)]
    folders.run.mkdir(parents=True)
    lists = load_lists(config.policy.lists, (), folder / "copies", now[0].date())
    policy = compile_to(folders.policy, lists.own, lists.third_party, PolicySettings(ban=config.policy.ban))
    folders.orders.write_bytes(encode_orders(Orders(1, policy.name)))
    log = DayLog(folders.log, NOTARY)
    publish(NOTARY, folders.log)
    writer = SqliteWriter(folders.index / "attempts.sqlite", folders.log)
    lab: list[Lab] = []

    def record(event: str, detail: Mapping[str, object]) -> None:
        lab[0].write(Event(event, int(now[0].timestamp() * 1000), "gw-1", detail))

    means = Means(config, folders, lambda: now[0], record, log)
    operations = {
        name: operation
        for part in (AccessLog(means), Marks(means), Visits(means))
        for name, operation in part.operations.items()
    }

    def ask(request: Mapping[str, object]) -> Mapping[str, object]:
        """The hub as far as its desk goes; of the rest, what was asked."""
        if lab[0].away:
            raise Unavailable("the hub does not answer")
        lab[0].asked.append(request)
        name = str(request["op"])
        if name == "status":
            return STATUS
        if name in {"reload", "pause", "resume"}:
            return {}
        if name == "sessions":
            return {"sessions": SESSIONS if request.get("device", "dev-1") in {"dev-1", "dev-5"} else [], "more": False}
        if name == "silent":
            return {"silent": [{"device": "dev-7", "group": None, "last_ms": NOON_MS}], "sources": True}
        if name not in operations:
            raise EnforcerError(f'"{name}" is no operation')

        async def answer() -> Mapping[str, object]:
            return await operations[name](json.loads(json.dumps(request)))

        answered = asyncio.run(answer())
        lab[0].follow()  # what the hub has written to the log by itself
        return answered

    def index() -> AbstractContextManager[Index]:
        return closing(SqliteIndex(folders.index / "attempts.sqlite"))

    assert config.console is not None
    users = UsersFile(config.console.users or folders.data / "console" / "users")
    access = Access(config.console, users, lambda: now[0])
    site = Site(
        settings=config.console,
        node=config.node,
        clock=lambda: now[0],
        config=lambda: config,
        index=index,
        policies=Policies(folders),
        desk=Desk(ask, lambda: METRICS),
        log=folders.log,
        access=access,
        renderer=RENDERER,
        cached=Cached(access.seconds),
    )
    lab.append(Lab(folder, config, site, make_app(site), log, writer, now))
    lab[0].write(*entries)
    return lab[0]
