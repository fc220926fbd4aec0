"""Every question that can be asked, of every database."""

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Attempt, Event, Line
from enforcer.attempts.index import Bucket, By, Count, Filter, Place, Review, Seen, Subject, TopDevices
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import DAY_MS, HOUR_MS, MINUTE_MS, Site, Writer, attempt, found
from tests.records import NOON_MS


def place(line: Line) -> Place:
    return Place(line.entry.time_ms, line.seq)


def mark(state: str, at_ms: int = NOON_MS, device: str | None = "dev-1", **more: object) -> Event:
    detail = {"device": device, "realm": None, "client_ip": None, "service": "chat", "state": state, "note": "n"}
    return Event("mark", at_ms, "gw", {**detail, "who": "alice", **more})


def test_what_is_found_is_what_was_logged(site: Site[Writer]) -> None:
    full = attempt(
        1,
        device="dev-1",
        layer=Layer.QUIC,
        alpn=("h3", "h2"),
        ech=True,
        dest_ip="198.51.100.1",
        dest_port=443,
        via="x.test",
    )
    bare = attempt(2, response=None, ban=None, name=None, qtype=None, rcode=None, ede=None)
    index = site.show(Event("start", NOON_MS, "gw", {}), full, bare)
    second, first = index.find(Filter(), 10)
    assert (first.entry, first.seq, first.logged_ms, first.id) == (full, 2, NOON_MS, full.id)
    assert (second.entry, second.seq) == (bare, 3)
    assert len(first.prev) == 64
    assert index.get(full.id) == first
    assert index.get("0" * 26) is None
    assert index.numbered(2) == first
    assert index.numbered(1) is None, "an event"


def test_pages_go_from_the_newest_to_the_oldest_and_back_without_a_gap(site: Site[Writer]) -> None:
    index = site.show(
        *(attempt(number % 3) for number in range(3)),
        *(replace(attempt(900), epoch=n) for n in range(4)),  # the month after
    )
    lines = list(index.find(Filter(), 100))
    assert [line.entry.time_ms for line in lines] == sorted((line.entry.time_ms for line in lines), reverse=True)
    paged: list[Line] = []
    older = None
    while page := index.find(Filter(), 2, older=older):
        paged += page
        older = place(page[-1])
    assert paged == lines
    back: list[Line] = [lines[-1]]
    while page := index.find(Filter(), 2, newer=place(back[0])):
        back = [*page, *back]
    assert back == lines


@pytest.mark.parametrize("which", [{"layer": "tls"}, {"name": "b.chat.test"}, {"rule": "r", "service": "chat"}])
def test_pages_of_what_is_rare_are_whole(site: Site[Writer], which: dict[str, Any]) -> None:
    """In some hours only, several of them in one, and in two months."""
    rare: dict[str, Any] = {"layer": Layer.TLS, "name": "b.chat.test", "rule": "r"}
    numbers = [0, 1, 1, 1, 7, 8, 30, 600, 601]
    index = site.show(
        *(attempt(n, at_ms=NOON_MS + n * HOUR_MS // 2) for n in range(1300)),
        *(replace(attempt(n, **rare), epoch=10 + i) for i, n in enumerate(numbers)),
    )
    expected = sorted(numbers, reverse=True)
    assert found(index, **which) == expected
    paged: list[int] = []
    older = None
    while page := index.find(Filter(**which), 2, older=older):
        paged += [line.entry.first >> 32 for line in page]  # type: ignore[union-attr]
        older = place(page[-1])
    assert paged == expected
    first = index.find(Filter(**which), 100)[-1]
    assert found(index, limit=3, newer=place(first), **which) == [1, 1, 1]
    assert found(index, limit=2, since_ms=NOON_MS + 8 * HOUR_MS, until_ms=NOON_MS + 600 * HOUR_MS, **which) == [30, 8]


def test_every_filter_narrows(site: Site[Writer]) -> None:
    index = site.show(
        attempt(0, device="dev-1"),
        attempt(1, device="dev-2", service="scan", rule="scan/exact/x.test", realm="other"),
        attempt(2, layer=Layer.TLS, name="b.chat.test", part="media", evidence="web"),
        attempt(3, name="xchat.test"),
    )
    assert found(index, device="dev-1") == [0]
    assert found(index, group="team") == [1, 0]
    assert found(index, service="scan") == [1]
    assert found(index, part="media") == [2]
    assert found(index, evidence="web") == [2]
    assert found(index, rule="scan/exact/x.test") == [1]
    assert found(index, realm="other") == [1]
    assert found(index, layer="tls") == [2]
    assert found(index, action="observed") == []
    assert found(index, client_ip="192.0.2.1", service="chat") == [3, 2, 0]
    assert found(index, name="chat.test") == [2, 1, 0], "and everything below, but not what only ends alike"
    assert found(index, name="b.chat.test") == [2]
    assert found(index, name="_.chat.test") == [], "no pattern"
    assert found(index, since_ms=NOON_MS + HOUR_MS, until_ms=NOON_MS + 3 * HOUR_MS) == [2, 1]
    assert found(index, layer="dns", since_ms=NOON_MS + 1, until_ms=NOON_MS + HOUR_MS) == []


def test_names_too_many_to_look_up_one_by_one_are_found_as_well(site: Site[Writer]) -> None:
    site.show(*(attempt(n, at_ms=NOON_MS + n, name=f"n{n}.chat.test") for n in range(150)), attempt(200, name="x.test"))
    assert found(site.index, limit=200, name="chat.test") == list(range(149, -1, -1))
    assert [count.attempts for count in site.index.stats(By.SERVICE, Filter(name="chat.test"))] == [150]
    assert site.index.stats(By.NAME, Filter(name="n7.chat.test")) == [Count("n7.chat.test", 1, 1)]
    assert site.index.stats(By.NAME, Filter(name="none.test")) == []


def test_counts_are_of_attempts_not_of_lines(site: Site[Writer]) -> None:
    index = site.show(attempt(0, count=10, device="dev-1"), attempt(1, count=5), attempt(30, count=1, service="scan"))
    assert index.stats(By.SERVICE, Filter()) == [Count("chat", 15, 2), Count("scan", 1, 1)]
    assert index.stats(By.SERVICE, Filter(), 1) == [Count("chat", 15, 2)]
    assert index.stats(By.DEVICE, Filter(service="chat")) == [Count("dev-1", 10, 1), Count(None, 5, 1)]
    assert index.stats(By.GROUP, Filter(service="chat")) == [Count("team", 10, 1), Count(None, 5, 1)]
    assert index.stats(By.DAY, Filter()) == [Count("2026-11-23", 15, 2), Count("2026-11-24", 1, 1)]
    assert [count.key for count in index.stats(By.HOUR, Filter(service="chat"))] == [
        "2026-11-23T12:00Z",
        "2026-11-23T13:00Z",
    ]
    assert index.totals() == {
        ("chat", "dns", "blocked", "radius"): 10,
        ("chat", "dns", "blocked", "unknown"): 5,
        ("scan", "dns", "blocked", "unknown"): 1,
    }


@pytest.mark.parametrize("by", By)
def test_counts_can_be_split_by_everything_that_is_offered(site: Site[Writer], by: By) -> None:
    site.show(attempt(0, count=10, device="dev-1"))
    assert [count.attempts for count in site.index.stats(by, Filter())] == [10]


@pytest.fixture
def spread(site: Site[Writer]) -> Site[Writer]:
    """A line each seven minutes over three days, of two services in turn."""
    site.show(
        *(
            attempt(n, at_ms=NOON_MS + n * 7 * MINUTE_MS, count=n % 5 + 1, service=("chat", "scan")[n % 2])
            for n in range(3 * 24 * 60 // 7)
        )
    )
    return site


MINUTES = st.integers(-100, 3 * 24 * 60 + 100)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(a=MINUTES, b=MINUTES)
def test_counts_by_hours_and_at_the_edges_are_those_of_the_lines(spread: Site[Writer], a: int, b: int) -> None:
    which = Filter(since_ms=NOON_MS + min(a, b) * MINUTE_MS, until_ms=NOON_MS + max(a, b) * MINUTE_MS)
    lines = [line.entry for line in spread.index.find(which, 10_000)]
    expected = {
        service: sum(entry.count for entry in lines if isinstance(entry, Attempt) and entry.block.service == service)
        for service in ("chat", "scan")
    }
    counts = {count.key: count.attempts for count in spread.index.stats(By.SERVICE, which)}
    assert counts == {service: count for service, count in expected.items() if count}
    assert sum(bucket.attempts for bucket in spread.index.histogram(which, HOUR_MS)) == sum(expected.values())


def test_a_histogram_counts_by_time_and_service(site: Site[Writer]) -> None:
    index = site.show(
        attempt(0, count=10),
        attempt(1, count=2, service="scan"),
        attempt(2, at_ms=NOON_MS + 65 * MINUTE_MS, count=5),
    )
    noon, one = NOON_MS, NOON_MS + HOUR_MS
    assert index.histogram(Filter(), HOUR_MS) == [Bucket(noon, None, 10), Bucket(one, None, 7)]
    assert index.histogram(Filter(), HOUR_MS, By.SERVICE) == [
        Bucket(noon, "chat", 10),
        Bucket(one, "chat", 5),
        Bucket(one, "scan", 2),
    ]
    assert index.histogram(Filter(), 5 * MINUTE_MS) == [
        Bucket(noon, None, 10),
        Bucket(one, None, 2),
        Bucket(one + 5 * MINUTE_MS, None, 5),
    ]
    assert index.histogram(Filter(service="chat", device="none"), DAY_MS, By.LAYER) == []
    assert index.histogram(Filter(), DAY_MS) == [Bucket(NOON_MS - 12 * HOUR_MS, None, 17)]


def test_a_heat_map_is_by_weekday_and_hour_of_the_place(site: Site[Writer]) -> None:
    index = site.show(attempt(0, count=3), attempt(7 * 24, count=4), attempt(12, count=1))
    assert index.heat_map(Filter()) == {(0, 12): 7, (1, 0): 1}
    assert index.heat_map(Filter(), timezone(timedelta(hours=-13))) == {(6, 23): 7, (0, 11): 1}


def test_values_fill_a_menu(site: Site[Writer]) -> None:
    index = site.show(attempt(0, device="dev-2"), attempt(1, device="dev-1", service="scan", name=None), attempt(2))
    assert index.values(By.SERVICE) == ["chat", "scan"]
    assert index.values(By.DEVICE) == ["dev-1", "dev-2"]
    assert index.values(By.DEVICE, 1) == ["dev-1"]
    assert index.values(By.GROUP) == ["team"]
    assert index.values(By.NAME) == ["a.chat.test"]
    assert index.values(By.RULE) == ["chat/suffix/chat.test"]
    with pytest.raises(ValueError, match="day has no values"):
        index.values(By.DAY)


def test_events_are_found_by_kind_and_time(site: Site[Writer]) -> None:
    start, reload, stop = (
        Event(kind, NOON_MS + i * HOUR_MS, "gw", {"i": i}) for i, kind in enumerate(("start", "reload", "stop"))
    )
    index = site.show(start, attempt(0), reload, stop)
    lines = index.events()
    assert [line.entry for line in lines] == [stop, reload, start]
    assert [line.seq for line in lines] == [4, 3, 1]
    assert [line.entry for line in index.events({"start", "stop"})] == [stop, start]
    assert [line.entry for line in index.events(limit=1, older=place(lines[0]))] == [reload]
    assert [line.entry for line in index.events(limit=1, newer=place(lines[2]))] == [reload]
    assert [line.entry for line in index.events(since_ms=NOON_MS + 1, until_ms=NOON_MS + 2 * HOUR_MS)] == [reload]


def test_devices_are_counted_once_and_the_rest_is_added_up(site: Site[Writer]) -> None:
    index = site.show(
        attempt(1, count=9, device="dev-1"),
        attempt(2, count=1, device="dev-1", service="scan"),
        attempt(3, count=8, device="dev-2"),
        attempt(4, count=2, device="dev-3"),
        attempt(5, count=3, device="dev-4"),
        attempt(6, count=99),
    )
    assert index.devices_attempting(NOON_MS) == {"chat": 4, "scan": 1}
    assert index.devices_attempting(NOON_MS + 4 * HOUR_MS) == {"chat": 2}
    top = TopDevices({("dev-1", "chat"): 9, ("dev-1", "scan"): 1, ("dev-2", "chat"): 8}, {"chat": 5})
    assert index.top_devices(2, NOON_MS) == top


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


def test_retention_lets_go_of_months_and_of_what_is_counted(site: Site[Writer]) -> None:
    """The first is of November, the second and the third of December."""
    site.show(
        Event("start", NOON_MS, "gw", {}),
        attempt(0, count=4, device="dev-1"),
        attempt(400, count=2, device="dev-1"),
        attempt(500, count=1, device="dev-1"),
    )
    index = site.index
    december = NOON_MS + (7 * 24 + 12) * HOUR_MS
    index.drop_before(december)
    assert found(index) == [500, 400]
    assert index.events() == []
    assert [count.attempts for count in index.stats(By.SERVICE, Filter())] == [3]
    (fold,) = index.folds(Filter())
    assert (fold.attempts, fold.lines, fold.first_ms) == (3, 2, december)
    index.drop_before(december)
    assert index.folds(Filter()) == [fold], "the same again changes nothing"
    index.drop_before(NOON_MS + 450 * HOUR_MS)
    assert found(index) == [500], "in the middle of a month"
    assert found(index, device="dev-1") == [500]
    assert index.numbered(3) is None
    assert len(index.timeline(Subject("dev-1"), "chat", 10)) == 1
    assert index.totals() == {("chat", "dns", "blocked", "radius"): 7}, "ever"
