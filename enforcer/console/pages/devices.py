"""One device: what is known of it, how sure that is, and what it tried on every layer, in order of time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from enforcer.attempts.incidents import incidents
from enforcer.attempts.index import By, Filter
from enforcer.console.charts import Lanes, Tick, lanes
from enforcer.console.desk import Holding
from enforcer.console.pages.attempts import Row, rows_of
from enforcer.console.pages.common import days_left, incident_path, series_of, titles_of
from enforcer.console.site import Ask, Missing
from enforcer.errors import EnforcerError
from enforcer.policy.verdict import Layer

_LINES, _INCIDENTS = 100, 20
_TICKS, _COLOURS = 10, 5


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page. Raises Missing for a device that neither the index nor the hub has heard of."""
    device = ask.path["device"]
    which = Filter(device=device)
    with ask.site.index() as index:
        rows = rows_of(index.find(which, _LINES))
        facts: dict[str, object] = {
            "layers": index.stats(By.LAYER, which),
            "sources": index.stats(By.SOURCE, which),
            "found": incidents(index, which, limit=_INCIDENTS),
        }
    holdings, trouble = _held(ask, device)
    group = rows[0].attempt.owner.group if rows else holdings[0].group if holdings else None
    exemptions = [
        (each, days_left(each.until, ask.now))
        for each in ask.site.config().policy.exemptions
        if each.device == device or (each.group is not None and each.group == group)
    ]
    if not rows and not holdings:
        raise Missing("no such device")
    return facts | {
        "here": "attempts",
        "device": device,
        "rows": rows,
        "chart": _chart(ask, rows),
        "group": group,
        "holdings": holdings,
        "trouble": trouble,
        "exemptions": exemptions,
        "path": incident_path,
        "titles": titles_of(ask),
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
