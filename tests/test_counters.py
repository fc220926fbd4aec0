import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.counters import (
    DECISION_BUCKETS,
    DNS_BUCKETS,
    LAYOUT,
    UPSTREAM_BUCKETS,
    Counters,
    observe,
    read_counters,
    word,
)


def test_every_series_has_words_of_its_own() -> None:
    taken: set[int] = set()
    for family in LAYOUT:
        for values in family.combinations():
            first = word(family.name, *values)
            words = set(range(first, first + family.width))
            assert not words & taken
            taken |= words


def test_an_unknown_series_is_an_error_at_once() -> None:
    with pytest.raises(KeyError):
        word("dns_queries", "pigeon", "4", "a")


def test_counts_begin_at_zero_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "counters" / "dns-0"
    at = word("attempts_dropped", "spool_full")
    counters = Counters(path)
    counters.words[at] += 3
    counters.close()
    counters = Counters(path)
    counters.words[at] += 4
    read = read_counters(path)
    assert read is not None
    assert (read[at], sum(read[4:])) == (7, 7)
    counters.close()


def test_what_is_counted_is_seen_at_once_by_who_reads(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "dns-0")
    counters.words[word("cache_entries")] = 5
    read = read_counters(tmp_path / "dns-0")
    assert read is not None
    assert read[word("cache_entries")] == 5
    counters.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(100_000)])
def test_a_file_of_another_layout_is_not_read_and_begun_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dns-0"
    path.write_bytes(content)
    assert read_counters(path) is None
    counters = Counters(path)
    assert sum(counters.words[4:]) == 0
    counters.close()
    assert read_counters(path) is not None


def test_a_file_that_a_killed_worker_left_short_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dns-0"
    Counters(path).close()
    os.truncate(path, path.stat().st_size - 8)
    assert read_counters(path) is None


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_counters(tmp_path / "dns-0") is None


def test_only_the_owner_may_read_the_counts(tmp_path: Path) -> None:
    Counters(tmp_path / "dns-0").close()
    assert (tmp_path / "dns-0").stat().st_mode & 0o777 == 0o600


@given(observations=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100))))
def test_each_observation_is_in_one_bucket_and_in_the_sum(observations: list[tuple[float, int]]) -> None:
    words = memoryview(bytearray(8 * (len(DECISION_BUCKETS) + 2))).cast("Q")
    for seconds, times in observations:
        observe(words, 0, DECISION_BUCKETS, seconds, times)
    assert sum(words[:-1]) == sum(times for _, times in observations)
    assert words[len(words) - 1] == sum(int(seconds * 1e9) * times for seconds, times in observations)


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.00005, 0), (0.000051, 1), (0.05, 9), (0.051, 10)])
def test_a_bound_belongs_to_its_bucket(seconds: float, bucket: int) -> None:
    words = memoryview(bytearray(8 * 12)).cast("Q")
    observe(words, 0, DECISION_BUCKETS, seconds)
    assert list(words[:11]).index(1) == bucket


@pytest.mark.parametrize("buckets", [DECISION_BUCKETS, UPSTREAM_BUCKETS, DNS_BUCKETS])
def test_bounds_rise(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
