"""The hub's side of the gateway: what the kernel rejected as a metric, and what is failed open as events of the log."""

import asyncio
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from enforcer.blocklists import open_policy
from enforcer.counters import OPENABLE, read_counters, word
from enforcer.errors import EnforcerError
from enforcer.gateway.drops import totals
from enforcer.orders import decode_orders
from enforcer.part import Means, Part
from enforcer.policy.verdict import Layer

LAYERS = (Layer.IP, Layer.MMTLS)
EVENT = "fail_open"

_LOOKED_S = 1.0
_DEAD_MS = 10_000  # a gateway without a heartbeat for so long keeps nothing open
_HEARTBEAT = word("worker_heartbeat_milliseconds")
_OPEN = {part: word("gateway_open", part) for part in OPENABLE}


class GatewayPart(Part):
    """Publishes drops, of every service from the first moment on; says in the log when a part is failed open."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._folders = means.folders
        self._open: frozenset[str] = frozenset()
        self._services: tuple[str, tuple[str, ...]] = ("", ())

    async def run(self) -> None:
        """Look each second."""
        while True:
            self.look()
            await asyncio.sleep(_LOOKED_S)

    def look(self) -> None:
        """Record what was opened, or closed again, since the last look."""
        words = read_counters(self._folders.counters / "gateway-0")
        now_ms = self._means.clock().timestamp() * 1000
        alive = words is not None and abs(now_ms - words[_HEARTBEAT]) <= _DEAD_MS
        found = frozenset(part for part, at in _OPEN.items() if alive and words is not None and words[at])
        for part in sorted(found ^ self._open):
            self._means.record(EVENT, {"part": part, "state": "opened" if part in found else "closed"})
        self._open = found

    def problems(self) -> Iterable[str]:
        """Each part that is failed open."""
        for part in sorted(self._open):
            yield f"gateway: {part} is dead and failed open (gateway.fail_open); what it should see passes unfiltered"

    def metrics(self) -> Iterable[Metric]:
        """`enforcer_gateway_drops_total`."""
        family = CounterMetricFamily(
            "enforcer_gateway_drops",
            "Packets that the kernel rejected for a banned address or for MMTLS, each an attempt",
            labels=("service", "layer"),
        )
        every = {(service, layer.value): 0 for service in self._known() for layer in LAYERS}
        for key, count in sorted({**every, **totals(self._folders.drops)}.items()):
            family.add_metric(key, count)
        yield family

    def _known(self) -> tuple[str, ...]:
        """The services of the policy in force."""
        try:
            name = decode_orders(self._folders.orders.read_bytes()).policy
            if name != self._services[0]:
                self._services = name, open_policy(self._folders.policy / name, verify=False).services
        except (OSError, EnforcerError):  # not compiled yet
            pass
        return self._services[1]
