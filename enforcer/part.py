"""What the hub is made of, beside the recorder: one part for each thing that it does."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Metric

from enforcer.attempts.attempt import Event
from enforcer.attempts.log import DayLog
from enforcer.config.model import Config
from enforcer.control import Operation
from enforcer.devices.registry import Registry
from enforcer.folders import Folders


@dataclass(frozen=True, slots=True)
class Means:
    """What a part works with.

    config: what the hub was started with. clock: an aware UTC datetime. record: plans an event for the log, which the
    hub writes within a moment; `detail` has short plain JSON values. log: to be read and signed. forget: drops from the
    index what was attempted before a moment, in ms since 1970.
    registry: who is behind an address, for the sources of identity to fill.
    """

    config: Config
    folders: Folders
    clock: Callable[[], datetime]
    record: Callable[[str, Mapping[str, object]], None]
    log: DayLog
    forget: Callable[[int], None] = lambda _: None
    registry: Registry = field(default_factory=Registry)

    def record_now(self, event: str, detail: Mapping[str, object]) -> None:
        """Have an event on the disk before anything else is done. Raises OSError."""
        now = self.clock()
        self.log.record(Event(event, int(now.timestamp() * 1000), self.config.node, detail), now)


class Part:
    """One thing that the hub does. What a part does not need it leaves as it is here.

    All methods are called in the hub's loop, in this order; none may block it.
    """

    @property
    def operations(self) -> Mapping[str, Operation]:
        """What the control socket can ask for, by name."""
        return {}

    async def run(self) -> None:
        """Work until cancelled. An error that gets out ends the hub: catch where something can be done about it."""

    def follow(self, config: Config) -> None:
        """A reload has put another configuration in force."""

    def metrics(self) -> Iterable[Metric]:
        """Families for Prometheus, each with every label value from its first moment on."""
        return ()

    def problems(self) -> Iterable[str]:
        """What is wrong now, one sentence each, for `enforcer status`."""
        return ()

    def close(self) -> None:
        """The hub ends: let go of everything. Called also when `run` never was."""
