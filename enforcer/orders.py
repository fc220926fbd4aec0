"""What the hub tells the workers: which policy is in force, which realms are paused, who is exempt.

The hub writes the whole of it to one small file and renames it into place; workers look at the file's time a
few times a second. Without the hub the last orders stand, but each grant lapses by itself.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

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
    """One address may reach these services until a moment: the exemption's end, or when the grant lapses."""

    realm: str
    address: Address
    services: tuple[str, ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class Orders:
    """One complete set of orders. generation: counts up with every policy put in force."""

    generation: int
    policy: str
    pauses: tuple[Pause, ...] = ()
    grants: tuple[Grant, ...] = ()


def encode_orders(orders: Orders) -> bytes:
    """The file's content."""
    return json.dumps(
        {
            "generation": orders.generation,
            "policy": orders.policy,
            "pauses": [[pause.realm, _ms(pause.until)] for pause in orders.pauses],
            "grants": [[grant.realm, str(grant.address), grant.services, _ms(grant.until)] for grant in orders.grants],
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
                Grant(realm, ip_address(address), tuple(services), _moment(until))
                for realm, address, services, until in raw["grants"]
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Corrupt(f"orders cannot be read: {error}") from error


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
