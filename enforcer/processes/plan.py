"""Which processes a configuration asks for, beside the hub."""

from enforcer.config.model import Config
from enforcer.processes.settings import proxies_of, workers_of

NEVER_BLOCKS = frozenset({"console", "sinks"})
"""Kinds of process that have no spool."""


def plan(config: Config) -> tuple[tuple[str, int], ...]:
    """Kind and number of every process but the hub, in the order in which they start."""
    return (
        *(("dns", number) for number in range(workers_of(config))),
        *(("proxy", number) for number in range(proxies_of(config))),
        *((("sinks", 0),) if config.attempts.ships else ()),
    )


def enforcing(config: Config) -> int:
    """How many of them share `attempts.spool_max`."""
    return sum(kind not in NEVER_BLOCKS for kind, _ in plan(config))
