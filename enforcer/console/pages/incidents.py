"""Incidents: all attempts of one device, or one address, at one service; what reviewers say of them."""

from collections.abc import Mapping
from urllib.parse import unquote

from enforcer.attempts.attempt import Event
from enforcer.attempts.incidents import Incident, incident, incidents
from enforcer.attempts.index import Filter, Review, Subject
from enforcer.console.asked import Wrong, read_filter, read_number
from enforcer.console.pages.attempts import SPANS, menus_of, rows_of
from enforcer.console.pages.common import incident_path, titles_of
from enforcer.console.site import Ask, Missing

PAGE = 25
SINCE = "30d"
STATES = tuple(map(str, Review))
NOTE_MOST = 500
_LINES, _MARKS = 50, 500


def states_of(words: Mapping[str, str]) -> frozenset[Review]:
    """Which states are asked for; none: all. Raises Wrong."""
    text = words.get("state", "")
    found = [each for each in text.split(",") if each]
    for each in found:
        if each not in STATES:
            raise Wrong("state", each)
    return frozenset(map(Review, found))


def listing(ask: Ask) -> Mapping[str, object]:
    """The facts of the list."""
    which = read_filter(ask.words, ask.now, SINCE)
    number = read_number(ask.words, "page", 1, 1, 10_000)
    with ask.site.index() as index:
        found = incidents(index, which, states_of(ask.words), PAGE + 1, (number - 1) * PAGE)
    return {
        "here": "incidents",
        "incidents": found[:PAGE],
        "path": incident_path,
        "number": number,
        "more": len(found) > PAGE,
        "menus": ask.site.lately("menus", menus_of),
        "states": STATES,
        "spans": SPANS,
        "since": ask.words.get("since", SINCE),
        "titles": titles_of(ask),
    }


def subject_of(path: Mapping[str, str]) -> Subject:
    """Whose incident an address names."""
    if "device" in path:
        return Subject(unquote(path["device"]))
    return Subject(None, unquote(path["realm"]), unquote(path["client_ip"]))


def one(ask: Ask) -> Mapping[str, object]:
    """The facts of one incident's page. Raises Missing."""
    subject, service = subject_of(ask.path), ask.path["service"]
    which = _of(subject, service)
    with ask.site.index() as index:
        found = incident(index, subject, service)
        if found is None:
            raise Missing("no such incident")
        lines = rows_of(index.find(which, _LINES))
        marks = [
            line
            for line in index.events(("mark",), _MARKS)
            if isinstance(line.entry, Event) and _is_on(line.entry.detail, subject, service)
        ]
    return {
        "here": "incidents",
        "incident": found,
        "path": incident_path(subject, service),
        "rows": lines,
        "marks": marks,
        "states": STATES,
        "note_most": NOTE_MOST,
        "titles": titles_of(ask),
        "which": _words(subject, service),
        "verdict": reading(found),
    }


def mark(ask: Ask) -> str:
    """Put a reviewer's mark into the chain. Raises Wrong, and Missing for what is no incident."""
    subject, service = subject_of(ask.path), ask.path["service"]
    state, note = ask.form.get("state", ""), ask.form.get("note", "").replace("\r\n", "\n").strip()
    if state not in STATES:
        raise Wrong("state", state)
    if not 0 < len(note) <= NOTE_MOST:
        raise Wrong("note", note)
    with ask.site.index() as index:
        if incident(index, subject, service) is None:
            raise Missing("no such incident")
    ask.site.desk.mark(subject, service, Review(state), note, ask.person)
    return f"{incident_path(subject, service)}?marked={state}"


def reading(found: Incident) -> str:
    """What the evidence says, as a key of the catalogue: the application is there, may be, or a page embeds it."""
    if found.by_evidence.get("app"):
        return "app"
    if found.direct:
        return "direct"
    return "shared" if found.by_evidence.get("shared") else "web"


def _of(subject: Subject, service: str) -> Filter:
    if subject.device is not None:
        return Filter(device=subject.device, service=service)
    return Filter(realm=subject.realm, client_ip=subject.client_ip, service=service)


def _words(subject: Subject, service: str) -> dict[str, str]:
    found = {"device": subject.device, "realm": subject.realm, "client_ip": subject.client_ip, "service": service}
    return {key: value for key, value in found.items() if value is not None} | {"since": "all"}


def _is_on(detail: Mapping[str, object], subject: Subject, service: str) -> bool:
    named = (detail.get("device"), detail.get("realm"), detail.get("client_ip"), detail.get("service"))
    return named == (subject.device, subject.realm, subject.client_ip, service)
