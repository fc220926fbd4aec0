"""One device: what is known of it, how sure that is, and what it tried on every layer, in order of time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from enforcer.attempts.attempt import moment
from enforcer.attempts.incidents import Incident, incidents
from enforcer.attempts.index import By, Count, Filter
from enforcer.console.charts import Lanes, Tick, lanes
from enforcer.console.desk import Holding
from enforcer.console.pages.attempts import Row, rows_of
from enforcer.console.pages.common import days_left, incident_path, incident_row, series_of, titles_of
from enforcer.console.site import Ask, Missing
from enforcer.errors import EnforcerError
from enforcer.policy.verdict import Layer

_LINES, _INCIDENTS = 100, 20
_TICKS, _COLOURS = 10, 5


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that the page says of a device. trouble: why its addresses are not known; None when they are."""

    device: str
    lines: Sequence[Row]
    layers: Sequence[Count]
    sources: Sequence[Count]
    incidents: Sequence[Incident]
    holdings: Sequence[Holding]
    trouble: str | None


def gathered(ask: Ask) -> Shown:
    """What is known of a device. Raises Missing for one that neither the index nor the hub has heard of."""
    device = ask.path["device"]
    which = Filter(device=device)
    with ask.site.index() as index:
        lines = rows_of(index.find(which, _LINES))
        layers, sources = index.stats(By.LAYER, which), index.stats(By.SOURCE, which)
        found = incidents(index, which, limit=_INCIDENTS)
    holdings, trouble = _held(ask, device)
    if not lines and not holdings:
        raise Missing("no such device")
    return Shown(device, lines, layers, sources, found, holdings, trouble)


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page. Raises Missing."""
    shown = gathered(ask)
    device, rows, holdings = shown.device, shown.lines, shown.holdings
    group = rows[0].attempt.owner.group if rows else holdings[0].group if holdings else None
    exemptions = [
        (each, days_left(each.until, ask.now))
        for each in ask.site.config().policy.exemptions
        if each.device == device or (each.group is not None and each.group == group)
    ]
    return {
        "here": "attempts",
        "layers": shown.layers,
        "sources": shown.sources,
        "found": shown.incidents,
        "device": device,
        "rows": rows,
        "chart": _chart(ask, rows),
        "group": group,
        "holdings": holdings,
        "trouble": shown.trouble,
        "exemptions": exemptions,
        "path": incident_path,
        "titles": titles_of(ask),
    }


COLUMNS = (
    *("table", "id", "time", "last", "device", "realm", "client_ip", "addresses", "service", "part", "name", "layer"),
    *("action", "identity", "confidence", "evidence", "state", "since", "attempts"),
)
"""Of the page's tables as one file; `table` says of which one a row is, and each row has the columns of its own."""


def export_rows(ask: Ask) -> Iterator[Mapping[str, object]]:
    """The page's tables, row by row. identity: the source that told the device. Raises Missing."""
    shown = gathered(ask)
    for each in shown.holdings:
        since, last = (None if ms is None else moment(ms) for ms in (each.since_ms, each.last_ms))
        held = {"realm": each.realm, "addresses": " ".join(each.addresses), "identity": each.source}
        yield {"table": "sessions", **held, "state": each.state, "since": since, "last": last}
    yield from map(incident_row, shown.incidents)
    for source in shown.sources:
        yield {"table": "sources", "identity": source.key or "unknown", "attempts": source.attempts}
    for layer in shown.layers:
        yield {"table": "layers", "layer": layer.key, "attempts": layer.attempts}
    for row in shown.lines:
        block, identity = row.attempt.block, row.attempt.owner.identity
        yield {
            "table": "attempts",
            "id": row.id,
            "time": moment(row.attempt.time_ms),
            "last": moment(row.attempt.last_ms),
            "device": row.device,
            "service": block.service,
            "part": block.part,
            "name": row.shown,
            "layer": str(block.layer),
            "action": str(block.action),
            "identity": str(identity.source),
            "confidence": str(identity.confidence),
            "evidence": block.evidence,
            "attempts": row.attempt.count,
        }


def _held(ask: Ask, device: str) -> tuple[Sequence[Holding], str | None]:
    """Its addresses as the hub knows them now; none, and why, where it does not answer."""
    try:
        return ask.site.desk.holdings(device), None
    except EnforcerError as error:
        return (), str(error)


def _chart(ask: Ask, rows: Sequence[Row]) -> Lanes:
    """When it was seen on which layer, in the colours that the services have on the overview."""
    services = series_of({row.attempt.block.service for row in rows})
    seen = [
        (
            row.attempt.time_ms,
            str(row.attempt.block.layer),
            row.attempt.count,
            min(services.index(row.attempt.block.service), _COLOURS),
            row.shown or row.attempt.block.service,
        )
        for row in rows
    ]
    layers = [layer for layer in map(str, Layer) if any(each[1] == layer for each in seen)]
    return lanes(layers, seen, _ticks(ask, rows))


def _ticks(ask: Ask, rows: Sequence[Row]) -> list[Tick]:
    """The beginnings of days of the reader's zone between the first and the last, not more than fit."""
    if not rows:
        return []
    first, last = (
        datetime.fromtimestamp(row.attempt.time_ms / 1000, UTC).astimezone(ask.site.zone) for row in (rows[-1], rows[0])
    )
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [day + timedelta(days=i) for i in range((last.date() - first.date()).days + 1)]
    step = -(-len(days) // _TICKS) or 1
    return [Tick(each.timestamp() * 1000, each.strftime("%m-%d")) for each in days[::step]]
