"""Who held which address when, from a source that is read as a whole: leases, neighbours, tunnels.

Each reading says who holds what now. What is kept is by interval, as of sessions: an address that is not in a reading
any more has been given up. Times are ms since 1970.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.devices.device import Address, Source
from enforcer.devices.prefix import Prefix, host_prefix
from enforcer.devices.subject import Subject

_PER_ADDRESS = 32


@dataclass(frozen=True, slots=True)
class Claim:
    """One address and who has it. since_ms: None where the source does not say; until_ms: None for as long as it is."""

    prefix: Prefix
    subject: Subject
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(slots=True)
class _Span:
    subject: Subject
    since_ms: int
    until_ms: int | None
    ended_ms: int | None = None

    def held(self, at_ms: int) -> bool:
        ends = [each for each in (self.until_ms, self.ended_ms) if each is not None]
        return self.since_ms <= at_ms < min(ends, default=at_ms + 1)


class Claims:
    """What one source says of one realm. stale_ms: how old its last reading may be before its answers are stale."""

    def __init__(self, realm: str, source: Source, stale_ms: int, history_ms: int = 24 * 3_600_000) -> None:
        self.realm = realm
        self.source = source
        self.read_ms: int | None = None
        self._stale_ms = stale_ms
        self._history_ms = history_ms
        self._spans: dict[Prefix, list[_Span]] = {}
        self._open: dict[Prefix, _Span] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take(self, claims: Iterable[Claim], now_ms: int) -> set[Prefix]:
        """Take in a reading; returns the addresses that changed hands.

        What is new has been held since the source says, or else since the last reading, when it was nobody's. The first
        reading tells what was there before, too.
        """
        since_ms = 0 if self.read_ms is None else min(self.read_ms, now_ms)
        now = {claim.prefix: claim for claim in claims}
        changed = set()
        for prefix, span in list(self._open.items()):
            claim = now.get(prefix)
            if claim is None or claim.subject != span.subject:
                span.ended_ms = now_ms
                del self._open[prefix]
                changed.add(prefix)
        for prefix, claim in now.items():
            known = self._open.get(prefix)
            if known is not None:
                known.until_ms = claim.until_ms
                continue
            spans = self._spans.setdefault(prefix, [])
            begins_ms = since_ms if claim.since_ms is None else claim.since_ms
            if spans:
                begins_ms = max(begins_ms, spans[-1].ended_ms or 0)
            made = _Span(claim.subject, begins_ms, claim.until_ms)
            spans.append(made)
            del spans[:-_PER_ADDRESS]
            self._open[prefix] = made
            changed.add(prefix)
        self.read_ms = now_ms
        return changed

    def confirm(self, now_ms: int) -> None:
        """The source says what it said at the last reading."""
        self.read_ms = now_ms

    def holder(self, address: Address, at_ms: int) -> Subject | None:
        """Who held an address at a moment."""
        spans = self._spans.get(host_prefix(address), ())
        return next((span.subject for span in reversed(spans) if span.held(at_ms)), None)

    def held_now(self) -> Iterable[tuple[Prefix, Subject]]:
        """All that is held by the last reading."""
        return [(prefix, span.subject) for prefix, span in self._open.items()]

    def age_ms(self, at_ms: int) -> int:
        """How long before a moment the source was read last."""
        return 0 if self.read_ms is None else max(at_ms - self.read_ms, 0)

    def is_stale(self, at_ms: int) -> bool:
        """Whether that is too long ago."""
        return self.age_ms(at_ms) > self._stale_ms

    def purge(self, now_ms: int) -> None:
        """Forget what ended before the history begins."""
        oldest_ms = now_ms - self._history_ms
        for prefix, spans in list(self._spans.items()):
            kept = [span for span in spans if span.ended_ms is None or span.ended_ms >= oldest_ms]
            if kept:
                self._spans[prefix] = kept
            else:
                del self._spans[prefix]
