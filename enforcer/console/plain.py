"""Records and events as plain JSON values, for exports and the API."""

import json

from enforcer.attempts.attempt import Event, Line, moment
from enforcer.attempts.chain import seal


def plain_record(line: Line) -> dict[str, object]:
    """A record as it stands in the log."""
    found: dict[str, object] = json.loads(seal(bytes.fromhex(line.prev), line.entry.body(line.seq, line.logged_ms)))
    return found


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
