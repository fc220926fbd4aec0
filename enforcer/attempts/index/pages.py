"""Pages of lines, newest first, and single lines.

A page's places are found first, in indexes alone, and then its rows are read. What narrows by device, address or name
is found along the index of that. What narrows by columns of kinds is found along the index of each kind that has them;
where these are many, it may be common as well, so the newest lines of all are looked through first.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import batched

from enforcer.attempts.attempt import Line
from enforcer.attempts.index import Filter, Place
from enforcer.attempts.index.batch import Value, attempt_line, event_line
from enforcer.attempts.index.database import FOREVER_MS, Ask, Database, equal, marks, names_below, narrowing, where
from enforcer.attempts.index.schema import EVENTS, KIND, OWN, listed

_FEW = 100  # kinds whose indexes are read at once
_GLANCE = 100  # times as many lines as a page has are looked through where there are more kinds
_AT_ONCE = 10_000  # rows that are read by one question
_SELECT = f"SELECT {listed((*OWN, *KIND))} FROM attempts JOIN kinds USING (kind)"  # noqa: S608 - no input
_EVENTS = f"SELECT {listed(EVENTS.columns)} FROM events"  # noqa: S608 - no input


@dataclass(frozen=True, slots=True)
class Step:
    """From which place a page goes on, and in which direction; limit: how many places it has."""

    limit: int
    older: Place | None
    newer: Place | None

    @property
    def order(self) -> str:
        """The order in which places are found."""
        return "ORDER BY time, seq" if self.newer else "ORDER BY time DESC, seq DESC"

    def bounded(self, condition: str, values: Sequence[Value]) -> tuple[str, tuple[Value, ...]]:
        """A condition, and that the place is behind the one from which the page goes on."""
        place = self.newer or self.older
        if place is None:
            return condition, tuple(values)
        return f"{condition} AND (time, seq) {'>' if self.newer else '<'} (?, ?)", (*values, place.time_ms, place.seq)

    def narrowed(self, which: Filter) -> Filter:
        """The filter with times that end at the place, which databases look for better than for the place."""
        if self.older is not None:
            return replace(which, until_ms=min(which.until_ms or FOREVER_MS, self.older.time_ms + 1))
        if self.newer is not None:
            return replace(which, since_ms=max(which.since_ms or 0, self.newer.time_ms))
        return which

    def until(self, place: tuple[int, int], which: Filter) -> Filter:
        """The filter, with nothing of it that comes after the time of a place."""
        if self.newer is not None:
            return replace(which, until_ms=place[0] + 1)
        return replace(which, since_ms=place[0])

    def first(self, places: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
        """The places of the page among those found in several ways."""
        return sorted(places, reverse=not self.newer)[: self.limit]


class Pages(Database):
    """What is asked line by line."""

    def find(
        self, which: Filter, limit: int, *, older: Place | None = None, newer: Place | None = None
    ) -> Sequence[Line]:
        """See Index."""
        step = Step(limit, older, newer)
        kept = step.narrowed(self._kept(which))
        lines: list[Line] = []
        parts = self._parts(kept.since_ms or 0, kept.until_ms or 0)
        for part in parts if newer is None else reversed(parts):
            places = self._places(part, kept, replace(step, limit=limit - len(lines)))
            lines += _lines(part, places)
            if len(lines) >= limit:
                break
        return lines if newer is None else lines[::-1]

    def get(self, id: str) -> Line | None:  # noqa: A002
        """See Index."""
        return self._one("id = ?", id)

    def numbered(self, seq: int) -> Line | None:
        """See Index."""
        return self._one("seq = ?", seq)

    def events(
        self,
        kinds: Collection[str] = (),
        limit: int = 100,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        older: Place | None = None,
        newer: Place | None = None,
    ) -> Sequence[Line]:
        """See Index."""
        step = Step(limit, older, newer)
        condition, values = step.bounded(*where(self._kept(Filter(since_ms=since_ms, until_ms=until_ms))))
        if kinds:
            condition += f" AND event IN ({marks(kinds)})"
            values += tuple(kinds)
        rows = self._ask(f"{_EVENTS} WHERE {condition} {step.order} LIMIT ?", (*values, limit))
        lines = [event_line(row) for row in rows]
        return lines if newer is None else lines[::-1]

    def _one(self, condition: str, value: Value) -> Line | None:
        floor_ms = self._floor()
        for part in self._parts(floor_ms, FOREVER_MS):
            for row in part(f"{_SELECT} WHERE {condition} AND time >= ?", (value, floor_ms)):
                return attempt_line(row)
        return None

    def _places(self, part: Ask, which: Filter, step: Step) -> Sequence[tuple[int, int]]:
        """Times and numbers of a part's first lines that match."""
        if which.device is not None:
            return self._along(part, "device", [which.device], replace(which, device=None), step)
        if which.client_ip is not None:
            return self._along(part, "client_ip", [which.client_ip], replace(which, client_ip=None), step)
        names = None if which.name is None else names_below(part, which.name)
        if names is not None:
            return self._along(part, "name", names, replace(which, name=None), step)
        kind = narrowing(which)
        if which.name is not None or not kind:
            return _looked_through(part, which, step)
        condition, values = equal(kind)
        kinds = [row[0] for row in part(f"SELECT kind FROM kinds WHERE {condition}", values)]  # noqa: S608
        if len(kinds) > _FEW:
            found = _looked_through(part, which, step, _GLANCE * step.limit)
            if len(found) == step.limit:
                return found
        return self._along(part, "kind", kinds, Filter(since_ms=which.since_ms, until_ms=which.until_ms), step)

    @abstractmethod
    def _along(
        self, part: Ask, column: str, values: Sequence[Value], which: Filter, step: Step
    ) -> Sequence[tuple[int, int]]:
        """Times and numbers of a part's first lines that match and have one of some values in an indexed column."""


def _looked_through(part: Ask, which: Filter, step: Step, lines: int | None = None) -> Sequence[tuple[int, int]]:
    """Times and numbers of a part's first lines that match. lines: among so many."""
    rows = "attempts"
    if lines is None:
        condition, values = step.bounded(*where(which))
    else:
        bound, within = step.bounded(*where(Filter(since_ms=which.since_ms, until_ms=which.until_ms)))
        rows = f"(SELECT time, seq, kind FROM attempts WHERE {bound} {step.order} LIMIT ?) looked"  # noqa: S608
        condition, more = where(replace(which, since_ms=None, until_ms=None))
        values = (*within, lines, *more)
    return part(f"SELECT time, seq FROM {rows} WHERE {condition} {step.order} LIMIT ?", (*values, step.limit))  # noqa: S608


def _lines(part: Ask, places: Sequence[tuple[int, int]]) -> Iterator[Line]:
    """The lines at some places, in their order."""
    for some in batched(places, _AT_ONCE):
        condition = f"seq IN ({marks(some)}) AND time BETWEEN ? AND ?"
        times = [time_ms for time_ms, _ in some]
        rows = part(f"{_SELECT} WHERE {condition}", (*(seq for _, seq in some), min(times), max(times)))
        by_number = {row[0]: row for row in rows}
        # Retention may come between.
        yield from (attempt_line(by_number[seq]) for _, seq in some if seq in by_number)
