"""Attempts counted: by column, by time, by device.

Counts over time come from those by the hour where whole hours are meant, and from the rows of `attempts` at the two
edges.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from enforcer.attempts.attempt import moment
from enforcer.attempts.index import Bucket, By, Count, Filter, TopDevices
from enforcer.attempts.index.batch import Value
from enforcer.attempts.index.database import (
    DAY_MS,
    FOREVER_MS,
    Database,
    all_names,
    equal,
    marks,
    names_below,
    narrowing,
    where,
)
from enforcer.attempts.index.schema import HOUR_MS, HOURLY, KIND, SINGLE

_TIMES = {By.DAY: DAY_MS, By.HOUR: HOUR_MS}


@dataclass(frozen=True, slots=True)
class _Split:
    """What counts are split by: an expression over `attempts`, and over the counts by the hour.

    column: whose values these are; None for a stretch of time. hourly: None where hours cannot tell.
    """

    raw: str
    hourly: str | None
    column: str | None = None


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
            return sorted({name for part in self._parts(0, FOREVER_MS) for name in all_names(part, limit)})[:limit]
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

    def _distinct(self, column: str, where: str, values: Sequence[Value]) -> list[str]:
        rows = self._ask(f"SELECT DISTINCT {column} FROM {where} ORDER BY 1 LIMIT ?", values)  # noqa: S608
        return [row[0] for row in rows]

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
            if since < until < FOREVER_MS:
                edge = self._count_rows(replace(which, since_ms=since, until_ms=until), splits)
                found = [*found, *((*key, *numbers) for key, numbers in edge.items())]
        for *key, attempts, lines in found:
            before = counts[tuple(key)]
            counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts

    def _count_rows(self, which: Filter, splits: Sequence[_Split]) -> Mapping[tuple, tuple[int, int]]:  # type: ignore[type-arg]
        counts: dict[tuple[object, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
        columns = ", ".join(split.raw for split in splits)
        kinds = " JOIN kinds USING (kind)" if any(split.column in KIND for split in splits) else ""
        for part in self._parts(which.since_ms or 0, which.until_ms or 0):
            names = None if which.name is None else names_below(part, which.name)
            if names is not None and not names:
                continue
            condition, values = where(which if names is None else replace(which, name=None))
            if names is not None:
                condition, values = f"{condition} AND name IN ({marks(names)})", (*values, *names)
            sql = f"""SELECT {columns}, sum(count), count(*) FROM attempts{kinds}
                WHERE {condition} GROUP BY {_ordinals(splits)}"""  # noqa: S608
            for *key, attempts, lines in part(sql, values):
                before = counts[tuple(key)]
                counts[tuple(key)] = before[0] + int(attempts), before[1] + int(lines)
        return counts


def _split(by: By) -> _Split:
    if by in _TIMES:
        return _Split(f"time / {_TIMES[by]}", f"hour / {_TIMES[by] // HOUR_MS}")
    return _Split(f"coalesce(\"{by}\", '')", f'"{by}"' if by in HOURLY else "value" if by in SINGLE else None, by.value)


def _counted_by(which: Filter, splits: Sequence[_Split]) -> tuple[str, tuple[Value, ...]] | None:
    """The question to the counts by the hour, to be completed with the first hour and that behind the last.

    None where they cannot tell: `hours` knows its columns together, `singles` one column by itself.
    """
    hourly = [split.hourly for split in splits if split.hourly is not None]
    if len(hourly) < len(splits) or (which.device, which.client_ip, which.name) != (None, None, None):
        return None
    narrow = narrowing(which)
    columns = {*narrow, *(split.column for split in splits if split.column is not None)}
    if columns <= set(HOURLY):
        table, (condition, values) = "hours", equal(narrow)
    elif len(columns) == 1:
        table, condition, values = "singles", "what = ?", tuple(columns)
        if narrow:
            condition, values = f"{condition} AND value = ?", (*values, *narrow.values())
    else:
        return None
    sql = f"""SELECT {", ".join(hourly)}, sum(attempts), sum(lines) FROM {table}
        WHERE {condition} AND hour >= ? AND hour < ? GROUP BY {_ordinals(splits)}"""  # noqa: S608
    return sql, values


def _period(by: By, number: int) -> str:
    """A day or an hour as it is printed."""
    text = moment(number * _TIMES[by])
    return text[:10] if by is By.DAY else f"{text[:13]}:00Z"


def _ordinals(splits: Sequence[object]) -> str:
    return ", ".join(str(number) for number in range(1, len(splits) + 1))
