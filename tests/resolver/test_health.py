from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.config.values import Upstream as Target
from enforcer.counters import Counters, word
from enforcer.resolver.health import (
    CASE_LOST_MAX,
    DOWN_AFTER,
    DOWN_MAX_S,
    DOWN_MIN_S,
    PLAIN_S,
    PROBE_S,
    TRIES,
    Roster,
    Upstream,
)


@pytest.fixture
def words(tmp_path: Path) -> Iterator[memoryview]:
    counters = Counters(tmp_path / "counters")
    yield counters.words
    counters.close()


def roster(words: memoryview, number: int = 3, *, fastest: bool = False, first: int = 0) -> Roster:
    targets = [Target(ip_address(f"192.0.2.{each}")) for each in range(number)]
    return Roster(targets, words, fastest=fastest, first=first)


def order(asked: Roster) -> list[int]:
    """Who is asked, one after the other, when nobody answers."""
    tried: list[int] = []
    while (best := asked.best(tried)) is not None:
        tried.append(best.index)
    return tried


def go_down(upstream: Upstream, now: float) -> None:
    assert [upstream.silent(now) for _ in range(DOWN_AFTER)] == [False] * (DOWN_AFTER - 1) + [True]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_each_is_asked_twice_the_first_named_first(words: memoryview, number: int) -> None:
    assert order(roster(words, number)) == list(range(number)) * TRIES


def test_who_is_down_is_asked_last_and_first_again_once_it_has_answered(words: memoryview) -> None:
    asked = roster(words)
    go_down(asked.all[0], 100.0)
    assert order(asked) == [1, 2, 0] * TRIES
    asked.all[0].answered(0.01)
    assert order(asked) == [0, 1, 2] * TRIES


def test_the_fastest_is_the_one_that_has_answered_soonest_lately(words: memoryview) -> None:
    asked = roster(words, fastest=True)
    for upstream, took in zip(asked.all, (0.03, 0.01, 0.02), strict=True):
        upstream.answered(took)
    assert order(asked) == [1, 2, 0] * TRIES
    for _ in range(20):
        asked.all[1].answered(0.1)
    assert order(asked) == [2, 0, 1] * TRIES
    assert order(roster(words)) == [0, 1, 2] * TRIES


@given(st.lists(st.sampled_from([0.001, 0.1]), max_size=50))
def test_how_quick_one_is_lies_between_its_answers(
    tmp_path_factory: pytest.TempPathFactory, times: list[float]
) -> None:
    upstream = Upstream(0, Target(ip_address("192.0.2.1")), memoryview(bytearray(1 << 16)).cast("Q"))
    for took in times:
        upstream.answered(took)
    assert (min(times, default=0.0) - 1e-9) <= upstream.latency <= (max(times, default=0.0) + 1e-9)


def test_the_wait_doubles_up_to_a_limit_and_begins_anew_with_an_answer(words: memoryview) -> None:
    (upstream,) = roster(words, 1).all
    now = 100.0
    go_down(upstream, now)
    assert not upstream.silent(now), "it is down already"
    waits = []
    for _ in range(8):
        waits.append(upstream.down_until - now)
        now = upstream.down_until
        upstream.wait(now)
    assert waits == [min(DOWN_MIN_S * 2**number, DOWN_MAX_S) for number in range(8)]
    upstream.answered(0.01)
    go_down(upstream, now)
    assert upstream.down_until == now + DOWN_MIN_S


def test_who_is_down_is_looked_after_once_each_time_it_is_due(words: memoryview) -> None:
    asked = roster(words)
    go_down(asked.all[2], 100.0)
    best = asked.all[0]
    assert list(asked.due(best, 100.0)) == []
    assert list(asked.due(best, 100.0 + DOWN_MIN_S)) == [asked.all[2]]
    assert list(asked.due(best, 100.0 + DOWN_MIN_S)) == []


def test_where_the_fastest_is_wanted_who_is_not_asked_is_tried_now_and_then(words: memoryview) -> None:
    asked = roster(words, fastest=True)
    for upstream in asked.all:
        upstream.asks(100.0)
    best = asked.all[1]
    assert list(asked.due(best, 100.0 + PROBE_S - 0.1)) == []
    assert list(asked.due(best, 100.0 + PROBE_S)) == [asked.all[0], asked.all[2]]
    assert list(asked.due(best, 100.0 + PROBE_S)) == []
    assert list(roster(words).due(best, 1000.0)) == []


def test_letters_that_are_lost_three_times_in_a_row_are_asked_for_no_more_for_a_while(words: memoryview) -> None:
    (upstream,) = roster(words, 1).all
    for _ in range(CASE_LOST_MAX - 1):
        upstream.lost_case(100.0)
    upstream.kept_case()
    for _ in range(CASE_LOST_MAX - 1):
        upstream.lost_case(100.0)
    assert upstream.case_until == 0.0
    upstream.lost_case(100.0)
    assert upstream.case_until == 100.0 + PLAIN_S


def test_who_knows_no_edns_is_asked_without_for_a_while(words: memoryview) -> None:
    (upstream,) = roster(words, 1).all
    upstream.knows_no_edns(100.0)
    assert upstream.plain_until == 100.0 + PLAIN_S


def test_each_is_counted_under_its_own_number(words: memoryview) -> None:
    asked = roster(words, 2, first=3)
    assert [words[word("upstream_up", label)] for label in ("3", "4")] == [1, 1]
    asked.all[1].asks(100.0)
    asked.all[1].failed("mismatch")
    go_down(asked.all[1], 100.0)
    asked.all[1].answered(0.01)
    go_down(asked.all[0], 100.0)
    assert [words[word("upstream_queries", label)] for label in ("3", "4")] == [0, 1]
    assert [words[word("upstream_failures", label, "mismatch")] for label in ("3", "4")] == [0, 1]
    assert [words[word("upstream_up", label)] for label in ("3", "4")] == [0, 1]
