"""What the hub orders: the file that every worker follows.

Grants lapse by themselves, so they are renewed well before; pauses end by themselves, and survive a killed hub in
the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from enforcer.attempts.durable import replace_file
from enforcer.config.policy import Exemption, Monitored, Policy
from enforcer.devices.device import Device
from enforcer.devices.inventory import Kind
from enforcer.devices.prefix import prefix_of
from enforcer.devices.registry import Registry
from enforcer.errors import Corrupt
from enforcer.orders import GRANT_S, Grant, Orders, Pause, ShownGrant, decode_orders, encode_orders

RENEW_S = GRANT_S // 3


class OrderBook:
    """The orders in force, and the file they are in. Every change is written at once. Raises OSError."""

    def __init__(self, path: Path) -> None:
        """Go on from what is in the file; without one, no policy is in force yet."""
        self._path = path
        try:
            self.orders = decode_orders(path.read_bytes())
        except (FileNotFoundError, Corrupt):
            self.orders = Orders(0, "")

    def put_in_force(
        self, policy: str, grants: Iterable[Grant], shown: Iterable[ShownGrant] = (), *, anew: bool = False
    ) -> None:
        """Make workers load a policy; the generation stays where it is the one they have.

        anew: they must load it all the same, since the configuration beside it has changed.
        """
        generation = self.orders.generation + (anew or policy != self.orders.policy)
        made = replace(self.orders, generation=generation, policy=policy, grants=tuple(grants), shown=tuple(shown))
        self._write(made)

    def grant(self, grants: Iterable[Grant], shown: Iterable[ShownGrant] = ()) -> None:
        """Renew the grants: those that are not among them lapse."""
        renewed = replace(self.orders, grants=tuple(grants), shown=tuple(shown))
        if renewed.grants or renewed.shown or self.orders.grants or self.orders.shown:
            self._write(renewed)

    def pause(self, realm: str, until: datetime) -> None:
        """Observe a realm until a moment; another pause of it is replaced."""
        others = tuple(pause for pause in self.orders.pauses if pause.realm != realm)
        self._write(replace(self.orders, pauses=(*others, Pause(realm, until))))

    def resume(self, realm: str) -> bool:
        """Enforce a realm again; False when it was not paused."""
        others = tuple(pause for pause in self.orders.pauses if pause.realm != realm)
        if others == self.orders.pauses:
            return False
        self._write(replace(self.orders, pauses=others))
        return True

    def drop_ended(self, now: datetime) -> tuple[Pause, ...]:
        """Take out the pauses that are over, and return them."""
        ended = tuple(pause for pause in self.orders.pauses if pause.until <= now)
        for pause in ended:
            self.resume(pause.realm)
        return ended

    def _write(self, orders: Orders) -> None:
        replace_file(self._path, encode_orders(orders))
        self.orders = orders


class Spared:
    """Whom the policy spares something, and where they are: what the next orders grant.

    An unknown device is spared nothing, so no group's verdict can block what that of an unknown one does not.
    """

    def __init__(self, policy: Policy, registry: Registry, realms: Sequence[str]) -> None:
        """registry: it is told whose addresses to keep ready. realms: where tokens and certificates may be shown."""
        self.policy = policy
        self.inventory = inventory = registry.inventory
        self._registry = registry
        self._realms = tuple(realms)
        named = {Device(each.device, each.group) for each in inventory.bindings if each.device is not None}
        every = (*inventory.devices, *(named - set(inventory.devices)))
        self._devices = {each.id for each in every if any(spares(holder, each) for holder in self._holders())}
        self._shown = [
            f"{kind}:{value}"
            for (kind, value), device in inventory.keys.items()
            if kind in (Kind.TOKEN, Kind.CERTIFICATE) and device.id in self._devices
        ]
        registry.watch(self._devices)

    def grants(self, now: datetime) -> tuple[tuple[Grant, ...], tuple[ShownGrant, ...]]:
        """Grants for the addresses, and for the tokens and certificates, of those whose device is certain now.

        Each holds until the soonest end or the next renewal, so that without us they all lapse.
        """
        if not self._devices:
            return (), ()
        now_ms = int(now.timestamp() * 1000)
        registry = self._registry
        places = registry.places()
        places |= {(each.realm, prefix_of(each.network)) for each in registry.bindings if each.device in self._devices}
        grants: list[Grant] = []
        for realm, prefix in sorted(places):
            address = prefix.network.network_address
            if prefix.is_single or not registry.sessions.narrower(realm, prefix):
                length = None if prefix.is_single else prefix.length
                for services, until, observed in self._spared(registry.certain(realm, address, now_ms), now):
                    grants.append(Grant(realm, address, services, until, length, observed))
        shown = [
            ShownGrant(realm, proof, *spared)
            for realm in self._realms
            for proof in self._shown
            for spared in self._spared(registry.certain(realm, None, now_ms, proof), now)
        ]
        return tuple(grants), tuple(shown)

    def _holders(self) -> Iterator[Exemption | Monitored]:
        yield from self.policy.exemptions
        yield from self.policy.monitored

    def _spared(self, device: Device | None, now: datetime) -> Iterator[tuple[tuple[str, ...], datetime, bool]]:
        """What a device is spared: services, until when, and whether everything else is observed."""
        lapse = now + timedelta(seconds=GRANT_S)
        for each in self._holders():
            if device is not None and now < each.until and spares(each, device):
                services = each.services if isinstance(each, Exemption) else ()
                yield services, min(each.until, lapse), isinstance(each, Monitored)


def spares(holder: Exemption | Monitored, device: Device) -> bool:
    """Whether an exemption, or monitoring, is for a device."""
    if holder.device is not None:
        return holder.device == device.id
    return device.group is not None and holder.group == device.group
