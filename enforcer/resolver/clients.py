"""Who asks: from an address at a listener to the class of client whose answers it gets.

Clients that no verdict can tell apart share one `Group`, and with it the answers rendered before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from enforcer.decide.dns import Ech
from enforcer.orders import PROBE, PROBE6, PROBE_REALM, Grants, Orders
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Address, Client
from enforcer.resolver.admission import Standing
from enforcer.resolver.memory import Memory

type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Realm:
    """One client network as a listener serves it. networks: none for who proves itself, wherever it is."""

    name: str
    networks: tuple[Network, ...]
    mode: Mode
    ech: Ech = Ech.STRIP


@dataclass(slots=True, eq=False)
class Group:
    """A class of client. client: None for those outside of every realm. ech: what it gets of ECH keys.

    memory: what it was answered before.
    """

    client: Client | None
    ech: Ech = Ech.STRIP
    memory: Memory = field(default_factory=Memory)


class Directory:
    """The groups of one listener's clients, under the orders in force."""

    def __init__(self, realms: tuple[Realm, ...]) -> None:
        self._networks: list[tuple[Network, Realm]] = []
        self._anywhere: Realm | None = None
        self._groups: dict[object, Group] = {}
        self._generation = -1
        self.changed = 0  # how often: a group that was looked up before is to be looked up again
        self._paused: Mapping[str, datetime] = MappingProxyType({})
        self._granted = Grants(Orders(0, ""))
        self.outside = Group(None)
        self.serve(realms)

    def serve(self, realms: tuple[Realm, ...]) -> None:
        """Serve these realms from now on."""
        self.changed += 1
        self._networks = sorted(
            ((network, realm) for realm in realms for network in realm.networks),
            key=lambda pair: -pair[0].prefixlen,
        )
        self._anywhere = next((realm for realm in realms if not realm.networks), None)
        self._groups.clear()

    def follow(self, orders: Orders) -> None:
        """Take new orders; what was rendered under another policy is forgotten."""
        self.changed += 1
        if orders.generation != self._generation:
            self._groups.clear()
            self._generation = orders.generation
        self._paused = {pause.realm: pause.until for pause in orders.pauses}
        self._granted = Grants(orders)
        for key in [key for key, group in self._groups.items() if group.client and group.client.exempt]:
            del self._groups[key]

    def group(
        self, address: Address, now: datetime, standing: Standing = Standing.BY_ADDRESS, shown: str | None = None
    ) -> Group:
        """The group of an address at this moment; ask again when a second has passed.

        standing: what the client has shown, which lets it in where its address does not. shown: the same as in a spool
        entry, for grants that go with it.
        """
        realm = next((realm for network, realm in self._networks if address in network), None)
        if address == PROBE or (address == PROBE6 and realm is None):
            return self._probe(now)
        if realm is None and standing in (Standing.PROVEN, Standing.STRICTEST):
            realm = self._anywhere
        if realm is None or standing is Standing.REFUSED:
            return self.outside
        if standing is Standing.STRICTEST:
            strict = (realm.name, standing)
            return self._groups.setdefault(strict, Group(Client(realm.name, Mode.ENFORCE, MappingProxyType({}))))
        until = self._paused.get(realm.name)
        spared = self._granted.of(realm.name, address, now, shown)
        exempt = spared.exempt
        observed = spared.observed is not None or (until is not None and now < until)
        mode = Mode.MONITOR if observed else realm.mode
        key = (realm.name, mode, realm.ech, tuple(sorted(exempt.items())))
        group = self._groups.get(key)
        if group is None:
            group = Group(Client(realm.name, mode, MappingProxyType(dict(exempt))), realm.ech)
            self._groups[key] = group
        return group

    def _probe(self, now: datetime) -> Group:
        """The group of our own probe: enforced while one of the realms is."""
        realms = {realm.name: realm.mode for _, realm in self._networks}
        if self._anywhere is not None:
            realms[self._anywhere.name] = self._anywhere.mode
        paused = {name for name, until in self._paused.items() if now < until}
        enforced = any(mode is Mode.ENFORCE and name not in paused for name, mode in realms.items())
        client = Client(PROBE_REALM, Mode.ENFORCE if enforced else Mode.MONITOR)
        return self._groups.setdefault((PROBE_REALM, client.mode), Group(client))

    def changes(self, before: datetime, now: datetime) -> bool:
        """Whether a pause or a grant ended between two moments, so that addresses must be looked up again."""
        paused = any(before < end <= now for end in self._paused.values())
        return paused or self._granted.end_between(before, now)
