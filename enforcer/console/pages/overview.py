"""The first page: is the ban in force, what was attempted when, by which devices, and what has to be looked at."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.attempts.incidents import Incident, incidents
from enforcer.attempts.index import By, Count, Filter, Index, Review
from enforcer.console.asked import Wrong
from enforcer.console.charts import grouped, heat, stacked
from enforcer.console.pages.common import incident_path, incident_row, series_of, standing, titles_of
from enforcer.console.site import Ask

HOUR_MS = 3_600_000
RANGES: Mapping[str, tuple[timedelta, timedelta]] = {
    "24h": (timedelta(hours=24), timedelta(hours=1)),
    "7d": (timedelta(days=7), timedelta(hours=6)),
    "30d": (timedelta(days=30), timedelta(days=1)),
    "90d": (timedelta(days=90), timedelta(days=1)),
}
"""What can be looked at, each with the width of one bar."""

DEVICE_SPANS = ("24h", "7d")
"""In which devices are counted one by one; longer ones would mean reading millions of lines, and are a minute old."""

_DEVICES, _INCIDENTS = 10, 6


@dataclass(frozen=True, slots=True)
class Tries:
    """Devices that tried in a span: how many different ones, and those that tried most with how often."""

    different: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that the page counts. chosen: the range; span: in which devices are counted one by one."""

    chosen: str
    span: str
    figures: "Figures"
    tries: Tries
    pending: Sequence[Incident]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted over a span whose bars begin at `starts`. values: of each service, for each bar."""

    starts: Sequence[int]
    services: Sequence[str]
    values: Sequence[Sequence[int]]
    heat_map: Mapping[tuple[int, int], int]
    layers: Sequence[Count]
    evidence: Sequence[Count]
    known: int


def gathered(ask: Ask) -> Shown:
    """What the index says of the range that is asked for. Raises Wrong."""
    chosen = ask.words.get("since", "7d")
    if chosen not in RANGES:
        raise Wrong("since", chosen)
    length, width = RANGES[chosen]
    starts = buckets(ask.now, length, width, ask)
    with ask.site.index() as index:
        pending = incidents(index, Filter(since_ms=starts[0]), {Review.OPEN, Review.ESCALATED}, _INCIDENTS)
        figures = _figures(index, starts, ask.site.zone) if chosen in DEVICE_SPANS else None
    if figures is None:
        figures = ask.site.lately(f"overview {chosen}", lambda index: _figures(index, starts, ask.site.zone))
    span = chosen if chosen in DEVICE_SPANS else DEVICE_SPANS[-1]
    since_ms = _ms(ask.now - RANGES[span][0])
    tries = ask.site.lately(f"devices {span}", lambda index: _tries(index, since_ms))
    return Shown(chosen, span, figures, tries, pending)


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page."""
    shown = gathered(ask)
    chosen, figures = shown.chosen, shown.figures
    labels = [_label(start, RANGES[chosen][1], ask) for start in figures.starts]
    cells = [[figures.heat_map.get((day, hour), 0) for hour in range(24)] for day in range(7)]
    shades = heat([value for row in cells for value in row])
    return {
        "here": "overview",
        "standing": standing(ask.site),
        "ranges": tuple(RANGES),
        "chosen": chosen,
        "services": figures.services,
        "layers": figures.layers,
        "evidence": figures.evidence,
        "incidents": shown.pending,
        "titles": titles_of(ask),
        "total": sum(map(sum, figures.values)),
        "totals": [sum(each) for each in figures.values],
        "tries": shown.tries,
        "device_span": shown.span,
        "known": figures.known,
        "chart": stacked(labels, figures.values),
        "rows": [(label, [each[i] for each in figures.values]) for i, label in enumerate(labels)],
        "cells": cells,
        "shades": [shades[day * 24 : day * 24 + 24] for day in range(7)],
        "path": incident_path,
    }


COLUMNS = (
    *("table", "from", "service", "layer", "evidence", "weekday", "hour"),
    *("device", "realm", "client_ip", "state", "last", "attempts"),
)
"""Of the page's tables as one file; `table` says of which one a row is, and each row has the columns of its own."""


def rows(ask: Ask) -> Iterator[Mapping[str, object]]:
    """The page's tables, row by row. weekday: 1 is Monday; from: when a stretch of time begins."""
    shown = gathered(ask)
    figures = shown.figures
    for i, start in enumerate(figures.starts):
        begin = datetime.fromtimestamp(start / 1000, UTC).astimezone(ask.site.zone).isoformat()
        for service, values in zip(figures.services, figures.values, strict=True):
            yield {"table": "time", "from": begin, "service": service, "attempts": values[i]}
    for service, values in zip(figures.services, figures.values, strict=True):
        yield {"table": "services", "service": service, "attempts": sum(values)}
    for layer in figures.layers:
        yield {"table": "layers", "layer": layer.key, "attempts": layer.attempts}
    for evidence in figures.evidence:
        yield {"table": "evidence", "evidence": evidence.key, "attempts": evidence.attempts}
    for (day, hour), count in sorted(figures.heat_map.items()):
        yield {"table": "hours", "weekday": day + 1, "hour": hour, "attempts": count}
    for device, count in shown.tries.top:
        yield {"table": "devices", "device": device, "attempts": count}
    yield from map(incident_row, shown.pending)


def _figures(index: Index, starts: Sequence[int], zone: tzinfo) -> Figures:
    which = Filter(since_ms=starts[0])
    services, values = _over_time(index, which, starts)
    return Figures(
        starts=starts,
        services=services,
        values=values,
        heat_map=index.heat_map(which, zone),
        layers=index.stats(By.LAYER, which),
        evidence=index.stats(By.EVIDENCE, which),
        known=sum(each.attempts for each in index.stats(By.SOURCE, which) if each.key != "unknown"),
    )


def buckets(now: datetime, length: timedelta, width: timedelta, ask: Ask) -> list[int]:
    """The starts, in ms, of the stretches of a range that ends now; whole hours or days of the reader's zone."""
    local = now.astimezone(ask.site.zone)
    last = local.replace(minute=0, second=0, microsecond=0)
    last = last.replace(hour=last.hour - last.hour % max(int(width.total_seconds()) // 3600 % 24, 1))
    if width >= timedelta(days=1):
        last = last.replace(hour=0)
    begin = last - length + width
    count = int(length / width)
    if width >= timedelta(days=1):  # a day can have 23 or 25 hours
        return [_ms(begin + i * width) for i in range(count)]
    first = begin.astimezone(UTC)
    return [_ms(first + i * width) for i in range(count)]


def _over_time(index: Index, which: Filter, starts: Sequence[int]) -> tuple[list[str], list[list[int]]]:
    """The services that were attempted, and for each its attempts by stretch."""
    by_service: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for bucket in index.histogram(which, HOUR_MS, By.SERVICE):
        by_service[bucket.key or ""].append((bucket.start_ms, bucket.attempts))
    services = series_of(by_service)
    counts = {service: grouped(starts, by_service[service]) for service in by_service}
    values = [counts[service] for service in services[:5]]
    rest = [counts[service] for service in services[5:]]
    if rest:
        return [*services[:5], "other"], [*values, [sum(each) for each in zip(*rest, strict=True)]]
    return services, values


def _tries(index: Index, since_ms: int) -> Tries:
    counts = index.stats(By.DEVICE, Filter(since_ms=since_ms))
    known = [(each.key, each.attempts) for each in counts if each.key is not None]
    return Tries(len(known), tuple(known[:_DEVICES]))


def _label(start_ms: int, width: timedelta, ask: Ask) -> str:
    local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(ask.site.zone)
    if width >= timedelta(days=1):
        return local.strftime("%m-%d")
    return local.strftime("%H:%M" if width == timedelta(hours=1) else "%m-%d %H h")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
