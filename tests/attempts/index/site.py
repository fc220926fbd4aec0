"""A log and an index that follows it, in whichever database."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from enforcer.attempts.attempt import Attempt, Event
from enforcer.attempts.index import Filter, Index, Place
from enforcer.attempts.index.postgres import PostgresWriter
from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.attempts.log import DayLog
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.registry import NOBODY
from tests.records import BLOCK, NOON_MS, moment

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
RADIUS = Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 3, Granularity.DEVICE)

type Writer = SqliteWriter | PostgresWriter
type Open[W: Writer] = Callable[[Path, Path], W]


def attempt(
    number: int, count: int = 1, device: str | None = None, at_ms: int | None = None, **block: object
) -> Attempt:
    """Row `number` of a segment, that many hours after noon."""
    at = NOON_MS + number * HOUR_MS if at_ms is None else at_ms
    owner = NOBODY if device is None else Owner(device, "team", RADIUS)
    changed = replace(BLOCK, **block)  # type: ignore[arg-type]
    return Attempt(
        at, at, at + 5, "gw", "dns-0", 1, number << 32 | 1, (number << 32) + count, changed, "192.0.2.1", 7, owner
    )


class Site[W: Writer]:
    """A log in a folder, and the index of one database."""

    def __init__(self, folder: Path, opened: Open[W]) -> None:
        self.log = DayLog(folder / "log")
        self.path = folder / "index" / "attempts.sqlite"
        self._opened = opened
        self.open()

    def open(self) -> None:
        self.index = self._opened(self.path, self.log.folder)

    def write(self, *entries: Attempt | Event, at_ms: int = NOON_MS) -> None:
        self.log.append(entries, moment(at_ms))
        self.log.sync()

    def follow(self, limit: int = 1000) -> int:
        return self.index.follow(self.log.synced, limit)

    def show(self, *entries: Attempt | Event) -> Index:
        """Log and index these."""
        self.write(*entries)
        while self.follow():
            pass
        assert self.index.trouble is None
        return self.index

    def close(self) -> None:
        self.index.close()
        self.log.close()


def found(
    index: Index, limit: int = 100, older: Place | None = None, newer: Place | None = None, **which: object
) -> list[int]:
    """The rows of what is found."""
    lines = index.find(Filter(**which), limit, older=older, newer=newer)  # type: ignore[arg-type]
    return [line.entry.first >> 32 for line in lines if isinstance(line.entry, Attempt)]
