"""Questions to the log, answered fast: a database that follows it and can be made again from it at any time.

Commands, console and API ask through `Index` alone, whatever database is behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Protocol

from enforcer.attempts.attempt import Line


class By(StrEnum):
    """What counts can be split by."""

    SERVICE = "service"
    PART = "part"
    EVIDENCE = "evidence"
    LAYER = "layer"
    ACTION = "action"
    NAME = "name"
    RULE = "rule"
    REALM = "realm"
    DEVICE = "device"
    GROUP = "group"
    SOURCE = "source"
    DAY = "day"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which attempts are asked for; None does not narrow. Times in ms since 1970, `until` exclusive.

    name: this name and everything below it.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    service: str | None = None
    part: str | None = None
    evidence: str | None = None
    layer: str | None = None
    action: str | None = None
    realm: str | None = None
    device: str | None = None
    group: str | None = None
    client_ip: str | None = None
    name: str | None = None
    rule: str | None = None


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a line stands among all, by its time and its number: where a page ended or began."""

    time_ms: int
    seq: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many attempts, in how many lines; key is None where the record has none."""

    key: str | None
    attempts: int
    lines: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Attempts of one stretch of time that begins at `start_ms`; key: what they are split by."""

    start_ms: int
    key: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class TopDevices:
    """Attempts by device and service of those that tried most, and by service of all the rest."""

    top: Mapping[tuple[str, str], int]
    rest: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose attempts are one incident: a device; else, where none is known, an address in its realm."""

    device: str | None
    realm: str | None = None
    client_ip: str | None = None


class Review(StrEnum):
    """What a reviewer has said of an incident; open where nobody has said anything."""

    OPEN = "open"
    EXPLAINED = "explained"
    ESCALATED = "escalated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest mark on an incident. who: as the hub was told; seq: the line of the log that says so."""

    state: Review
    note: str
    who: str
    time_ms: int
    seq: int


@dataclass(frozen=True, slots=True)
class Fold:
    """All attempts of one subject and service that agree in part, layer, action and evidence.

    group: the newest that is known. first_ms: the first attempt that is still indexed.
    """

    subject: Subject
    service: str
    group: str | None
    part: str
    layer: str
    action: str
    evidence: str
    attempts: int
    lines: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of a subject's attempts at a service, as far as it matters for their order in time."""

    layer: str
    time_ms: int
    last_ms: int
    count: int


class Index(Protocol):
    """What can be asked. May be called from any thread, one call at a time; raises Unavailable."""

    def find(
        self, which: Filter, limit: int, *, older: Place | None = None, newer: Place | None = None
    ) -> Sequence[Line]:
        """The newest attempts that match, newest first.

        older: the newest of those before this place, the next page. newer: the oldest of those behind this
        place, the page before; newest first as well. Not both.
        """

    def get(self, id: str) -> Line | None:  # noqa: A002 - the record's word
        """One attempt by its id."""

    def numbered(self, seq: int) -> Line | None:
        """One attempt by its number in the log; None also for a line that is an event."""

    def events(
        self,
        kinds: Collection[str] = (),
        limit: int = 100,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        older: Place | None = None,
        newer: Place | None = None,
    ) -> Sequence[Line]:
        """Events of some kinds, or of all, paged as `find` does it."""

    def stats(self, by: By, which: Filter, limit: int | None = None) -> Sequence[Count]:
        """Attempts that match, split by a column, the most first. limit: no more than so many."""

    def histogram(self, which: Filter, bucket_ms: int, by: By | None = None) -> Sequence[Bucket]:
        """Attempts by time, in buckets counted from 1970 in UTC, oldest first; empty ones are left out."""

    def heat_map(self, which: Filter, zone: tzinfo = UTC) -> Mapping[tuple[int, int], int]:
        """Attempts by weekday (0 is Monday) and hour of a time zone; empty hours are left out."""

    def values(self, by: By, limit: int = 1000) -> Sequence[str]:
        """What there is of a column, for a menu, in alphabetical order."""

    def totals(self) -> Mapping[tuple[str, str, str, str], int]:
        """All attempts ever indexed by service, layer, action and source of identity."""

    def devices_attempting(self, since_ms: int) -> Mapping[str, int]:
        """How many different devices tried, by service."""

    def top_devices(self, devices: int, since_ms: int) -> TopDevices:
        """The devices that tried most."""

    def folds(self, which: Filter, states: Collection[Review] = (), limit: int = 50, skip: int = 0) -> Sequence[Fold]:
        """The folds of incidents, the incident seen last first; all folds of one stand together.

        Of the filter, service, device, group, realm and client_ip narrow, and the times: seen at or after
        `since`, and for the first time before `until`. limit, skip: how many incidents.
        """

    def marks(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Mark]:
        """The newest mark of each incident of these subjects, by subject and service."""

    def timeline(self, subject: Subject, service: str, limit: int) -> Sequence[Seen]:
        """A subject's newest lines at a service, oldest first."""

    def seq(self) -> int:
        """The number of the last line of the log that is indexed."""

    def close(self) -> None:
        """Let go of the database."""
