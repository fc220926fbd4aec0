"""Guessing passwords made slow: who fails waits, twice as long each time. Pure; time is an argument."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

FREE = 5
"""Failures before the first wait."""
LONGEST_S = 300.0
_FORGET_S = 3600.0
_MOST = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float

    @property
    def until_s(self) -> float:
        over = self.count - FREE
        return self.last_s if over < 0 else self.last_s + min(2.0**over, LONGEST_S)


class Throttle:
    """Failures by key: a name, the network of an address. Of many keys the oldest are forgotten."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, keys: Iterable[str], now_s: float) -> float:
        """How long until the next try; 0 for at once."""
        found = (self._failures.get(key) for key in keys)
        return max((each.until_s - now_s for each in found if each is not None), default=0.0)

    def failed(self, keys: Iterable[str], now_s: float) -> None:
        """Count a failure for each key."""
        for key in keys:
            before = self._failures.pop(key, None)
            count = 0 if before is None or now_s - before.last_s > _FORGET_S else before.count
            self._failures[key] = _Failures(count + 1, now_s)
            if len(self._failures) > _MOST:
                self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a name; those of its network stay."""
        self._failures.pop(key, None)


def network_of(address: str) -> str:
    """What stands for whoever is behind an address: IPv4 alone, of IPv6 the /64 that one host can fill."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False)) if found.ipv4_mapped is None else str(found.ipv4_mapped)
    return str(found)
