import json
from dataclasses import replace

import pytest

from enforcer.attempts.attempt import Attempt, Event, parse_line
from enforcer.attempts.chain import GENESIS, seal
from enforcer.attempts.index.batch import Batch, attempt_line, event_line
from enforcer.attempts.index.schema import OWN
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import HOUR_MS, attempt
from tests.records import NOON_MS

HOUR = NOON_MS // HOUR_MS
KIND = list(OWN).index("kind")


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
    made = batch(*entries)
    rows = [(*row, *made.kinds[int(row[KIND] or 0)]) for row in made.attempts["2026-11"]]
    assert [attempt_line(row) for row in rows] == [parse_line(line) for line in lines(*entries)]
    event = Event("start", NOON_MS, "gw", {"version": "1", "x": None})
    assert [event_line(row) for row in batch(event).events] == [parse_line(line) for line in lines(event)]


def test_counts_of_a_batch_are_added_up_by_their_keys() -> None:
    made = batch(
        attempt(0, count=3, device="dev-1"),
        attempt(0, count=2, device="dev-1", at_ms=NOON_MS + 59 * 60_000),
        attempt(1, count=1, device="dev-1"),
        attempt(1, count=9),
    )
    rows = made.rows()
    assert rows["totals"] == [("chat", "dns", "blocked", "radius", 6), ("chat", "dns", "blocked", "unknown", 9)]
    assert [(*row[:2], *row[-2:]) for row in rows["spans"]] == [
        (1, HOUR, 5, 2),
        (1, HOUR + 1, 1, 1),
        (1, HOUR + 1, 9, 1),
        (24, HOUR // 24, 6, 3),
        (24, HOUR // 24, 9, 1),
    ]
    assert [(row[:4], row[8:10]) for row in rows["folds"]] == [
        (("", "lab", "192.0.2.1", "chat"), (9, 1)),
        (("dev-1", "", "", "chat"), (6, 3)),
    ]


def test_what_attempts_have_in_common_is_one_kind_whoever_counts_it() -> None:
    first, second, other = attempt(0, device="dev-1"), attempt(1, device="dev-2", name="x.test"), attempt(2)
    made = batch(first, second, other)
    assert len(made.kinds) == 2
    assert [row[KIND] for row in made.attempts["2026-11"][:2]] == [next(iter(made.kinds))] * 2
    assert set(batch(other).kinds) < set(made.kinds)
    assert all(-(2**63) <= number < 2**63 for number in made.kinds)


def test_a_pair_has_the_group_that_was_seen_last() -> None:
    late = attempt(5, device="dev-1")
    moved = replace(attempt(3, device="dev-1"), owner=replace(late.owner, group="other"))
    for entries in ((late, moved), (moved, late)):
        assert [row[4] for row in batch(*entries).rows()["pairs"]] == ["team"]


def test_rows_of_counts_come_in_one_order() -> None:
    counts = batch(attempt(1, count=2), attempt(0, count=3, device="dev-1")).rows()
    assert counts["pairs"] == [
        ("", "lab", "192.0.2.1", "chat", "", NOON_MS + HOUR_MS, NOON_MS + HOUR_MS + 5),
        ("dev-1", "", "", "chat", "team", NOON_MS, NOON_MS + 5),
    ]
    assert counts["singles"] == [
        ("group", "", 1, HOUR + 1, 2, 1),
        ("group", "", 24, HOUR // 24, 2, 1),
        ("group", "team", 1, HOUR, 3, 1),
        ("group", "team", 24, HOUR // 24, 3, 1),
        ("rule", "chat/suffix/chat.test", 1, HOUR, 3, 1),
        ("rule", "chat/suffix/chat.test", 1, HOUR + 1, 2, 1),
        ("rule", "chat/suffix/chat.test", 24, HOUR // 24, 5, 2),
    ]


def test_other_kinds_of_lines_are_passed_over() -> None:
    made = Batch()
    made.add({"type": "checkpoint"})
    assert made == Batch()


def test_what_is_no_record_is_told() -> None:
    with pytest.raises(KeyError):
        Batch().add({"type": "attempt"})
