"""Records and incidents as plain JSON values, for exports and the API."""

import json

from enforcer.attempts.attempt import Event, Line, moment
from enforcer.attempts.chain import seal
from enforcer.attempts.incidents import Incident


def plain_record(line: Line) -> dict[str, object]:
    """A record as it stands in the log."""
    found: dict[str, object] = json.loads(seal(bytes.fromhex(line.prev), line.entry.body(line.seq, line.logged_ms)))
    return found


def plain_incident(each: Incident) -> dict[str, object]:
    """An incident as plain values."""
    mark = each.mark
    return {
        "device": each.subject.device,
        "realm": each.subject.realm,
        "client_ip": each.subject.client_ip,
        "group": each.group,
        "service": each.service,
        "first": moment(each.first_ms),
        "last": moment(each.last_ms),
        "attempts": each.attempts,
        "records": each.lines,
        "layers": dict(each.by_layer),
        "parts": dict(each.by_part),
        "evidence": dict(each.by_evidence),
        "direct": each.direct,
        "bypass": each.bypass,
        "state": str(each.state),
        "note": None if mark is None else mark.note,
        "marked_by": None if mark is None else mark.who,
        "marked": None if mark is None else moment(mark.time_ms),
    }


def plain_event(line: Line) -> dict[str, object]:
    """An event as plain values; nothing of a line that is none."""
    event = line.entry
    if not isinstance(event, Event):
        return {}
    return {
        "id": line.id,
        "seq": line.seq,
        "time": moment(event.time_ms),
        "node": event.node,
        "event": event.event,
        "detail": dict(event.detail),
    }
