"""The hub's side of the gateway: its metric, from the file that says what was taken over of the kernel's counts."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from enforcer.blocklists import open_policy
from enforcer.errors import EnforcerError
from enforcer.gateway.drops import totals
from enforcer.orders import decode_orders
from enforcer.part import Means, Part
from enforcer.policy.verdict import Layer

LAYERS = (Layer.IP, Layer.MMTLS)


class GatewayPart(Part):
    """Publishes drops, of every service from the first moment on."""

    def __init__(self, means: Means) -> None:
        self._folders = means.folders
        self._services: tuple[str, tuple[str, ...]] = ("", ())

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
