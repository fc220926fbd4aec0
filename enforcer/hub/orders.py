"""What the hub orders: the file that every worker follows.

Grants lapse by themselves, so they are renewed well before; pauses end by themselves, and survive a killed hub in
the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from enforcer.attempts.durable import replace_file
from enforcer.config.policy import Exemption
from enforcer.devices.device import Address, Binding
from enforcer.errors import Corrupt
from enforcer.orders import GRANT_S, Grant, Orders, Pause, decode_orders, encode_orders

RENEW_S = GRANT_S // 3
_ADDRESSES_MAX = 256  # of one binding: an IPv4 /24; a grant is for an address, and workers hold few of them


class OrderBook:
    """The orders in force, and the file they are in. Every change is written at once. Raises OSError."""

    def __init__(self, path: Path) -> None:
        """Go on from what is in the file; without one, no policy is in force yet."""
        self._path = path
        try:
            self.orders = decode_orders(path.read_bytes())
        except (FileNotFoundError, Corrupt):
            self.orders = Orders(0, "")

    def put_in_force(self, policy: str, grants: Iterable[Grant], *, anew: bool = False) -> None:
        """Make workers load a policy; the generation stays where it is the one they have.

        anew: they must load it all the same, since the configuration beside it has changed.
        """
        generation = self.orders.generation + (anew or policy != self.orders.policy)
        self._write(replace(self.orders, generation=generation, policy=policy, grants=tuple(grants)))

    def grant(self, grants: Iterable[Grant]) -> None:
        """Renew the grants: those that are not among them lapse."""
        renewed = tuple(grants)
        if renewed or self.orders.grants:
            self._write(replace(self.orders, grants=renewed))

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


def grants_for(exemptions: Iterable[Exemption], bindings: Iterable[Binding], now: datetime) -> tuple[Grant, ...]:
    """One grant for each address of each device with running exemptions, until the soonest end or the next renewal.

    A binding of a large network names no single device closely enough: it is granted nothing.
    """
    running = [exemption for exemption in exemptions if now < exemption.until]
    if not running:
        return ()
    lapse = now + timedelta(seconds=GRANT_S)
    grants = []
    for binding in bindings:
        for exemption in running:
            if binding.device is not None and _covers(exemption, binding):
                until = min(exemption.until, lapse)
                grants += [Grant(binding.realm, a, exemption.services, until) for a in _addresses(binding)]
    return tuple(grants)


def _covers(exemption: Exemption, binding: Binding) -> bool:
    if exemption.device is not None:
        return exemption.device == binding.device
    return exemption.group == binding.group


def _addresses(binding: Binding) -> Iterator[Address]:
    return iter(binding.network if binding.network.num_addresses <= _ADDRESSES_MAX else ())
