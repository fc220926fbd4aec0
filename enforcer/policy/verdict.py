"""What is asked of the policy, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from enforcer.policy.rules import Answer, Mode, Port, Rule
from enforcer.wire.name import Name

type Address = IPv4Address | IPv6Address


class Layer(StrEnum):
    """Where a destination was seen."""

    DNS = "dns"
    TLS = "tls"
    QUIC = "quic"
    HTTP = "http"
    MMTLS = "mmtls"
    IP = "ip"


class Action(StrEnum):
    """What happens to the attempt."""

    BLOCK = "block"
    OBSERVE = "observe"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Destination:
    """What a device tries to reach, as one layer shows it; what the layer does not show is None.

    name: a lower-case wire name. port: with its transport. path: an HTTP path, from its first slash.
    """

    layer: Layer
    name: Name | None = None
    address: Address | None = None
    port: Port | None = None
    fingerprint: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """On whose behalf: only what a verdict may depend on.

    exempt: banned services that this client may reach, each with the moment at which that ends (exclusive).
    mode: MONITOR where the realm is observed, or paused, at this moment.
    """

    realm: str
    mode: Mode = Mode.ENFORCE
    exempt: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy says about one destination, and the rule that says so.

    rule: None when no rule matched, or a protection (`never_block`) beat it.
    matched: the name at which the rule matched, which a negative answer is owned by; None off names.
    answer: how a blocked question is answered; for NXDOMAIN everything below `matched` is blocked as well
    (RFC 8020 §2), otherwise the policy says NODATA.
    why: each step, one sentence each, for `enforcer explain`; empty unless asked for.
    """

    action: Action
    rule: Rule | None = None
    matched: Name | None = None
    answer: Answer = Answer.NXDOMAIN
    why: tuple[str, ...] = ()
