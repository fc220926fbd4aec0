"""Which processes a configuration asks for, beside the hub."""

from enforcer.config.model import Config
from enforcer.processes.settings import workers_of

NEVER_BLOCKS = frozenset({"console"})
"""Kinds of process that have no spool."""


def plan(config: Config) -> tuple[tuple[str, int], ...]:
    """Kind and number of every process but the hub, in the order in which they start."""
    return tuple(("dns", number) for number in range(workers_of(config)))


def enforcing(config: Config) -> int:
    """How many of them share `attempts.spool_max`."""
    return sum(kind not in NEVER_BLOCKS for kind, _ in plan(config))
