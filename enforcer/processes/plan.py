"""Which processes a configuration asks for, beside the hub."""

from enforcer.config.gateway import Connections
from enforcer.config.model import Config
from enforcer.processes.settings import gates_of, proxies_of, workers_of

NEVER_BLOCKS = frozenset({"console", "sinks"})
"""Kinds of process that have no spool."""


def plan(config: Config) -> tuple[tuple[str, int], ...]:
    """Kind and number of every process but the hub, in the order in which they start."""
    found = [("dns", number) for number in range(workers_of(config))]
    found += (("proxy", number) for number in range(proxies_of(config)))
    if config.attempts.ships:
        found.append(("sinks", 0))
    if config.gateway.enabled:
        if config.gateway.connections is Connections.GATE:
            found += (("gate", number) for number in range(gates_of(config)))
        found.append(("gateway", 0))  # last: what its rules lead to is there
    if config.console is not None or config.block_page is not None:
        found.append(("console", 0))
    return tuple(found)


def enforcing(config: Config) -> int:
    """How many of them share `attempts.spool_max`."""
    return sum(kind not in NEVER_BLOCKS for kind, _ in plan(config))
