from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.counters import DNS_BUCKETS, OUTCOMES, QTYPES, Counters, word
from enforcer.decide.dns import Outcome
from enforcer.resolver.tally import Tally, bucket
from enforcer.wire.dnscodes import RRType


@pytest.fixture
def words(tmp_path: Path) -> Iterator[memoryview]:
    counters = Counters(tmp_path / "counters")
    yield counters.words
    counters.close()


def test_every_outcome_of_a_decision_has_a_place() -> None:
    assert {outcome.value for outcome in Outcome} <= set(OUTCOMES)


def test_every_type_and_outcome_has_a_bucket_of_its_own_and_other_types_share_one() -> None:
    kinds = [RRType.A, RRType.AAAA, RRType.HTTPS, RRType.SVCB, RRType.PTR, RRType.TXT, None]
    assert len({bucket(kind, outcome) for kind in kinds for outcome in OUTCOMES}) == len(QTYPES) * len(OUTCOMES)
    assert bucket(RRType.MX, "cached") == bucket(65400, "cached") == bucket(None, "cached")


def test_each_query_is_counted_once_as_a_query_and_once_as_a_response(words: memoryview) -> None:
    tally = Tally(words, "tcp", "6")
    tally.add([bucket(RRType.A, "blocked")] * 3 + [bucket(RRType.MX, "blocked"), bucket(RRType.A, "cached")], 0.001)
    tally.add([bucket(RRType.A, "dropped")], 0.001)
    assert words[word("dns_queries", "tcp", "6", "a")] == 5
    assert words[word("dns_queries", "tcp", "6", "other")] == 1
    assert [words[word("dns_responses", outcome, "tcp")] for outcome in ("blocked", "cached", "dropped")] == [4, 1, 1]
    assert sum(words[word("dns_queries", "udp", family, kind)] for family in "46" for kind in QTYPES) == 0
    assert words[word("cache_requests", "hit")] == 1


def test_a_duration_is_counted_for_each_query_of_a_batch(words: memoryview) -> None:
    Tally(words, "udp", "4").add([bucket(RRType.A, "blocked")] * 3, 0.0003)
    first = word("dns_response_duration_seconds", "blocked")
    assert [words[first + place] for place in range(len(DNS_BUCKETS))][:5] == [0, 0, 0, 3, 0]
    assert words[first + len(DNS_BUCKETS) + 1] == 900_000
