"""Where lines of the log go: each sink small, and alike. `follow.py` feeds them, from a cursor of each one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from enforcer.attempts.formats.record import Record
from enforcer.errors import EnforcerError


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One line to send. text: in the sink's format, on one line without its end."""

    record: Record
    text: str


class Refused(EnforcerError):
    """The receiver is there, and will never take this."""


class Sink(Protocol):
    """One receiver. All methods may block for some seconds, and are called by one thread.

    settle_s: for so long what was sent may still get lost with the connection, because the receiver does not say that
    it has it. 0 where it says so, and where nobody would know (UDP).
    """

    settle_s: float

    def send(self, batch: Sequence[Outgoing]) -> None:
        """Hand over a batch, in its order. Connects when need be.

        Raises Unavailable when it is not known that the receiver has all of it: the batch is sent again later, whole.
        Raises Refused when the receiver will not have it.
        """

    def check(self) -> None:
        """Raises Unavailable when the connection was lost meanwhile."""

    def close(self) -> None:
        """Say good-bye and let go; also of what was never open."""
