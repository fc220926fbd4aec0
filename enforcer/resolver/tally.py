"""Counting queries: a bucket a query, added to the shared counters once a batch."""

from collections import Counter
from collections.abc import Iterable

from enforcer.counters import DNS_BUCKETS, OUTCOMES, QTYPES, TIMED, observe, word
from enforcer.wire.dnscodes import RRType

_KINDS: dict[int, str] = {
    RRType.A: "a",
    RRType.AAAA: "aaaa",
    RRType.HTTPS: "https",
    RRType.SVCB: "svcb",
    RRType.PTR: "ptr",
    RRType.TXT: "txt",
}
_CACHED = {"cached": "hit", "stale": "stale"}
_OTHER = QTYPES.index("other")
_WIDTH = len(OUTCOMES)
_PLACES = {outcome: place for place, outcome in enumerate(OUTCOMES)}


def bucket(qtype: int | None, outcome: str) -> int:
    """The number under which a query is counted; qtype: None when it could not be read."""
    kind = QTYPES.index(_KINDS[qtype]) if qtype in _KINDS else _OTHER
    return kind * _WIDTH + _PLACES[outcome]


class Tally:
    """Adds buckets to the counters of one transport and address family."""

    def __init__(self, words: memoryview, transport: str, family: str) -> None:
        self._words = words
        self._places = [
            (
                word("dns_queries", transport, family, qtype),
                word("dns_responses", outcome, transport),
                word("dns_response_duration_seconds", outcome) if outcome in TIMED else None,
                word("cache_requests", _CACHED[outcome]) if outcome in _CACHED else None,
            )
            for qtype in QTYPES
            for outcome in OUTCOMES
        ]

    def add_each(self, answers: Iterable[tuple[int, float]]) -> None:
        """Count queries that were answered at different times: the bucket of each, and its seconds."""
        words = self._words
        for number, seconds in answers:
            queries, responses, duration, hits = self._places[number]
            words[queries] += 1
            words[responses] += 1
            if hits is not None:
                words[hits] += 1
            if duration is not None:
                observe(words, duration, DNS_BUCKETS, seconds)

    def add(self, buckets: Iterable[int], seconds: float) -> None:
        """Count queries that were answered together, `seconds` after they were read."""
        words = self._words
        for number, times in Counter(buckets).items():
            queries, responses, duration, hits = self._places[number]
            words[queries] += times
            words[responses] += times
            if hits is not None:
                words[hits] += times
            if duration is not None:
                observe(words, duration, DNS_BUCKETS, seconds, times)
