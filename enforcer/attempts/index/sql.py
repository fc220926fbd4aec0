"""Every question to the index, in SQL that all databases understand; how it is asked is each database's own.

Counts over time come from those by the hour where whole hours are meant, and from the rows of `attempts` at the two
edges. A page that is narrowed by what is counted by the hour reads only the hours in which there is something to find.
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
from enforcer.attempts.index.schema import COLUMNS, EVENTS, FOLDED, HOUR_MS, HOURLY, SINGLE, SUBJECT

type Ask = Callable[[str, Sequence[Value]], list[tuple]]  # type: ignore[type-arg]
"""Asks one question; `?` stands for a value."""

DAY_MS = 24 * HOUR_MS

_FOREVER_MS = 253_402_300_800_000
_HOURLY_FILTERS = tuple(column for column in HOURLY if column != "source")
_INDEXED_FILTERS = ("device", "client_ip")
_HOURS = 200  # that are looked up at once
_NAMES_READ = 5000  # different names that are looked through for those that are meant
_NAMES_MAX = 100  # names that are looked up one by one
_SELECT = f"SELECT {', '.join(f'"{column}"' for column in COLUMNS)} FROM attempts"  # noqa: S608 - no input
_EVENTS = f"SELECT {', '.join((*EVENTS.keys, *EVENTS.numbers))} FROM events"  # noqa: S608 - no input
_TIMES = {By.DAY: DAY_MS, By.HOUR: HOUR_MS}

# Each name once, from one to the next along the index, which takes as many steps as there are names.
_NAMES = """WITH RECURSIVE each(name, number) AS (
    SELECT min(name), 1 FROM attempts UNION ALL
    SELECT (SELECT min(name) FROM attempts WHERE name > each.name), number + 1 FROM each
    WHERE each.name IS NOT NULL AND number < ?)
    SELECT name FROM each WHERE name IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class _Split:
    """What counts are split by: an expression over `attempts`, and over the counts by the hour.

    column: whose values these are; None for a stretch of time. hourly: None where hours cannot tell.
    """

    raw: str
    hourly: str | None
    column: str | None = None


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
        for since_ms, until_ms in self._stretches(which, older, newer):
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
        if by in SINGLE:
            return self._distinct("value", "singles WHERE what = ? AND value <> ''", [by.value, limit])
        table = "hours" if by in HOURLY else "pairs"
        return self._distinct(f'"{by}"', f"{table} WHERE \"{by}\" <> ''", [limit])

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
        where, values = _where(Filter(service=which.service, device=which.device, group=which.group), None, "p.")
        if which.device is None and which.client_ip is not None:
            where += " AND p.realm = ? AND p.client_ip = ?"
            values += (which.realm or "", which.client_ip)
        inner = {column: getattr(which, column) for column in FOLDED[len(SUBJECT) :]}
        inner = {column: value for column, value in inner.items() if value is not None}
        if inner:
            within = " AND ".join(f"f.{column} = ?" for column in inner)
            where += f" AND EXISTS (SELECT 1 FROM folds f WHERE {_same('f', 'p')} AND {within})"  # noqa: S608
            values += tuple(inner.values())
        if states:
            where += f" AND coalesce(m.state, 'open') IN ({_marks(states)})"
            values += tuple(states)
        own = ", ".join(f"p.{column}" for column in SUBJECT)
        sql = f"""WITH p AS (
            SELECT {own}, p."group", p.last FROM pairs p LEFT JOIN marks m ON {_same("m", "p")}
            WHERE {where} AND p.last >= ? AND p.first < ? ORDER BY p.last DESC, {own} LIMIT ? OFFSET ?)
            SELECT {own}, p."group", f.part, f.layer, f.action, f.evidence, f.attempts, f.lines, f.first, f.last
            FROM p JOIN folds f ON {_same("f", "p")}
            ORDER BY p.last DESC, {own}, f.part, f.layer, f.action, f.evidence"""  # noqa: S608
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

    def _distinct(self, column: str, where: str, values: Sequence[Value]) -> list[str]:
        rows = self._ask(f"SELECT DISTINCT {column} FROM {where} ORDER BY 1 LIMIT ?", values)  # noqa: S608
        return [row[0] for row in rows]

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

    def _stretches(self, which: Filter, older: Place | None, newer: Place | None) -> Iterator[tuple[int, int]]:
        """The times to read, in the order of reading, until a page is full."""
        kept = self._kept(which)
        since_ms, until_ms = kept.since_ms or 0, kept.until_ms or 0
        if older is not None:
            until_ms = min(until_ms, older.time_ms + 1)
        if newer is not None:
            since_ms = max(since_ms, newer.time_ms)
        asked = _hours_with(which)
        if not asked or _by_index(which):
            yield since_ms, until_ms
            return
        # Hours in which there is each of them; whether there is one with all of them, reading tells.
        hours = " INTERSECT ".join(sql for sql, _ in asked)
        values = [value for _, each in asked for value in each]
        first, last = since_ms // HOUR_MS, (until_ms - 1) // HOUR_MS
        ascending = newer is not None
        sql = f"""SELECT hour FROM ({hours}) h WHERE hour BETWEEN ? AND ?
            ORDER BY hour {"ASC" if ascending else "DESC"} LIMIT ?"""  # noqa: S608
        while rows := self._ask(sql, (*values, first, last, _HOURS)):
            found = [int(row[0]) for row in rows]
            for begin, end in _runs(found):
                yield max(since_ms, begin * HOUR_MS), min(until_ms, (end + 1) * HOUR_MS)
            if ascending:
                first = found[-1] + 1
            else:
                last = found[-1] - 1

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
        counted = _counted_by(which, splits)
        if counted is None or first >= behind:
            return self._count_rows(kept, splits)
        sql, values = counted
        counts: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
        found = self._ask(sql, (*values, first, behind))
        edges = [(since_ms, first * HOUR_MS), (behind * HOUR_MS, until_ms)]
        for since, until in edges:
            if since < until < _FOREVER_MS:
                edge = self._count_rows(replace(which, since_ms=since, until_ms=until), splits)
                found = [*found, *((*key, *numbers) for key, numbers in edge.items())]
        for *key, attempts, lines in found:
            before = counts[tuple(key)]
            counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts

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
    return _Split(f"coalesce(\"{by}\", '')", f'"{by}"' if by in HOURLY else "value" if by in SINGLE else None, by.value)


def _counted_by(which: Filter, splits: Sequence[_Split]) -> tuple[str, list[Value]] | None:
    """The question to the counts by the hour, to be completed with the first hour and that behind the last.

    None where they cannot tell: `hours` knows its columns together, `singles` one column by itself.
    """
    hourly = [split.hourly for split in splits if split.hourly is not None]
    if len(hourly) < len(splits) or _by_index(which):
        return None
    narrow = {column: getattr(which, column) for column in (*_HOURLY_FILTERS, *SINGLE)}
    narrow = {column: value for column, value in narrow.items() if value is not None}
    columns = {*narrow, *(split.column for split in splits if split.column is not None)}
    if columns <= set(HOURLY):
        table, where, values = "hours", [f'"{column}" = ?' for column in narrow], list(narrow.values())
    elif len(columns) == 1:
        (column,) = columns
        table, where, values = "singles", ["what = ?", *("value = ?" for _ in narrow)], [column, *narrow.values()]
    else:
        return None
    condition = " AND ".join([*where, "hour >= ?", "hour < ?"])
    sql = f"""SELECT {", ".join(hourly)}, sum(attempts), sum(lines) FROM {table}
        WHERE {condition} GROUP BY {_ordinals(splits)}"""  # noqa: S608
    return sql, values


def _hours_with(which: Filter) -> list[tuple[str, list[Value]]]:
    """Questions for the hours in which there is what narrows, with their values; none where nothing of that does."""
    asked: list[tuple[str, list[Value]]] = []
    narrow = {column: getattr(which, column) for column in _HOURLY_FILTERS if getattr(which, column) is not None}
    if narrow:
        where = " AND ".join(f'"{column}" = ?' for column in narrow)
        asked.append((f"SELECT DISTINCT hour FROM hours WHERE {where}", list(narrow.values())))  # noqa: S608
    asked += [
        ("SELECT hour FROM singles WHERE what = ? AND value = ?", [column, getattr(which, column)])
        for column in SINGLE
        if getattr(which, column) is not None
    ]
    return asked


def _period(by: By, number: int) -> str:
    """A day or an hour as it is printed."""
    text = moment(number * _TIMES[by])
    return text[:10] if by is By.DAY else f"{text[:13]}:00Z"


def _by_index(which: Filter) -> bool:
    """Whether something narrows that the counts do not know, and that `attempts` has an index for."""
    return which.name is not None or any(getattr(which, column) is not None for column in _INDEXED_FILTERS)


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
    for column in (*_HOURLY_FILTERS, *SINGLE, *_INDEXED_FILTERS):
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


def _same(one: str, other: str) -> str:
    """The condition that two tables speak of one incident."""
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in SUBJECT)


def _fold(row: Sequence) -> Fold:  # type: ignore[type-arg]
    device, realm, client_ip, service, group, *rest = row
    return Fold(Subject(device or None, realm or None, client_ip or None), service, group or None, *rest)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _ordinals(splits: Sequence[object]) -> str:
    return ", ".join(str(number) for number in range(1, len(splits) + 1))
