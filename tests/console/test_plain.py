import json

from enforcer.attempts.attempt import ATTEMPT_KEYS
from enforcer.attempts.incidents import incident
from enforcer.attempts.index import Subject
from enforcer.attempts.log import read
from enforcer.console.plain import plain_incident, plain_record
from tests.console.lab import Lab


def test_a_record_is_as_it_stands_in_the_log(lab: Lab) -> None:
    lines = [line for line, _, _ in read(lab.site.log)]
    with lab.site.index() as index:
        line = index.numbered(2)
    assert line is not None
    record = plain_record(line)
    assert tuple(record) == ATTEMPT_KEYS
    assert lines[1].decode() == json.dumps(record, separators=(",", ":"))


def test_an_incident_says_who_what_and_how_often(lab: Lab) -> None:
    with lab.site.index() as index:
        found = incident(index, Subject("dev-1"), "chat")
    assert found is not None
    plain = plain_incident(found)
    assert plain["layers"] == {"tls": 41, "dns": 1}
    assert (plain["attempts"], plain["records"], plain["direct"]) == (42, 2, 0)
    assert (plain["first"], plain["state"], plain["note"]) == ("2026-11-23T12:01:00.000Z", "open", None)
