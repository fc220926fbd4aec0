"""What the API answers, as plain values: each function is an operation of openapi.yaml. Each runs in a thread."""

from collections.abc import Mapping

from enforcer.attempts.attempt import Attempt, Event, moment
from enforcer.attempts.incidents import incident, incidents, plain_incident
from enforcer.attempts.index import By, Filter, Place
from enforcer.console.asked import Wrong, place_text, read_filter, read_number, read_page
from enforcer.console.pages import health as health_page
from enforcer.console.pages import incidents as incidents_page
from enforcer.console.pages import policy as policy_page
from enforcer.console.pages.common import standing
from enforcer.console.pages.inlog import look
from enforcer.console.pages.signed import signature
from enforcer.console.plain import plain_event, plain_record
from enforcer.console.site import Ask, Missing
from enforcer.errors import EnforcerError

LIMIT, LIMIT_MOST = 100, 1000


def list_attempts(ask: Ask) -> Mapping[str, object]:
    """Attempts, newest first, page by page. Raises Wrong."""
    which, where = read_filter(ask.words, ask.now), read_page(ask.words)
    size = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    with ask.site.index() as index:
        lines = [
            line
            for line in index.find(which, size, older=where.older, newer=where.newer)
            if isinstance(line.entry, Attempt)
        ]
    places = [Place(line.entry.time_ms, line.seq) for line in lines if isinstance(line.entry, Attempt)]
    return {
        "attempts": [plain_record(line) for line in lines],
        "older": place_text(places[-1]) if len(places) == size else None,
        "newer": place_text(places[0]) if places else None,
    }


def show_attempt(ask: Ask) -> Mapping[str, object]:
    """One attempt, as it stands in the log. Raises Missing."""
    with ask.site.index() as index:
        line = index.get(ask.path["id"].upper())
    if line is None:
        raise Missing("no such attempt")
    return plain_record(line)


def show_chain(ask: Ask) -> Mapping[str, object]:
    """What the record's page says of its place in the log and of the signature over it."""
    with ask.site.index() as index:
        line = index.get(ask.path["id"].upper())
    if line is None:
        raise Missing("no such attempt")
    place = look(ask.site.log, line)
    by = signature(ask.site.log, place)
    at_ms = None if by is None else by.time_ms
    return {
        "seq": line.seq,
        "file": place.file,
        "found": str(place.found),
        "hash": place.hash,
        "prev": line.prev,
        "before": place.before,
        "after": place.after,
        "signed": None if by is None else str(by.signed),
        "checkpoint": None
        if by is None or at_ms is None
        else {"seq": by.seq, "time": moment(at_ms), "key": by.key, "lines": by.lines},
    }


def count_attempts(ask: Ask) -> Mapping[str, object]:
    """Attempts counted by a column. Raises Wrong."""
    which = read_filter(ask.words, ask.now)
    by = ask.words.get("by", "service")
    if by not in {each.value for each in By}:
        raise Wrong("by", by)
    limit = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    with ask.site.index() as index:
        found = index.stats(By(by), which, limit)
    return {"by": by, "counts": [{"key": each.key, "attempts": each.attempts, "lines": each.lines} for each in found]}


def list_incidents(ask: Ask) -> Mapping[str, object]:
    """Incidents, the one seen last first. Raises Wrong."""
    which, states = read_filter(ask.words, ask.now), incidents_page.states_of(ask.words)
    number = read_number(ask.words, "page", 1, 1, 10_000)
    size = read_number(ask.words, "limit", 50, 1, 200)
    with ask.site.index() as index:
        found = incidents(index, which, states, size + 1, (number - 1) * size)
    return {
        "incidents": [plain_incident(each) for each in found[:size]],
        "page": number,
        "next": number + 1 if len(found) > size else None,
    }


def show_incident(ask: Ask) -> Mapping[str, object]:
    """The incident of a device, or of an address. Raises Missing."""
    with ask.site.index() as index:
        found = incident(index, incidents_page.subject_of(ask.path), ask.path["service"])
    if found is None:
        raise Missing("no such incident")
    return plain_incident(found)


def mark_incident(ask: Ask) -> Mapping[str, object]:
    """Put a mark into the chain. Raises Wrong and Missing."""
    incidents_page.mark(ask)
    return {"state": ask.form["state"], "note": ask.form.get("note", "").strip(), "who": ask.person.name}


def show_device(ask: Ask) -> Mapping[str, object]:
    """What is known of a device. Raises Missing."""
    device = ask.path["device"]
    which = Filter(device=device)
    with ask.site.index() as index:
        found = incidents(index, which, limit=200)
        layers = index.stats(By.LAYER, which)
    if not found:
        raise Missing("no such device")
    try:
        sessions = ask.site.desk.sessions(device)["sessions"]
    except (EnforcerError, KeyError):
        sessions = None
    return {
        "device": device,
        "group": found[0].group,
        "sessions": sessions,
        "incidents": [plain_incident(each) for each in found],
        "by_layer": {str(each.key): each.attempts for each in layers},
    }


def list_sessions(ask: Ask) -> Mapping[str, object]:
    """Who is connected now. Raises Unavailable."""
    answer = ask.site.desk.sessions(ask.words.get("device"))
    return {"sessions": answer.get("sessions", []), "more": bool(answer.get("more"))}


def list_silent(ask: Ask) -> Mapping[str, object]:
    """Devices that no source has shown for days. Raises Wrong and Unavailable."""
    answer = ask.site.desk.silent(read_number(ask.words, "days", 7, 1, 3650))
    return {"silent": answer.get("silent", []), "sources": bool(answer.get("sources"))}


def show_status(ask: Ask) -> Mapping[str, object]:
    """What `enforcer status --json` prints."""
    try:
        return {"hub": True, **ask.site.desk.status()}
    except EnforcerError as error:
        return {"hub": False, "error": str(error)}


def show_policy(ask: Ask) -> Mapping[str, object]:
    """Lists, exemptions and pauses in force."""
    policy, config = ask.site.policies.in_force(), ask.site.config()
    said = standing(ask.site)
    return {
        "ban": said.ban,
        "ruleset": policy.ruleset,
        "enforced": said.enforced,
        "monitored": list(said.monitored),
        "pauses": [{"realm": each.realm, "until": each.until.isoformat()} for each in said.pauses],
        "lists": [
            {
                "name": each.name,
                "service": each.service,
                "title": {"en": each.title.en, "fr": each.title.fr},
                "vendor": each.vendor,
                "version": each.version,
                "ban": each.ban,
                "mode": str(each.mode),
                "rules": len(each.rules),
            }
            for each in policy.lists
        ],
        "third_party": [
            {"name": each.source.name, "service": each.source.service, "names": each.suffixes + each.exacts}
            for each in policy.third_party
        ],
        "exemptions": [
            {
                "device": each.exemption.device,
                "group": each.exemption.group,
                "services": list(each.exemption.services),
                "until": each.exemption.until.isoformat(),
                "days_left": each.days,
                "reason": each.exemption.reason,
                "approved_by": each.exemption.approved_by,
            }
            for each in policy_page.held(config.policy.exemptions, ask.now)
        ],
    }


def check_policy(ask: Ask) -> Mapping[str, object]:
    """What the policy says of a destination. Raises Wrong."""
    text = ask.words.get("target", "")
    tried = policy_page.judged(ask.site.policies.in_force(), text, ask.now)
    rule = tried.verdict.rule
    return {
        "target": text,
        "action": str(tried.verdict.action),
        "service": rule and rule.service,
        "part": rule and rule.part,
        "rule": rule and rule.id,
        "list": rule and rule.list,
        "line": rule and rule.line,
        "source": rule and rule.source,
    }


def show_health(ask: Ask) -> Mapping[str, object]:
    """Processes, spool, index, and what is wrong."""
    found = health_page.gathered(ask)
    return {
        "hub": found.trouble is None,
        "problems": found.problems if found.trouble is None else [found.trouble],
        "log_sequence": found.number("log_sequence"),
        "index_lag": found.number("index_lag"),
        "processes": [
            {"name": each.name, "up": each.up, "restarts": each.restarts, "generation": each.generation}
            for each in found.processes
        ],
        "spool": [{"worker": name, "bytes": size, "oldest_s": oldest} for name, size, oldest in found.spool()],
    }


def list_events(ask: Ask) -> Mapping[str, object]:
    """Events of the chain, newest first. Raises Wrong."""
    which, where = read_filter(ask.words, ask.now), read_page(ask.words)
    size = read_number(ask.words, "limit", LIMIT, 1, LIMIT_MOST)
    kind = ask.words.get("event")
    with ask.site.index() as index:
        lines = index.events(
            () if kind is None else (kind,),
            size,
            since_ms=which.since_ms,
            until_ms=which.until_ms,
            older=where.older,
            newer=where.newer,
        )
    events = [(line, line.entry) for line in lines if isinstance(line.entry, Event)]
    places = [Place(event.time_ms, line.seq) for line, event in events]
    return {
        "events": [plain_event(line) for line, _ in events],
        "older": place_text(places[-1]) if len(places) == size else None,
        "newer": place_text(places[0]) if places else None,
    }
