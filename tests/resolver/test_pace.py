from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.resolver import pace
from enforcer.resolver.pace import Pace

PHONE = ip_address("192.0.2.1")


def admitted(limit: Pace, times: list[float]) -> int:
    """How many queries at these times are within the limit, as the UDP path reckons it."""
    taken = 0
    for now in times:
        due = limit.due[1]
        if due - now <= limit.slack:
            limit.due[1] = max(due, now) + limit.interval
            taken += 1
    return taken


@given(rate=st.integers(1, 5000), burst=st.integers(1, 1000))
def test_u7_a_burst_is_as_long_as_it_says(rate: int, burst: int) -> None:
    limit = Pace(rate, burst, ())
    limit.meet(1, PHONE, 1000.0)
    assert admitted(limit, [1000.0] * (burst + 100)) == burst


@given(rate=st.integers(1, 100), burst=st.integers(1, 100), gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_u7_never_more_than_the_rate_and_one_burst(rate: int, burst: int, gaps: list[float]) -> None:
    limit = Pace(rate, burst, ())
    limit.meet(1, PHONE, 1000.0)
    times = [1000.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    assert admitted(limit, times) <= burst + rate * (times[-1] - 1000.0) + 1


def test_u7_who_is_trusted_and_everybody_without_a_limit_is_not_counted() -> None:
    trusting, free = Pace(50, 200, (ip_network("192.0.2.0/24"),)), Pace(0, 200, ())
    for limit in (trusting, free):
        limit.meet(1, PHONE, 1000.0)
        assert not limit.due
    trusting.meet(2, ip_address("2001:db8::1"), 1000.0)
    assert list(trusting.due) == [2]


def test_u7_clients_that_are_remembered_are_bounded_those_above_the_rate_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CLIENTS_MAX", 3)
    limit = Pace(50, 200, ())
    for client in (1, 2, 3):
        limit.meet(client, PHONE, 1000.0)
    limit.due[2] = 1001.0
    limit.meet(4, PHONE, 1000.5)
    assert limit.due == {2: 1001.0, 4: 0.0}
    limit.due.update({3: 1001.0, 4: 1001.0})
    limit.meet(5, PHONE, 1000.5)
    assert list(limit.due) == [5]
