"""What the console asks of the hub, through the control socket, and what the hub's page for Prometheus says."""

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from enforcer.attempts.access import TEXT_MAX, Access, Look
from enforcer.attempts.attempt import moment
from enforcer.attempts.index import Filter, Review, Subject
from enforcer.console.roles import Person, Via
from enforcer.errors import EnforcerError, Unavailable

type Ask = Callable[[Mapping[str, object]], Mapping[str, object]]

_WAITING_MOST = 1000


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody signs in, is refused, or signs out. what: as `hub.visits` names it. origin: the address they are at."""

    what: str
    who: str
    via: Via
    origin: str

    def request(self) -> dict[str, object]:
        """As the hub wants it."""
        return {"op": "visit", "what": self.what, "who": self.who, "via": str(self.via), "from": self.origin or "?"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One sample of the hub's metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Holding:
    """A session, lease or tunnel of a device. since_ms, last_ms: None where the source does not say."""

    realm: str
    addresses: tuple[str, ...]
    group: str | None
    source: str
    state: str
    since_ms: int | None
    last_ms: int | None


class Desk:
    """The hub, as the console knows it. Its methods block, and raise Unavailable when the hub does not answer."""

    def __init__(self, ask: Ask, scrape: Callable[[], str]) -> None:
        self._ask, self._scrape = ask, scrape
        self._waiting: deque[Visit] = deque()

    def status(self) -> Mapping[str, object]:
        """What `enforcer status --json` prints."""
        return self._ask({"op": "status"})

    def figures(self) -> Sequence[Figure]:
        """Every sample that Prometheus would get now."""
        return [
            Figure(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(self._scrape())
            for sample in family.samples
        ]

    def sessions(self, device: str | None) -> Mapping[str, object]:
        """What `enforcer devices sessions --json` prints, of one device or of all; `more` where not all are told."""
        return self._ask({"op": "sessions"} | ({} if device is None else {"device": device}))

    def silent(self, days: int) -> Mapping[str, object]:
        """What `enforcer devices silent --json` prints: devices that no source has shown for so many days."""
        return self._ask({"op": "silent", "days": days})

    def holdings(self, device: str) -> Sequence[Holding]:
        """Which addresses a device has now, and how that is known."""
        found = self.sessions(device).get("sessions")
        return [_holding(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def mark(self, subject: Subject, service: str, state: Review, note: str, person: Person) -> None:
        """Put a mark into the chain. Raises EnforcerError with the hub's words when it says no."""
        named = {"device": subject.device, "realm": subject.realm, "client_ip": subject.client_ip, "service": service}
        self._ask({"op": "mark", **named, "state": str(state), "note": note, "who": person.name})

    def export(self, person: Person, what: str, which: Filter) -> None:
        """Have the chain say that records are taken away, before they are: what cannot be recorded is not done.

        what: of which page, in which form, narrowed by what.
        """
        self.catch_up()
        since, until = (None if ms is None else moment(ms) for ms in (which.since_ms, which.until_ms))
        access = Access(Look.EXPORT, person.name, f"console: {what}"[:TEXT_MAX], which.device, since, until)
        self._ask({"op": "access", **access.detail()})

    def visited(self, visit: Visit) -> None:
        """Have the chain say so, at the latest when the hub is back: people must be let in to see what is wrong.

        Raises Unavailable when too many wait already.
        """
        if len(self._waiting) >= _WAITING_MOST:
            raise Unavailable("too much waits to be recorded; start the hub")
        self._waiting.append(visit)
        with contextlib.suppress(Unavailable):
            self.catch_up()

    def catch_up(self) -> None:
        """Record what had to wait."""
        while self._waiting:
            try:
                self._ask(self._waiting[0].request())
            except Unavailable:
                raise
            except EnforcerError:  # what the hub will never take must not hold up the others
                pass
            self._waiting.popleft()

    def reload(self, person: Person) -> Mapping[str, object]:
        """Put changed lists and configuration in force. Raises EnforcerError with every mistake in them."""
        return self._ask({"op": "reload", "who": person.name})

    def pause(self, realm: str, minutes: int, reason: str, person: Person) -> None:
        """Observe a realm for a while instead of blocking."""
        self._ask({"op": "pause", "realm": realm, "minutes": minutes, "reason": reason, "who": person.name})

    def resume(self, realm: str, person: Person) -> None:
        """End a pause."""
        self._ask({"op": "resume", "realm": realm, "who": person.name})


def _holding(told: Mapping[str, object]) -> Holding:
    """One of the sessions that the hub tells of."""
    addresses, group = told.get("addresses"), told.get("group")
    since_ms, last_ms = (
        value if isinstance(value, int) else None for value in (told.get("since_ms"), told.get("last_ms"))
    )
    return Holding(
        realm=str(told.get("realm")),
        addresses=tuple(map(str, addresses)) if isinstance(addresses, list) else (),
        group=None if group is None else str(group),
        source=str(told.get("source")),
        state=str(told.get("state")),
        since_ms=since_ms,
        last_ms=last_ms,
    )
