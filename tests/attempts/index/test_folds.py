"""Incidents, of every database."""

from dataclasses import replace

from enforcer.attempts.attempt import Event
from enforcer.attempts.index import Filter, Review, Seen, Subject
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import HOUR_MS, Site, Writer, attempt
from tests.records import NOON_MS


def mark(state: str, at_ms: int = NOON_MS, device: str | None = "dev-1", **more: object) -> Event:
    detail = {"device": device, "realm": None, "client_ip": None, "service": "chat", "state": state, "note": "n"}
    return Event("mark", at_ms, "gw", {**detail, "who": "alice", **more})


def test_folds_add_up_what_is_one_incident(site: Site[Writer]) -> None:
    index = site.show(
        attempt(0, count=10, device="dev-1"),
        attempt(1, count=5, device="dev-1", layer=Layer.TLS),
        attempt(3, count=2, device="dev-1"),
        attempt(2, device="dev-2", service="scan"),
        attempt(4, count=7),
    )
    nobody, one, also, two = index.folds(Filter())
    assert (nobody.subject, nobody.group, nobody.attempts) == (Subject(None, "lab", "192.0.2.1"), None, 7)
    assert (one.subject, one.layer, one.group, one.attempts, one.lines) == (Subject("dev-1"), "dns", "team", 12, 2)
    assert (one.first_ms, one.last_ms) == (NOON_MS, NOON_MS + 3 * HOUR_MS + 5)
    assert (also.subject, also.layer, also.attempts) == (Subject("dev-1"), "tls", 5)
    assert two.service == "scan"
    assert index.folds(Filter(), limit=1, skip=1) == [one, also]
    assert index.folds(Filter(device="dev-2")) == [two]
    assert index.folds(Filter(service="chat", group="team")) == [one, also]
    assert index.folds(Filter(since_ms=NOON_MS + 4 * HOUR_MS)) == [nobody], "seen since"
    assert index.folds(Filter(until_ms=NOON_MS + HOUR_MS)) == [one, also], "begun before"


def test_what_names_nobody_is_no_incident(site: Site[Writer]) -> None:
    assert site.show(replace(attempt(0), client_ip=None, client_port=None)).folds(Filter()) == []


def test_the_newest_mark_counts(site: Site[Writer]) -> None:
    index = site.show(
        attempt(0, device="dev-1"),
        attempt(1, device="dev-2"),
        attempt(2),
        mark("escalated"),
        mark("explained", NOON_MS + 1, note="a widget"),
        mark("closed", device=None, realm="lab", client_ip="192.0.2.1"),
    )
    nobody = Subject(None, "lab", "192.0.2.1")
    marks = index.marks([Subject("dev-1"), Subject("dev-2"), nobody])
    newest = marks[Subject("dev-1"), "chat"]
    assert (newest.state, newest.note, newest.who, newest.time_ms, newest.seq) == (
        Review.EXPLAINED,
        "a widget",
        "alice",
        NOON_MS + 1,
        5,
    )
    assert marks[nobody, "chat"].state is Review.CLOSED
    assert len(marks) == 2
    assert [fold.subject for fold in index.folds(Filter(), [Review.OPEN])] == [Subject("dev-2")]
    assert [fold.subject for fold in index.folds(Filter(), [Review.EXPLAINED, Review.CLOSED])] == [
        nobody,
        Subject("dev-1"),
    ]


def test_a_timeline_is_one_subjects_lines_in_their_order(site: Site[Writer]) -> None:
    index = site.show(
        attempt(1, device="dev-1", layer=Layer.TLS, count=3),
        attempt(0, device="dev-1"),
        attempt(2, device="dev-2"),
        attempt(3, device="dev-1", service="scan"),
        attempt(900, device="dev-1"),
        attempt(4),
    )
    at = [NOON_MS + n * HOUR_MS for n in (0, 1, 900)]
    timeline = [Seen("dns", at[0], at[0] + 5, 1), Seen("tls", at[1], at[1] + 5, 3), Seen("dns", at[2], at[2] + 5, 1)]
    assert index.timeline(Subject("dev-1"), "chat", 10) == timeline
    assert index.timeline(Subject("dev-1"), "chat", 2) == timeline[1:]
    assert [seen.time_ms for seen in index.timeline(Subject(None, "lab", "192.0.2.1"), "chat", 10)] == [
        NOON_MS + 4 * HOUR_MS
    ]
