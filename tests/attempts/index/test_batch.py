import json

import pytest

from enforcer.attempts.attempt import Attempt, Event, parse_line
from enforcer.attempts.chain import GENESIS, seal
from enforcer.attempts.index.batch import Batch, attempt_line, event_line
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import HOUR_MS, attempt
from tests.records import NOON_MS


def lines(*entries: Attempt | Event) -> list[bytes]:
    return [seal(GENESIS, entry.body(number, NOON_MS))[:-1] for number, entry in enumerate(entries, 1)]


def batch(*entries: Attempt | Event) -> Batch:
    made = Batch()
    for line in lines(*entries):
        made.add(json.loads(line))
    return made


def test_rows_are_lines_and_back() -> None:
    entries = (
        attempt(1, device="dev-1", layer=Layer.QUIC, alpn=("h3",), ech=False, dest_ip="192.0.2.9", dest_port=443),
        attempt(2, response=None, name=None, ede=None),
    )
    assert [attempt_line(row) for row in batch(*entries).attempts] == [parse_line(line) for line in lines(*entries)]
    event = Event("start", NOON_MS, "gw", {"version": "1", "x": None})
    assert [event_line(row) for row in batch(event).events] == [parse_line(line) for line in lines(event)]


def test_counts_of_a_batch_are_added_up_by_their_keys() -> None:
    made = batch(
        attempt(0, count=3, device="dev-1"),
        attempt(0, count=2, device="dev-1", at_ms=NOON_MS + 59 * 60_000),
        attempt(1, count=1, device="dev-1"),
        attempt(1, count=9),
    )
    assert dict(made.totals) == {("chat", "dns", "blocked", "radius"): 6, ("chat", "dns", "blocked", "unknown"): 9}
    assert sorted(made.hours.values()) == [[1, 1], [5, 2], [9, 1]]
    assert {key[0] for key in made.hours} == {NOON_MS // HOUR_MS, NOON_MS // HOUR_MS + 1}
    assert {key[:4]: value[:2] for key, value in made.folds.items()} == {
        ("dev-1", "", "", "chat"): (6, 3),
        ("", "lab", "192.0.2.1", "chat"): (9, 1),
    }


def test_rows_of_counts_come_in_one_order() -> None:
    counts = batch(attempt(1, count=2), attempt(0, count=3, device="dev-1")).counts()
    hour = NOON_MS // HOUR_MS
    assert counts["pairs"] == [
        ("", "lab", "192.0.2.1", "chat", "", NOON_MS + HOUR_MS, NOON_MS + HOUR_MS + 5),
        ("dev-1", "", "", "chat", "team", NOON_MS, NOON_MS + 5),
    ]
    assert counts["singles"] == [
        ("group", "", hour + 1, 2, 1),
        ("group", "team", hour, 3, 1),
        ("rule", "chat/suffix/chat.test", hour, 3, 1),
        ("rule", "chat/suffix/chat.test", hour + 1, 2, 1),
    ]


def test_other_kinds_of_lines_are_passed_over() -> None:
    made = Batch()
    made.add({"type": "checkpoint"})
    assert made == Batch()


def test_what_is_no_record_is_told() -> None:
    with pytest.raises(KeyError):
        Batch().add({"type": "attempt"})
