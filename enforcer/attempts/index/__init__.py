"""Questions to the log, answered fast: a database that follows it and can be made again from it at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from enforcer.attempts.attempt import Line


class By(StrEnum):
    """What counts can be split by."""

    SERVICE = "service"
    PART = "part"
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
    layer: str | None = None
    action: str | None = None
    realm: str | None = None
    device: str | None = None
    group: str | None = None
    client_ip: str | None = None
    name: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """Where the page before ended: the time and the number of its last line."""

    time_ms: int
    seq: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many attempts, in how many lines; key is None where the record has none."""

    key: str | None
    attempts: int
    lines: int


@dataclass(frozen=True, slots=True)
class TopDevices:
    """Attempts by device and service of those that tried most, and by service of all the rest."""

    top: Mapping[tuple[str, str], int]
    rest: Mapping[str, int]


class Index(Protocol):
    """What can be asked."""

    def find(self, which: Filter, limit: int, before: Before | None = None) -> Sequence[Line]:
        """The newest attempts that match, newest first; `before` goes on behind the last page."""

    def get(self, id: str) -> Line | None:  # noqa: A002 - the record's word
        """One attempt by its id."""

    def stats(self, by: By, which: Filter) -> Sequence[Count]:
        """Attempts that match, split by a column, the most first."""

    def totals(self) -> Mapping[tuple[str, str, str, str], int]:
        """All attempts ever indexed by service, layer, action and source of identity."""

    def devices_attempting(self, since_ms: int) -> Mapping[str, int]:
        """How many different devices tried, by service."""

    def top_devices(self, devices: int, since_ms: int) -> TopDevices:
        """The devices that tried most."""
