"""How fast one client may ask over UDP: a steady rate, and a burst above it.

One number a client, as the generic cell rate algorithm keeps it: when the client would have asked all that it has
asked, had it kept to the rate. `fast` compares and moves it, a packet at a time.
"""

from collections.abc import Hashable

from enforcer.policy.verdict import Address
from enforcer.resolver.clients import Network

CLIENTS_MAX = 200_000


class Pace:
    """The limit of one worker's listener. rate: queries a second, 0 for no limit. trusted: who has none.

    due: seconds, by client; who is not in it has no limit. interval: seconds for each query. slack: seconds that `due`
    may be ahead; when it is more, the query is too much.
    """

    __slots__ = ("_rate", "_trusted", "due", "interval", "slack")

    def __init__(self, rate: int, burst: int, trusted: tuple[Network, ...]) -> None:
        self._rate = rate
        self._trusted = trusted
        self.interval = 1 / rate if rate else 0.0
        self.slack = (burst - 0.5) * self.interval  # half a query for the rounding of sums
        self.due: dict[Hashable, float] = {}

    def meet(self, client: Hashable, address: Address, now: float) -> None:
        """Limit this client from now on, where it is to be; what it has asked already still counts."""
        if not self._rate or client in self.due or any(address in network for network in self._trusted):
            return
        if len(self.due) >= CLIENTS_MAX:  # who has kept to the rate need not be remembered
            self.due = {each: due for each, due in self.due.items() if due > now}
            if len(self.due) >= CLIENTS_MAX:
                self.due.clear()
        self.due[client] = 0.0
