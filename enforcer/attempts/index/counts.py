"""Attempts counted: by column, by time, by device.

Counts over time come from those by the day and by the hour where whole ones are meant, and from the rows of `attempts`
at the two edges.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from enforcer.attempts.attempt import moment
from enforcer.attempts.index import Bucket, By, Count, Filter, TopDevices
from enforcer.attempts.index.batch import Value
from enforcer.attempts.index.database import (
    DAY_MS,
    FOREVER_MS,
    Database,
    equal,
    marks,
    names_below,
    narrowing,
    where,
)
from enforcer.attempts.index.schema import HOUR_MS, KIND, SINGLE, SPANS, TOGETHER

_TIMES = {By.DAY: DAY_MS, By.HOUR: HOUR_MS}


@dataclass(frozen=True, slots=True)
class _Split:
    """What counts are split by: a column, or stretches of time.

    raw: as an expression over `attempts`. hours: how long a stretch is; None where it is no whole hours.
    """

    raw: str
    column: str | None = None
    hours: int | None = None

    def counted(self, span: int) -> str | None:
        """The same over what is counted by spans of so many hours; None where these cannot tell."""
        if self.column is None:
            return None if self.hours is None or self.hours % span else f"start / {self.hours // span}"
        return f'"{self.column}"' if self.column in TOGETHER else "value" if self.column in SINGLE else None


class Counts(Database):
    """What is asked about many lines at once."""

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
        splits = [_stretch(bucket_ms)]
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
            sql = "SELECT name FROM names ORDER BY name LIMIT ?"
            return sorted({row[0] for part in self._parts(0, FOREVER_MS) for row in part(sql, (limit,))})[:limit]
        if by in SINGLE:
            return self._distinct("value", "singles WHERE span = ? AND what = ?", [SPANS[0], by.value, limit])
        if by in TOGETHER:
            return self._distinct(f'"{by}"', "spans WHERE span = ?", [SPANS[0], limit])
        return self._distinct(f'"{by}"', "pairs WHERE 1 = 1", [limit])

    def totals(self) -> Mapping[tuple[str, str, str, str], int]:
        """See Index."""
        rows = self._ask("SELECT service, layer, action, source, attempts FROM totals")
        return {(service, layer, action, source): count for service, layer, action, source, count in rows}

    def devices_attempting(self, since_ms: int) -> Mapping[str, int]:
        """See Index."""
        sql = "SELECT service, count(*) FROM pairs WHERE last >= ? AND device <> '' GROUP BY service"
        return {service: int(count) for service, count in self._ask(sql, (since_ms,))}

    def top_devices(self, devices: int, since_ms: int) -> TopDevices:
        """See Index."""
        condition, values = where(self._kept(Filter(since_ms=since_ms)))
        sql = f"""SELECT device, service, sum(count) FROM attempts JOIN kinds USING (kind)
            WHERE {condition} GROUP BY device, service"""  # noqa: S608
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for part in self._parts(since_ms, FOREVER_MS):
            for device, service, count in part(sql, values):
                if device is not None:
                    counts[device][service] += int(count)
        order = sorted(counts, key=lambda device: (-counts[device].total(), device))
        rest: Counter[str] = Counter()
        for device in order[devices:]:
            rest.update(counts[device])
        return TopDevices({(device, key): n for device in order[:devices] for key, n in counts[device].items()}, rest)

    def _distinct(self, column: str, rows: str, values: Sequence[Value]) -> list[str]:
        found = self._ask(f"SELECT DISTINCT {column} FROM {rows} AND {column} <> '' ORDER BY 1 LIMIT ?", values)  # noqa: S608
        return [row[0] for row in found]

    def _counts(self, which: Filter, splits: Sequence[_Split]) -> Mapping[tuple, tuple[int, int]]:  # type: ignore[type-arg]
        """Attempts and lines by the values of the splits."""
        counts: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
        for *key, attempts, lines in self._counted(self._kept(which), splits, SPANS):
            before = counts[tuple(key)]
            counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts

    def _counted(self, which: Filter, splits: Sequence[_Split], spans: Sequence[int]) -> Iterator[tuple]:  # type: ignore[type-arg]
        """The same in several rows, from the longest of the spans that lie within, and what is left at the edges."""
        if not spans:
            yield from self._count_rows(which, splits)
            return
        since_ms, until_ms, length_ms = which.since_ms or 0, which.until_ms or 0, spans[0] * HOUR_MS
        first, behind = -(-since_ms // length_ms), until_ms // length_ms
        counted = _counted_by(which, splits, spans[0])
        if counted is None or first >= behind:
            yield from self._counted(which, splits, spans[1:])
            return
        sql, values = counted
        yield from self._ask(sql, (*values, first, behind))
        for since, until in ((since_ms, first * length_ms), (behind * length_ms, until_ms)):
            if since < until:
                yield from self._counted(replace(which, since_ms=since, until_ms=until), splits, spans[1:])

    def _count_rows(self, which: Filter, splits: Sequence[_Split]) -> Iterator[tuple]:  # type: ignore[type-arg]
        columns = ", ".join(split.raw for split in splits)
        kinds = " JOIN kinds USING (kind)" if any(split.column in KIND for split in splits) else ""
        for part in self._parts(which.since_ms or 0, which.until_ms or 0):
            names = None if which.name is None else names_below(part, which.name)
            condition, values = where(which if names is None else replace(which, name=None))
            if names is not None:
                condition, values = f"{condition} AND name IN ({marks(names) or 'NULL'})", (*values, *names)
            sql = f"""SELECT {columns}, sum(count), count(*) FROM attempts{kinds}
                WHERE {condition} GROUP BY {_ordinals(splits)}"""  # noqa: S608
            yield from part(sql, values)


def _split(by: By) -> _Split:
    return _stretch(_TIMES[by]) if by in _TIMES else _Split(f"coalesce(\"{by}\", '')", by.value)


def _stretch(length_ms: int) -> _Split:
    return _Split(f"time / {length_ms:d}", hours=None if length_ms % HOUR_MS else length_ms // HOUR_MS)


def _counted_by(which: Filter, splits: Sequence[_Split], span: int) -> tuple[str, tuple[Value, ...]] | None:
    """The question to what is counted by spans of so many hours, to be completed with the first and the end.

    None where they cannot tell: `spans` knows its columns together, `singles` one column by itself.
    """
    counted = [expression for split in splits if (expression := split.counted(span)) is not None]
    if len(counted) < len(splits) or (which.device, which.client_ip, which.name) != (None, None, None):
        return None
    narrow = narrowing(which)
    columns = {*narrow, *(split.column for split in splits if split.column is not None)}
    if columns <= set(TOGETHER):
        table, (condition, values) = "spans", equal(narrow)
    elif len(columns) == 1:
        table, condition, values = "singles", "what = ?", tuple(columns)
        if narrow:
            condition, values = f"{condition} AND value = ?", (*values, *narrow.values())
    else:
        return None
    sql = f"""SELECT {", ".join(counted)}, sum(attempts), sum(lines) FROM {table}
        WHERE {condition} AND span = {span} AND start >= ? AND start < ? GROUP BY {_ordinals(splits)}"""  # noqa: S608
    return sql, values


def _period(by: By, number: int) -> str:
    """A day or an hour as it is printed."""
    text = moment(number * _TIMES[by])
    return text[:10] if by is By.DAY else f"{text[:13]}:00Z"


def _ordinals(splits: Sequence[object]) -> str:
    return ", ".join(str(number) for number in range(1, len(splits) + 1))
