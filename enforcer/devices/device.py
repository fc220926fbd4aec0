"""A device, what binds it to addresses, and how sure an answer about it is."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


class Source(StrEnum):
    """Where an attribution comes from, strongest first."""

    CERTIFICATE = "certificate"
    TUNNEL = "tunnel"
    RADIUS = "radius"
    TOKEN = "token"  # noqa: S105  a word of the record, not a secret
    LEASE = "lease"
    EDNS = "edns"
    NEIGHBOUR = "neighbour"
    NETWORK = "network"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How sure an attribution is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


class State(StrEnum):
    """Whether a device was found, and in which condition."""

    RESOLVED = "resolved"
    STALE = "stale"
    UNRESOLVED = "unresolved"
    UNLISTED = "unlisted"
    CONFLICT = "conflict"


class Granularity(StrEnum):
    """What the attribution names: the device, its connection (which others may share), or a whole network."""

    DEVICE = "device"
    CONNECTION = "connection"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Device:
    """One managed device, by its internal id; never by an IMEI, a number or a person's name."""

    id: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Binding:
    """One network of one realm, and whose it is; a single address is the network of itself alone.

    device: None where only the group is known. group: None where the device is in none.
    """

    realm: str
    network: Network
    device: str | None
    group: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class Identity:
    """How an owner was found. age_s: seconds since the source last confirmed it; None where it never does."""

    source: Source
    confidence: Confidence
    state: State
    age_s: int | None
    granularity: Granularity


@dataclass(frozen=True, slots=True)
class Owner:
    """Who held an address: a device and its group, only a group, or nobody that we know."""

    device: str | None
    group: str | None
    identity: Identity
