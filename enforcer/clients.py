"""Who connects: from an address and the way it came to the client that the policy is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from enforcer.orders import Orders
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Address, Client

type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Realm:
    """One client network. ways: how its clients come (interfaces, modes of the proxy); none: in any way."""

    name: str
    networks: tuple[Network, ...]
    mode: Mode
    ways: tuple[str, ...] = ()


class Clients:
    """The clients of all realms, under the orders in force."""

    def __init__(self, realms: Sequence[Realm] = ()) -> None:
        self._networks: list[tuple[Network, Realm]] = []
        self._paused: Mapping[str, datetime] = MappingProxyType({})
        self._granted: dict[tuple[str, Address], dict[str, datetime]] = {}
        self.serve(realms)

    def serve(self, realms: Sequence[Realm]) -> None:
        """Know these realms from now on."""
        self._networks = sorted(
            ((network, realm) for realm in realms for network in realm.networks),
            key=lambda pair: -pair[0].prefixlen,
        )

    def follow(self, orders: Orders) -> None:
        """Take new pauses and grants."""
        self._paused = {pause.realm: pause.until for pause in orders.pauses}
        self._granted = {}
        for grant in orders.grants:
            services = self._granted.setdefault((grant.realm, grant.address), {})
            services.update((service, grant.until) for service in grant.services)

    def client(self, address: Address, way: str, now: datetime) -> Client | None:
        """The client at this moment; None for one outside of every realm."""
        for network, realm in self._networks:
            if address in network and (not realm.ways or way in realm.ways):
                break
        else:
            return None
        until = self._paused.get(realm.name)
        paused = until is not None and now < until
        granted = self._granted.get((realm.name, address), {})
        exempt = {service: end for service, end in granted.items() if now < end}
        return Client(realm.name, Mode.MONITOR if paused else realm.mode, MappingProxyType(exempt))

    def changes(self, before: datetime, now: datetime) -> bool:
        """Whether a pause or a grant ended between two moments, so that what passed must be judged again."""
        ends = (*self._paused.values(), *(end for granted in self._granted.values() for end in granted.values()))
        return any(before < end <= now for end in ends)
