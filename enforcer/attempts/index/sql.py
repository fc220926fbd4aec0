"""Every question to the index, in SQL that all databases understand; how it is asked is each database's own.

Counts over time come from `hours` where whole hours are meant, and from the rows of `attempts` at the two edges.
A page that is narrowed by what `hours` splits by reads only the hours in which there is something to find.
"""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from enforcer.attempts.attempt import Line, moment
from enforcer.attempts.index import (
    Bucket,
    By,
    Count,
    Filter,
    Fold,
    Mark,
    Place,
    Review,
    Seen,
    Subject,
    TopDevices,
)
from enforcer.attempts.index.batch import Row, Value, attempt_line, event_line
from enforcer.attempts.index.schema import COLUMNS, EVENTS, HOUR_MS, HOURLY, SUBJECT

type Ask = Callable[[str, Sequence[Value]], list[tuple]]  # type: ignore[type-arg]
"""Asks one question; `?` stands for a value."""

DAY_MS = 24 * HOUR_MS

_FOREVER_MS = 253_402_300_800_000
_HOURLY_FILTERS = tuple(column for column in HOURLY if column != "source")
_OTHER_FILTERS = ("device", "client_ip")
_NAMES_READ = 5000  # different names that are looked through for those that are meant
_NAMES_MAX = 100  # names that are looked up one by one
_SELECT = f"SELECT {', '.join(f'"{column}"' for column in COLUMNS)} FROM attempts"  # noqa: S608 - no input
_EVENTS = f"SELECT {', '.join((*EVENTS.keys, *EVENTS.numbers))} FROM events"  # noqa: S608 - no input
_SAME = " AND ".join(f"f.{column} = p.{column}" for column in SUBJECT)
_OWN = ", ".join(f"f.{column}" for column in SUBJECT)
_TIMES = {By.DAY: DAY_MS, By.HOUR: HOUR_MS}

# Each name once, from one to the next along the index, which takes as many steps as there are names.
_NAMES = """WITH RECURSIVE each(name, number) AS (
    SELECT min(name), 1 FROM attempts UNION ALL
    SELECT (SELECT min(name) FROM attempts WHERE name > each.name), number + 1 FROM each
    WHERE each.name IS NOT NULL AND number < ?)
    SELECT name FROM each WHERE name IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class _Split:
    """What counts are split by: an expression over `attempts`, and one over `hours` or None where it cannot say."""

    raw: str
    hourly: str | None


class SqlIndex(ABC):
    """The reading end. A database says how the tables beside are asked, and which parts `attempts` has."""

    @abstractmethod
    def _ask(self, sql: str, values: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        """Ask all tables but `attempts`. Raises Unavailable."""

    @abstractmethod
    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:
        """The partitions of `attempts` with rows between two times, the newest first. Raises Unavailable."""

    def find(
        self, which: Filter, limit: int, *, older: Place | None = None, newer: Place | None = None
    ) -> Sequence[Line]:
        """See Index."""
        rows: list[Row] = []
        for since_ms, until_ms in self._stretches(which, limit, older, newer):
            narrow = replace(which, since_ms=since_ms, until_ms=until_ms)
            rows += self._page(narrow, limit - len(rows), older, newer)
            if len(rows) >= limit:
                break
        lines = [attempt_line(row) for row in rows]
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
        where, values = _where(self._kept(Filter(since_ms=since_ms, until_ms=until_ms)), None)
        if kinds:
            where += f" AND event IN ({_marks(kinds)})"
            values += tuple(kinds)
        bound, order = _paging(older, newer)
        rows = self._ask(f"{_EVENTS} WHERE {where}{bound} {order} LIMIT ?", (*values, *_at(older, newer), limit))
        lines = [event_line(row) for row in rows]
        return lines if newer is None else lines[::-1]

    def stats(self, by: By, which: Filter, limit: int | None = None) -> Sequence[Count]:
        """See Index."""
        counts = self._counts(which, (_split(by),))
        named: dict[str | None, tuple[int, int]] = {
            _period(by, key) if by in _TIMES else key or None: numbers for (key,), numbers in counts.items()
        }
        order = sorted(named.items(), key=lambda item: (-item[1][0], item[0] is not None, item[0] or ""))
        return [Count(key, attempts, lines) for key, (attempts, lines) in order[:limit]]

    def histogram(self, which: Filter, bucket_ms: int, by: By | None = None) -> Sequence[Bucket]:
        """See Index."""
        hourly = None if bucket_ms % HOUR_MS else f"hour / {bucket_ms // HOUR_MS}"
        splits = [_Split(f"time / {bucket_ms:d}", hourly)]
        if by is not None:
            splits.append(_split(by))
        counts = self._counts(which, splits)
        found = [Bucket(key[0] * bucket_ms, (key[1] or None) if by else None, n) for key, (n, _) in counts.items()]
        return sorted(found, key=lambda bucket: (bucket.start_ms, bucket.key or ""))

    def heat_map(self, which: Filter, zone: tzinfo = UTC) -> Mapping[tuple[int, int], int]:
        """See Index."""
        heat: Counter[tuple[int, int]] = Counter()
        for bucket in self.histogram(which, HOUR_MS):
            at = datetime.fromtimestamp(bucket.start_ms / 1000, UTC).astimezone(zone)
            heat[at.weekday(), at.hour] += bucket.attempts
        return heat

    def values(self, by: By, limit: int = 1000) -> Sequence[str]:
        """See Index."""
        if by in _TIMES:
            raise ValueError(f"{by} has no values to choose from")
        if by is By.NAME:
            names = {row[0] for part in self._parts(0, _FOREVER_MS) for row in part(_NAMES, (limit,))}
            return sorted(names)[:limit]
        table = "hours" if by in HOURLY else "folds"
        sql = f'SELECT DISTINCT "{by}" FROM {table} WHERE "{by}" <> \'\' ORDER BY 1 LIMIT ?'  # noqa: S608
        return [value for (value,) in self._ask(sql, (limit,))]

    def totals(self) -> Mapping[tuple[str, str, str, str], int]:
        """See Index."""
        rows = self._ask("SELECT service, layer, action, source, attempts FROM totals")
        return {(service, layer, action, source): count for service, layer, action, source, count in rows}

    def devices_attempting(self, since_ms: int) -> Mapping[str, int]:
        """See Index."""
        sql = "SELECT DISTINCT service, device FROM attempts WHERE time >= ? AND device IS NOT NULL"
        found = {(row[0], row[1]) for part in self._parts(since_ms, _FOREVER_MS) for row in part(sql, (since_ms,))}
        return Counter(service for service, _ in found)

    def top_devices(self, devices: int, since_ms: int) -> TopDevices:
        """See Index."""
        sql = (
            "SELECT device, service, sum(count) FROM attempts WHERE time >= ? AND device IS NOT NULL"
            " GROUP BY device, service"
        )
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for part in self._parts(since_ms, _FOREVER_MS):
            for device, service, count in part(sql, (since_ms,)):
                counts[device][service] += int(count)
        order = sorted(counts, key=lambda device: (-counts[device].total(), device))
        rest: Counter[str] = Counter()
        for device in order[devices:]:
            rest.update(counts[device])
        return TopDevices({(device, key): n for device in order[:devices] for key, n in counts[device].items()}, rest)

    def folds(self, which: Filter, states: Collection[Review] = (), limit: int = 50, skip: int = 0) -> Sequence[Fold]:
        """See Index."""
        narrow = replace(which, since_ms=None, until_ms=None, name=None, rule=None)
        where, values = _where(narrow, None, "f.")
        if states:
            where += f" AND coalesce(p.state, 'open') IN ({_marks(states)})"
            values += tuple(states)
        sql = f"""WITH p AS (
            SELECT {_OWN}, max(f.last) AS seen FROM folds f LEFT JOIN marks p ON {_SAME} WHERE {where}
            GROUP BY {_OWN} HAVING max(f.last) >= ? AND min(f.first) < ?
            ORDER BY seen DESC, {_OWN} LIMIT ? OFFSET ?)
            SELECT {_OWN}, f."group", f.part, f.layer, f.action, f.evidence, f.attempts, f.lines, f.first, f.last
            FROM folds f JOIN p ON {_SAME}
            ORDER BY p.seen DESC, {_OWN}, f.part, f.layer, f.action, f.evidence"""  # noqa: S608
        until_ms = _FOREVER_MS if which.until_ms is None else which.until_ms
        rows = self._ask(sql, (*values, which.since_ms or 0, until_ms, limit, skip))
        return [_fold(row) for row in rows]

    def marks(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Mark]:
        """See Index."""
        sql = "SELECT service, state, note, who, time, seq FROM marks WHERE device = ? AND realm = ? AND client_ip = ?"
        return {
            (subject, service): Mark(Review(state), note, who, time_ms, seq)
            for subject in subjects
            for service, state, note, who, time_ms, seq in self._ask(
                sql, (subject.device or "", subject.realm or "", subject.client_ip or "")
            )
        }

    def timeline(self, subject: Subject, service: str, limit: int) -> Sequence[Seen]:
        """See Index."""
        whose, values = "device = ?", [subject.device]
        if subject.device is None:
            whose, values = "client_ip = ? AND realm = ? AND device IS NULL", [subject.client_ip, subject.realm]
        sql = (
            f"SELECT layer, time, last, count FROM attempts WHERE {whose} AND service = ? AND time >= ?"  # noqa: S608
            " ORDER BY time DESC, seq DESC LIMIT ?"
        )
        floor_ms = self._floor()
        rows: list[Row] = []
        for part in self._parts(floor_ms, _FOREVER_MS):
            if len(rows) < limit:
                rows += part(sql, (*values, service, floor_ms, limit - len(rows)))
        return [Seen(*row) for row in reversed(rows)]  # type: ignore[arg-type]

    def seq(self) -> int:
        """See Index."""
        return int(self._ask("SELECT seq FROM place")[0][0])

    def _floor(self) -> int:
        return int(self._ask("SELECT floor FROM place")[0][0])

    def _kept(self, which: Filter) -> Filter:
        """The filter with both times, and nothing that retention has let go."""
        since_ms, until_ms = max(which.since_ms or 0, self._floor()), which.until_ms
        return replace(which, since_ms=since_ms, until_ms=_FOREVER_MS if until_ms is None else until_ms)

    def _one(self, where: str, value: Value) -> Line | None:
        floor_ms = self._floor()
        for part in self._parts(floor_ms, _FOREVER_MS):
            for row in part(f"{_SELECT} WHERE {where} AND time >= ?", (value, floor_ms)):
                return attempt_line(row)
        return None

    def _stretches(
        self, which: Filter, limit: int, older: Place | None, newer: Place | None
    ) -> Iterator[tuple[int, int]]:
        """The times to read, in the order of reading, until a page of `limit` is full."""
        kept = self._kept(which)
        since_ms, until_ms = kept.since_ms or 0, kept.until_ms or 0
        if older is not None:
            until_ms = min(until_ms, older.time_ms + 1)
        if newer is not None:
            since_ms = max(since_ms, newer.time_ms)
        narrow = {column: getattr(which, column) for column in _HOURLY_FILTERS if getattr(which, column) is not None}
        if not narrow or _raw_only(which):
            yield since_ms, until_ms
            return
        where = " AND ".join(f'"{column}" = ?' for column in narrow)
        sql = f"""SELECT hour FROM hours WHERE {where} AND hour BETWEEN ? AND ?
            GROUP BY hour ORDER BY hour {"ASC" if newer else "DESC"} LIMIT ?"""  # noqa: S608
        # Each hour has a line; but the first and the last may have theirs outside of the times that are asked for.
        rows = self._ask(sql, (*narrow.values(), since_ms // HOUR_MS, (until_ms - 1) // HOUR_MS, limit + 2))
        for first, last in _runs([int(row[0]) for row in rows]):
            yield max(since_ms, first * HOUR_MS), min(until_ms, (last + 1) * HOUR_MS)

    def _page(self, which: Filter, limit: int, older: Place | None, newer: Place | None) -> list[Row]:
        parts = self._parts(which.since_ms or 0, which.until_ms or 0)
        bound, order = _paging(older, newer)
        rows: list[Row] = []
        for part in parts if newer is None else reversed(parts):
            names = _names(part, which.name)
            found: list[Row] = []
            for each in ([name] for name in names) if names is not None else (None,):
                where, values = _where(which, each)
                sql = f"{_SELECT} WHERE {where}{bound} {order} LIMIT ?"
                found += part(sql, (*values, *_at(older, newer), limit - len(rows)))
            if names is not None:
                found.sort(key=_when, reverse=newer is None)
            rows += found[: limit - len(rows)]
            if len(rows) >= limit:
                break
        return rows

    def _counts(self, which: Filter, splits: Sequence[_Split]) -> Mapping[tuple, tuple[int, int]]:  # type: ignore[type-arg]
        """Attempts and lines by the values of the splits."""
        kept = self._kept(which)
        since_ms, until_ms = kept.since_ms or 0, kept.until_ms or 0
        first, behind = -(-since_ms // HOUR_MS), until_ms // HOUR_MS
        hourly = [split.hourly for split in splits if split.hourly is not None]
        if _raw_only(which) or len(hourly) < len(splits) or first >= behind:
            return self._count_rows(kept, splits)
        counts: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
        found = self._count_hours(which, hourly, first, behind)
        edges = [(since_ms, first * HOUR_MS), (behind * HOUR_MS, until_ms)]
        for since, until in edges:
            if since < until < _FOREVER_MS:
                edge = self._count_rows(replace(which, since_ms=since, until_ms=until), splits)
                found = [*found, *((*key, *numbers) for key, numbers in edge.items())]
        for *key, attempts, lines in found:
            before = counts[tuple(key)]
            counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts

    def _count_hours(self, which: Filter, splits: Sequence[str], first: int, behind: int) -> list[tuple]:  # type: ignore[type-arg]
        where, values = _where(replace(which, since_ms=None, until_ms=None), None)
        sql = f"""SELECT {", ".join(splits)}, sum(attempts), sum(lines) FROM hours
            WHERE {where} AND hour >= ? AND hour < ? GROUP BY {_ordinals(splits)}"""  # noqa: S608
        return self._ask(sql, (*values, first, behind))

    def _count_rows(self, which: Filter, splits: Sequence[_Split]) -> Mapping[tuple, tuple[int, int]]:  # type: ignore[type-arg]
        counts: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
        columns = ", ".join(split.raw for split in splits)
        for part in self._parts(which.since_ms or 0, which.until_ms or 0):
            names = _names(part, which.name)
            if names is not None and not names:
                continue
            where, values = _where(which, names)
            sql = f"""SELECT {columns}, sum(count), count(*) FROM attempts
                WHERE {where} GROUP BY {_ordinals(splits)}"""  # noqa: S608
            for *key, attempts, lines in part(sql, values):
                before = counts[tuple(key)]
                counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts


def _split(by: By) -> _Split:
    if by in _TIMES:
        return _Split(f"time / {_TIMES[by]}", f"hour / {_TIMES[by] // HOUR_MS}")
    if by in HOURLY:
        return _Split(f"coalesce(\"{by}\", '')", f'"{by}"')
    return _Split(f"coalesce(\"{by}\", '')", None)


def _period(by: By, number: int) -> str:
    """A day or an hour as it is printed."""
    text = moment(number * _TIMES[by])
    return text[:10] if by is By.DAY else f"{text[:13]}:00Z"


def _raw_only(which: Filter) -> bool:
    """Whether something narrows that `hours` does not know."""
    return which.name is not None or any(getattr(which, column) is not None for column in _OTHER_FILTERS)


def _where(which: Filter, names: Sequence[str] | None, table: str = "") -> tuple[str, tuple[Value, ...]]:
    """The condition of a filter with its values. names: those that `which.name` means, where they are known."""
    parts: list[str] = ["1 = 1"]
    values: list[Value] = []
    if which.since_ms is not None:
        parts.append("time >= ?")
        values.append(which.since_ms)
    if which.until_ms is not None:
        parts.append("time < ?")
        values.append(which.until_ms)
    for column in (*_HOURLY_FILTERS, *_OTHER_FILTERS):
        if (value := getattr(which, column)) is not None:
            parts.append(f'{table}"{column}" = ?')
            values.append(value)
    if names is not None:
        parts.append(f"name IN ({_marks(names)})")
        values += names
    elif which.name is not None:
        parts.append("(name = ? OR name LIKE ? ESCAPE '!')")
        escaped = which.name.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values += (which.name, f"%.{escaped}")
    return " AND ".join(parts), tuple(values)


def _names(part: Ask, name: str | None) -> list[str] | None:
    """The names that are `name` or below it; None where none is asked for, or there are too many to look up each."""
    if name is None:
        return None
    rows = part(_NAMES, (_NAMES_READ,))
    found = [row[0] for row in rows if row[0] == name or row[0].endswith(f".{name}")]
    return found if len(rows) < _NAMES_READ and len(found) <= _NAMES_MAX else None


def _paging(older: Place | None, newer: Place | None) -> tuple[str, str]:
    """The condition and the order of a page."""
    if newer is not None:
        return " AND (time, seq) > (?, ?)", "ORDER BY time, seq"
    return "" if older is None else " AND (time, seq) < (?, ?)", "ORDER BY time DESC, seq DESC"


def _at(older: Place | None, newer: Place | None) -> tuple[int, ...]:
    place = newer or older
    return () if place is None else (place.time_ms, place.seq)


def _when(row: Sequence) -> tuple[int, int]:  # type: ignore[type-arg]
    """The place of a row of `attempts`: its time, which is the third column, and its number."""
    return row[2], row[0]


def _runs(hours: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Consecutive hours, rising or falling, as first and last of each run, in the order in which they come."""
    run: list[int] = []
    for hour in hours:
        if run and abs(hour - run[-1]) != 1:
            yield min(run), max(run)
            run = []
        run.append(hour)
    if run:
        yield min(run), max(run)


def _fold(row: Sequence) -> Fold:  # type: ignore[type-arg]
    device, realm, client_ip, service, group, *rest = row
    return Fold(Subject(device or None, realm or None, client_ip or None), service, group or None, *rest)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _ordinals(splits: Sequence[object]) -> str:
    return ", ".join(str(number) for number in range(1, len(splits) + 1))
