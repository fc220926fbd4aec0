"""What the hub is made of: where its inputs come from, and its parts."""

from pathlib import Path

from enforcer.blocklists import shipped
from enforcer.config.load import load
from enforcer.gateway.part import GatewayPart
from enforcer.hub.access import AccessLog
from enforcer.hub.checkpoints import Checkpoints
from enforcer.hub.clocks import ClockWatch
from enforcer.hub.hub import Hub
from enforcer.hub.loading import Inputs
from enforcer.hub.marks import Marks
from enforcer.hub.probes import Probes
from enforcer.hub.retention import Retention
from enforcer.hub.sinks import SinkWatch
from enforcer.hub.visits import Visits
from enforcer.identity.accounting import AccountingPart
from enforcer.identity.inventory import inventory_of
from enforcer.identity.roster import RosterPart
from enforcer.identity.shared import SharedPart
from enforcer.identity.sources import SourcesPart
from enforcer.part import Means, Part
from enforcer.processes.clock import CLOCK, utc_now
from enforcer.processes.policy import compile_config


def make_hub(path: Path) -> Hub:
    """The hub of a configuration file. Raises Mistakes or Unavailable for what keeps it from starting."""
    return Hub(
        Inputs(
            config=lambda: load(path, shipped),
            inventory=inventory_of,
            policy=lambda config, now: compile_config(path, config, now),
        ),
        utc_now,
        parts_of,
    )


def parts_of(means: Means) -> tuple[Part, ...]:
    """What the hub does beside recording, in the order in which it begins."""
    identity = means.config.identity
    known: list[Part] = []
    shared = None if identity.shared is None else SharedPart(means)
    if identity.radius or shared is not None:
        known.append(AccountingPart(means, None if shared is None else shared.tell))
    if shared is not None:
        known.append(shared)
    if identity.leases or identity.neighbours or identity.tunnels:
        known.append(SourcesPart(means))
    known.append(RosterPart(means))
    sinks = SinkWatch(means)
    return (
        *known,
        ClockWatch(means, CLOCK.steady),
        Checkpoints(means),
        AccessLog(means),
        Marks(means),
        Visits(means),
        sinks,
        Retention(means, sinks.cursors),
        GatewayPart(means),
        Probes(means),
    )
