"""Who connects: from an address and the way it came to the client that the policy is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from enforcer.orders import Grants, Orders
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
        self._granted = Grants(Orders(0, ""))
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
        self._granted = Grants(orders)

    def client(self, address: Address, way: str, now: datetime) -> Client | None:
        """The client at this moment; None for one outside of every realm."""
        for network, realm in self._networks:
            if address in network and (not realm.ways or way in realm.ways):
                break
        else:
            return None
        until = self._paused.get(realm.name)
        spared = self._granted.of(realm.name, address, now)
        observed = spared.observed is not None or (until is not None and now < until)
        exempt = MappingProxyType(dict(spared.exempt))
        return Client(realm.name, Mode.MONITOR if observed else realm.mode, exempt)

    def changes(self, before: datetime, now: datetime) -> bool:
        """Whether a pause or a grant ended between two moments, so that what passed must be judged again."""
        paused = any(before < end <= now for end in self._paused.values())
        return paused or self._granted.end_between(before, now)
