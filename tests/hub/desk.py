"""What a part of the hub is tested with: a log with a real key, a clock that is set, and what it has recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.attempt import Event
from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.keys import publish
from enforcer.attempts.log import DayLog
from enforcer.devices.registry import Registry
from enforcer.folders import Folders
from enforcer.part import Means
from tests.processes.site import Site
from tests.records import NOON_MS, logged, moment

NOTARY = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
DAY_MS = 86_400_000


@dataclass
class Desk:
    """A hub's means without a hub."""

    folder: Path
    now_ms: int = NOON_MS
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "desk").mkdir(exist_ok=True)
        config = Site(self.folder / "desk").config
        attempts = config.attempts.model_copy(update=dict(self.settings))
        self.config = config.model_copy(update={"attempts": attempts, "node": "gw"})
        self.folders = Folders(self.folder / "data")
        self.log = DayLog(self.folders.log, NOTARY)
        publish(NOTARY, self.folders.log)
        self.registry = Registry()
        self.means = Means(self.config, self.folders, self.clock, self.record, self.log, registry=self.registry)

    def clock(self) -> datetime:
        return moment(self.now_ms)

    def record(self, event: str, detail: Mapping[str, object]) -> None:
        self.log.append([Event(event, self.now_ms, "gw", detail)], self.clock())

    def lines(self, kind: str) -> list[dict[str, object]]:
        return [line for line in logged(self.folders.log) if line["type"] == kind]

    def events(self, event: str) -> list[dict[str, object]]:
        return [line["detail"] for line in self.lines("event") if line["event"] == event]  # type: ignore[misc]
