"""Pages of lines, of every database."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Attempt, Event, Line
from enforcer.attempts.index import By, Count, Filter, Place
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import HOUR_MS, Site, Writer, attempt, found
from tests.records import NOON_MS


def place(line: Line) -> Place:
    return Place(line.entry.time_ms, line.seq)


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


MANY = [
    attempt(
        n,
        at_ms=NOON_MS + n * HOUR_MS // 2,
        device=(None, "dev-1", "dev-2")[n % 3],
        service=("chat", "scan")[n % 2],
        layer=(Layer.DNS, Layer.TLS)[n % 7 == 0],
        realm=f"realm-{n % 130}",
        name=f"{n % 5}.chat.test",
    )
    for n in range(500)
]


@pytest.fixture
def many(site: Site[Writer]) -> Site[Writer]:
    """More kinds than are read along at once, in two months."""
    site.show(*MANY)
    return site


NARROWED = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["chat", "scan"]),
        "layer": st.sampled_from(["dns", "tls", "quic"]),
        "realm": st.sampled_from(["realm-0", "realm-129"]),
        "group": st.just("team"),
        "device": st.sampled_from(["dev-1", "dev-2"]),
        "name": st.sampled_from(["3.chat.test", "chat.test"]),
        "since_ms": st.integers(0, 260).map(lambda n: NOON_MS + n * HOUR_MS),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(which=NARROWED, size=st.integers(20, 90))
def test_pages_both_ways_have_what_looking_at_every_line_finds(
    many: Site[Writer], which: dict[str, Any], size: int
) -> None:
    expected = [n for n, entry in enumerate(MANY) if matches(entry, which)]
    forth: list[Line] = []
    while page := many.index.find(Filter(**which), size, older=place(forth[-1]) if forth else None):
        forth += page
    assert [line.seq - 1 for line in forth] == expected[::-1]
    back: list[Line] = forth[-1:]
    while back and (page := many.index.find(Filter(**which), size, newer=place(back[0]))):
        back = [*page, *back]
    assert back == forth


def matches(entry: Attempt, which: dict[str, Any]) -> bool:
    has = {"device": entry.owner.device, "group": entry.owner.group}
    for word, value in which.items():
        if word == "since_ms":
            if entry.time_ms < value:
                return False
        elif word == "name":
            if not f".{entry.block.name}".endswith(f".{value}"):
                return False
        elif has.get(word, getattr(entry.block, word, None)) != value:
            return False
    return True
