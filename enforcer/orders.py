"""What the hub tells the workers: which policy is in force, which realms are paused, who is exempt.

The hub writes the whole of it to one small file and renames it into place; workers look at the file's time a
few times a second. Without the hub the last orders stand, but each grant lapses by itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

from enforcer.errors import Corrupt
from enforcer.policy.verdict import Address

GRANT_S = 60

PROBE = IPv4Address("127.83.77.1")
"""Where the hub asks its own resolver from, to see that the ban is in force. Only this machine can send from it."""

PROBE6 = IPv6Address("::1")
"""The same where a listener has IPv6 alone; unless it is in a realm."""

PROBE_REALM = ":probe"
"""The realm of such questions, whose attempts leave no trace. No configuration can name it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A realm that is observed instead of enforced, until a moment (exclusive)."""

    realm: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """One address may reach these services until a moment: the exemption's end, or when the grant lapses.

    length: of the prefix that begins with the address, when it is for all of that (the /64 of a mobile connection);
    None for the one address. observed: everything else is observed there instead of blocked.
    """

    realm: str
    address: Address
    services: tuple[str, ...]
    until: datetime
    length: int | None = None
    observed: bool = False


@dataclass(frozen=True, slots=True)
class ShownGrant:
    """The same for whoever shows this, wherever it is: `token:HEX` or `certificate:HEX`, as in a spool entry."""

    realm: str
    shown: str
    services: tuple[str, ...]
    until: datetime
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """One complete set of orders. generation: counts up with every policy put in force."""

    generation: int
    policy: str
    pauses: tuple[Pause, ...] = ()
    grants: tuple[Grant, ...] = ()
    shown: tuple[ShownGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class Spared:
    """What a client is spared: services with the moment at which that ends, and until when the rest is observed."""

    exempt: Mapping[str, datetime]
    observed: datetime | None


NOTHING = Spared(MappingProxyType({}), None)


class Grants:
    """The grants of some orders, to be asked by who asks."""

    def __init__(self, orders: Orders) -> None:
        self._single: dict[tuple[str, Address], list[Grant]] = {}
        self._prefixes: dict[tuple[str, int, int], list[Grant]] = {}
        self._lengths: dict[tuple[str, int], set[int]] = {}
        self._shown: dict[tuple[str, str], list[ShownGrant]] = {}
        self._ends = [each.until for each in orders.grants] + [each.until for each in orders.shown]
        for grant in orders.grants:
            if grant.length is None:
                self._single.setdefault((grant.realm, grant.address), []).append(grant)
            else:
                self._lengths.setdefault((grant.realm, grant.address.version), set()).add(grant.length)
                bits = int(grant.address) >> (grant.address.max_prefixlen - grant.length)
                self._prefixes.setdefault((grant.realm, grant.length, bits), []).append(grant)
        for each in orders.shown:
            self._shown.setdefault((each.realm, each.shown), []).append(each)

    def of(self, realm: str, address: Address, now: datetime, shown: str | None = None) -> Spared:
        """What a client is spared at a moment."""
        found: list[Grant | ShownGrant] = [*self._single.get((realm, address), ())]
        for length in self._lengths.get((realm, address.version), ()):
            bits = int(address) >> (address.max_prefixlen - length)
            found += self._prefixes.get((realm, length, bits), ())
        if shown is not None:
            found += self._shown.get((realm, shown), ())
        exempt: dict[str, datetime] = {}
        observed: datetime | None = None
        for grant in found:
            if grant.until <= now:
                continue
            for service in grant.services:
                exempt[service] = max(exempt.get(service, grant.until), grant.until)
            if grant.observed:
                observed = max(observed or grant.until, grant.until)
        return Spared(exempt, observed) if found else NOTHING

    def end_between(self, before: datetime, now: datetime) -> bool:
        """Whether one ended between two moments, so that whoever was told of it must ask again."""
        return any(before < end <= now for end in self._ends)


def encode_orders(orders: Orders) -> bytes:
    """The file's content."""
    return json.dumps(
        {
            "generation": orders.generation,
            "policy": orders.policy,
            "pauses": [[pause.realm, _ms(pause.until)] for pause in orders.pauses],
            "grants": [
                [each.realm, str(each.address), each.services, _ms(each.until), each.length, each.observed]
                for each in orders.grants
            ],
            "shown": [[each.realm, each.shown, each.services, _ms(each.until), each.observed] for each in orders.shown],
        }
    ).encode()


def decode_orders(data: bytes) -> Orders:
    """Read what `encode_orders` wrote. Raises Corrupt for anything else."""
    try:
        raw = json.loads(data)
        return Orders(
            generation=int(raw["generation"]),
            policy=str(raw["policy"]),
            pauses=tuple(Pause(realm, _moment(until)) for realm, until in raw["pauses"]),
            grants=tuple(
                Grant(realm, ip_address(address), tuple(services), _moment(until), length, observed)
                for realm, address, services, until, length, observed in raw["grants"]
            ),
            shown=tuple(
                ShownGrant(realm, shown, tuple(services), _moment(until), observed)
                for realm, shown, services, until, observed in raw["shown"]
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Corrupt(f"orders cannot be read: {error}") from error


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
