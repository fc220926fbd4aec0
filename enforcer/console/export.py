"""What is on the screen, as a file: CSV for people, JSON lines for programs. The chain says so before it begins."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from enforcer.attempts.attempt import ATTEMPT_KEYS, Attempt, Event, Line
from enforcer.attempts.incidents import incidents, plain_incident
from enforcer.attempts.index import Filter, Index, Place
from enforcer.console.asked import Wrong, read_filter
from enforcer.console.pages import devices, overview, policy
from enforcer.console.pages.attempts import SINCE
from enforcer.console.pages.incidents import SINCE as INCIDENTS_SINCE
from enforcer.console.pages.incidents import states_of
from enforcer.console.pages.journal import SINCE as JOURNAL_SINCE
from enforcer.console.plain import plain_event, plain_record
from enforcer.console.site import Ask

MOST = 100_000
"""Lines of one file; more are for `enforcer attempts export`."""

_BATCH = 1000
_FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson"}
_ATTEMPT_COLUMNS = tuple(key for key in ATTEMPT_KEYS if key not in {"v", "type", "src"})
_EVENT_COLUMNS = ("id", "seq", "time", "node", "event", "detail")
_INCIDENT_COLUMNS = (
    *("device", "realm", "client_ip", "group", "service", "first", "last", "attempts", "records"),
    *("strength", "layers", "parts", "evidence", "actions", "direct", "bypass"),
    *("state", "note", "marked_by", "marked", "seen_since_mark"),
)


def attempts(ask: Ask) -> Response:
    """The attempts of a filter, newest first. Raises Wrong, and Unavailable when the chain cannot say so."""
    which = read_filter(ask.words, ask.now, SINCE)
    return _file(ask, "attempts", which, lambda: _records(ask, which), _ATTEMPT_COLUMNS)


def listed_incidents(ask: Ask) -> Response:
    """The incidents of a filter, with what reviewers say."""
    which, states = read_filter(ask.words, ask.now, INCIDENTS_SINCE), states_of(ask.words)

    def rows() -> Iterator[Mapping[str, object]]:
        with ask.site.index() as index:
            for skip in range(0, MOST, _BATCH):
                found = incidents(index, which, states, _BATCH, skip)
                yield from map(plain_incident, found)
                if len(found) < _BATCH:
                    return

    return _file(ask, "incidents", which, rows, _INCIDENT_COLUMNS)


def journal(ask: Ask) -> Response:
    """The events of a filter, newest first."""
    which, kind = read_filter(ask.words, ask.now, JOURNAL_SINCE), ask.words.get("event")

    def rows() -> Iterator[Mapping[str, object]]:
        older: Place | None = None
        with ask.site.index() as index:
            for _ in range(0, MOST, _BATCH):
                kinds = () if kind is None else (kind,)
                found = index.events(kinds, _BATCH, since_ms=which.since_ms, until_ms=which.until_ms, older=older)
                yield from map(plain_event, found)
                if len(found) < _BATCH or not isinstance(found[-1].entry, Event):
                    return
                older = Place(found[-1].entry.time_ms, found[-1].seq)

    return _file(ask, "journal", which, rows, _EVENT_COLUMNS)


def overview_tables(ask: Ask) -> Response:
    """The tables of the overview."""
    since_ms = overview.gathered(ask).figures.starts[0]
    return _file(ask, "overview", Filter(since_ms=since_ms), lambda: overview.rows(ask), overview.COLUMNS)


def device_tables(ask: Ask) -> Response:
    """The tables of a device's page, its newest attempts among them. Raises Missing."""
    which = Filter(device=devices.gathered(ask).device)
    return _file(ask, "device", which, lambda: devices.export_rows(ask), devices.COLUMNS)


def policy_tables(ask: Ask) -> Response:
    """The tables of the policy's page."""
    return _file(ask, "policy", Filter(), lambda: policy.export_rows(ask), policy.COLUMNS)


def list_rules(ask: Ask) -> Response:
    """The rules of a list's page. Raises Missing."""
    name = policy.searched(ask)[0].name
    return _file(ask, f"list-{name}", Filter(), lambda: policy.rule_rows(ask), policy.RULE_COLUMNS)


def _records(ask: Ask, which: Filter) -> Iterator[Mapping[str, object]]:
    with ask.site.index() as index:
        for line in _all(index, which):
            yield plain_record(line)


def _all(index: Index, which: Filter) -> Iterator[Line]:
    older: Place | None = None
    for _ in range(0, MOST, _BATCH):
        found = index.find(which, _BATCH, older=older)
        yield from found
        if len(found) < _BATCH:
            return
        last = found[-1]
        if isinstance(last.entry, Attempt):
            older = Place(last.entry.time_ms, last.seq)


def _file(
    ask: Ask, name: str, which: Filter, rows: Callable[[], Iterable[Mapping[str, object]]], columns: tuple[str, ...]
) -> Response:
    form = ask.form.get("format") or ask.words.get("format", "csv")
    if form not in _FORMATS:
        raise Wrong("format", form)
    words = {key: value for key, value in ask.words.items() if key not in {"lang", "theme", "format"}}
    ask.site.desk.export(ask.person, f"{name} as {form}, {urlencode(words) or 'everything'}", which)
    lines = _csv(rows(), columns) if form == "csv" else (json.dumps(row) + "\n" for row in rows())
    ending = "csv" if form == "csv" else "ndjson"
    stamp = ask.now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-disposition": f'attachment; filename="enforcer-{name}-{stamp}.{ending}"'}
    return StreamingResponse(lines, media_type=_FORMATS[form], headers=headers)


def _csv(rows: Iterable[Mapping[str, object]], columns: tuple[str, ...]) -> Iterator[str]:
    yield _line(columns)
    for row in rows:
        yield _line([_cell(row.get(column)) for column in columns])


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
