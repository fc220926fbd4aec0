"""One session of a gateway, and what its reports say of it. Times are ms since 1970."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from enforcer.devices.prefix import Prefix
from enforcer.devices.subject import NOTHING, Subject

RUNS_MAX = 32


class Status(StrEnum):
    """What a report says of its session, or of its whole gateway (RFC 2866 §5.1)."""

    START = "start"
    INTERIM = "interim"
    STOP = "stop"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Report:
    """One event of a gateway.

    stamp_ms: when it happened by the gateway's clock; None where not said. delay_s: for how long the gateway had tried
    to tell it. lasted_s: the session's age then. prefixes: the addresses that it names. bearer: of several that share
    an address (NSAPI). ends_all: the session's last bearer has ended, and with it every other.
    """

    realm: str
    gateway: str
    status: Status
    arrival_ms: int
    session: str = ""
    stamp_ms: int | None = None
    delay_s: int = 0
    lasted_s: int | None = None
    prefixes: tuple[Prefix, ...] = ()
    subject: Subject = NOTHING
    bearer: str | None = None
    ends_all: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """Who held an address at a moment. stale: the gateway should have confirmed it since, and has not."""

    realm: str
    gateway: str
    session: str
    subject: Subject
    prefix: Prefix
    since_ms: int
    age_ms: int
    stale: bool


class State(StrEnum):
    """In what condition a session is."""

    OPEN = "open"
    STALE = "stale"
    CLOSED = "closed"


type Place = tuple[str, Prefix]
"""A realm and a prefix in it."""


@dataclass(slots=True, eq=False)
class Session:
    """One session of a gateway, as far as its reports have told.

    start_ms: the earliest start that any of them implies; told: one of them knew it. first_ms, last_ms: the first and
    the last report of an open session; first_ms is None while only its Stop is known. runs: IPv4 addresses one after
    the other, each with the first and last moment at which it was named. named: other prefixes, and when each was named
    first. before: the session that had the same id earlier.
    """

    realm: str
    gateway: str
    id: str
    start_ms: int
    told: bool = False
    first_ms: int | None = None
    last_ms: int = 0
    stop_ms: int | None = None
    ended_all: bool = False
    subject: Subject = NOTHING
    bearer: str | None = None
    runs: list[tuple[Prefix, int, int]] = field(default_factory=list)
    named: dict[Prefix, int] = field(default_factory=dict)
    confirmed: bool = True
    before: "Session | None" = None

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """All that it ever held."""
        return (*dict.fromkeys(prefix for prefix, _, _ in self.runs), *self.named)

    def held(self, prefix: Prefix) -> Iterator[tuple[int, int | None]]:
        """From when until when (None: its end) it held a prefix."""
        if (first := self.named.get(prefix)) is not None:
            yield self._since(first), None
        for i, (mine, first, _) in enumerate(self.runs):
            if mine == prefix:
                yield self._since(first), self.runs[i + 1][1] if i + 1 < len(self.runs) else None

    def _since(self, named_ms: int) -> int:
        """What the first known report names was there from the start; what a later one adds, since then."""
        return self.start_ms if self.first_ms is None or named_ms <= self.first_ms else named_ms


def joined(known: Subject, told: Subject) -> Subject:
    """What either says; where both do, the later report."""
    if known == told or not known:
        return told
    return Subject(
        told.imei or known.imei,
        told.imsi or known.imsi,
        told.msisdn or known.msisdn,
        told.mac or known.mac,
        told.tunnel or known.tunnel,
    )


def share(one: Session, other: Session) -> bool:
    """Whether two sessions are bearers of one device on one gateway."""
    return (
        one.bearer is not None
        and other.bearer is not None
        and one.gateway == other.gateway
        and one.subject.is_mobile
        and (one.subject.imsi, one.subject.imei) == (other.subject.imsi, other.subject.imei)
    )


def run(runs: list[tuple[Prefix, int, int]], prefix: Prefix, at_ms: int) -> list[tuple[Prefix, int, int]]:
    """Put a moment at which an IPv4 address was named among those known, in order; neighbours of one address join."""
    if len(runs) == 1 and runs[0][0] == prefix:
        _, first, last = runs[0]
        return runs if first <= at_ms <= last else [(prefix, min(first, at_ms), max(last, at_ms))]
    pieces: list[tuple[Prefix, int, int]] = [(prefix, at_ms, at_ms)]
    for mine, first, last in runs:
        if mine != prefix and first < at_ms <= last:  # it was another's in between
            pieces += [(mine, first, at_ms - 1), (mine, last, last)]
        else:
            pieces.append((mine, first, last))
    pieces.sort(key=lambda piece: piece[1:])
    joined: list[tuple[Prefix, int, int]] = []
    for piece in pieces:
        if joined and joined[-1][0] == piece[0]:
            joined[-1] = (piece[0], joined[-1][1], max(joined[-1][2], piece[2]))
        else:
            joined.append(piece)
    return joined[-RUNS_MAX:]
