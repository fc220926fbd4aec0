"""What the recorder holds of the spool: rows whose window is not over, and the segments that they are in."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Protocol

from enforcer.attempts.block import Block
from enforcer.attempts.spool import Segment
from enforcer.devices.device import Address, Owner
from enforcer.devices.prefix import Prefix, host_prefix
from enforcer.devices.registry import Waits
from enforcer.devices.session import Place
from enforcer.hub.resume import SegmentKey

type Total = tuple[str, str, str, str]
"""Service, layer, action and source of identity, in the record's words."""

type Key = tuple[str | None, ...]
type Client = tuple[str | None, int | None, str | None]
"""Address, port, and what the client has shown."""


class Owners(Protocol):
    """Who held an address."""

    @property
    def waits(self) -> Mapping[str, Waits]:
        """For how long a record waits for its device, by realm."""

    def owner(self, realm: str, address: Address, at: datetime, shown: str | None = None) -> Owner:
        """The device behind an address of a realm at a moment, or nobody. shown: what the client has shown."""

    def recorded(self, realm: str, owner: Owner, count: int) -> None:
        """So many attempts were recorded with this owner."""

    def take_changes(self) -> tuple[set[Place], bool]:
        """The prefixes that may have changed hands since the last call; True when any may have."""


@dataclass(slots=True)
class OpenRow:
    """A row whose window is not over.

    waits: its record does, for its device. changed: its address may have changed hands. samples: how far it had counted
    at moments since; only where owners come and go.
    """

    source: "OpenSegment"
    index: int
    block: Block
    client_ip: str | None
    client_port: int | None
    shown: str | None
    first_ms: int
    owner: Owner
    waits: bool = False
    changed: bool = False
    samples: list[tuple[int, int]] = field(default_factory=list)

    def key(self) -> Key:
        """Attempts of one key share a window: one line at once, and the repeats in summaries."""
        block, device = self.block, self.owner.device
        whose = (device, None) if device is not None else (block.realm, self.client_ip)
        return (*whose, block.rule, block.name, block.qtype, block.layer, block.action)

    def total(self) -> Total:
        """What the row counts towards."""
        block = self.block
        return block.service, block.layer.value, block.action.value, self.owner.identity.source.value


@dataclass(slots=True)
class OpenSegment:
    """A segment while it is read.

    done, last_ms: for each row read, how many attempts have a line (or DAMAGED), and the last one's time.
    resumed: the same from the log of the hub before. doubt_ms: since when the next row cannot be read.
    swept: rows checked since the writer ended it; ended: every row was. behind: the line after which all is logged.
    """

    key: SegmentKey
    segment: Segment
    resumed: dict[int, tuple[int, int]]
    rows: dict[int, OpenRow] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    last_ms: list[int] = field(default_factory=list)
    doubt_ms: int | None = None
    swept: int = 0
    ended: bool = False
    behind: int | None = None


def is_in(row: OpenRow, places: Set[Place], lengths: Set[tuple[int, int]]) -> bool:
    """Whether a row's client is in one of some prefixes. lengths: which versions and lengths these have."""
    if row.client_ip is None:
        return False
    host = host_prefix(ip_address(row.client_ip))
    return any(
        version == host.version
        and (row.block.realm, Prefix(version, length, host.bits >> (host.length - length))) in places
        for version, length in lengths
    )


def whose(owner: Owner) -> tuple[object, ...]:
    """What two owners are compared by: not how old the knowledge of them is."""
    identity = owner.identity
    return owner.device, owner.group, identity.source, identity.state


def moment_of(ms: int) -> datetime:
    """A moment in ms since 1970."""
    return datetime.fromtimestamp(min(ms, 253_402_300_799_000) / 1000, UTC)
