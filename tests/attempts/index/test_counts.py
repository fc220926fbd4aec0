"""Counts, of every database."""

from datetime import timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Attempt
from enforcer.attempts.index import Bucket, By, Count, Filter, TopDevices
from tests.attempts.index.site import DAY_MS, HOUR_MS, MINUTE_MS, Site, Writer, attempt
from tests.records import NOON_MS


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
