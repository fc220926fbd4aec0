"""What workers count, in shared memory: one word a time series, exact through a killed worker.

Every family and every label value is listed here, so the file's layout is the same in all workers and every
series exists, at zero, before its first event. A worker adds to its own words before an answer leaves; the hub
reads the files of all workers, adds them up, and publishes. A worker that replaces a killed one goes on with
the same file.
"""

import hashlib
import itertools
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

UPSTREAMS_MAX = 16


class Transport(IntEnum):
    """How a query came; `word` names it in counters and records."""

    UDP = 0
    TCP = 1
    DOT = 2
    DOH = 3

    @property
    def word(self) -> str:
        """The name in counters and records."""
        return self.name.lower()

    @property
    def stream(self) -> bool:
        """Whether an answer may have as many octets as a length of two says."""
        return self is not Transport.UDP


TRANSPORTS = tuple(transport.word for transport in Transport)
FAMILIES = ("4", "6")
QTYPES = ("a", "aaaa", "https", "svcb", "ptr", "txt", "other")
OUTCOMES = (
    "blocked",
    "observed",
    "cached",
    "stale",
    "forwarded",
    "local",
    "refused",
    "formerr",
    "notimp",
    "servfail",
    "dropped",
)
TIMED = ("blocked", "cached", "forwarded")
FAILURES = ("timeout", "mismatch", "malformed", "refused", "network")
DROPS = ("spool_full", "disk_full", "untold")
CONNECTIONS = ("tls", "quic", "http", "mmtls", "ip", "other")
VERDICTS = ("allowed", "blocked", "observed", "failed")
REJECTED = ("unsteered", "unjudged", "predating")
OPENABLE = ("dns", "proxy", "gate")

# Upper bounds in seconds; the last bucket, above all of them, is +Inf.
DECISION_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
UPSTREAM_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DNS_BUCKETS = DECISION_BUCKETS + UPSTREAM_BUCKETS[6:]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the prefix, its labels with all their values, how it is added up.

    buckets: for a histogram, which then has one word a bucket and one for the sum in nanoseconds.
    gauge: the words are levels; False: they only grow.
    """

    name: str
    help: str
    labels: Mapping[str, tuple[str, ...]]
    buckets: tuple[float, ...] = ()
    gauge: bool = False

    @property
    def width(self) -> int:
        """Words for one combination of labels."""
        return len(self.buckets) + 2 if self.buckets else 1

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Every combination of label values, in the order of the words."""
        return itertools.product(*self.labels.values())


_UPSTREAM = {"upstream": tuple(str(index) for index in range(UPSTREAMS_MAX))}

LAYOUT: tuple[Family, ...] = (
    Family(
        "dns_queries",
        "DNS queries received",
        {"transport": TRANSPORTS, "family": FAMILIES, "qtype": QTYPES},
    ),
    Family(
        "dns_responses",
        "DNS queries by what became of them, dropped ones included",
        {"outcome": OUTCOMES, "transport": TRANSPORTS},
    ),
    Family(
        "dns_response_duration_seconds",
        "Seconds from reading a query to sending its answer",
        {"outcome": TIMED},
        buckets=DNS_BUCKETS,
    ),
    Family("cache_requests", "Look-ups in the answer cache", {"result": ("hit", "miss", "stale")}),
    Family("cache_entries", "Answers in the cache", {}, gauge=True),
    Family("cache_bytes", "Bytes that the cached answers take, estimated", {}, gauge=True),
    Family("upstream_queries", "Queries sent to an upstream, retries included", _UPSTREAM),
    Family(
        "upstream_failures",
        "Queries to an upstream that brought no usable answer",
        {**_UPSTREAM, "reason": FAILURES},
    ),
    Family("upstream_duration_seconds", "Seconds an upstream took to answer", _UPSTREAM, buckets=UPSTREAM_BUCKETS),
    Family("upstream_up", "1 while an upstream answers, 0 while it is passed over", _UPSTREAM, gauge=True),
    Family(
        "proxy_connections",
        "Connections by what they showed first and what became of them; failed ones were closed without a verdict",
        {"layer": CONNECTIONS, "verdict": VERDICTS},
    ),
    Family("proxy_active_connections", "Connections that the proxy carries", {}, gauge=True),
    Family(
        "proxy_decision_duration_seconds",
        "Seconds of work to judge what a connection has shown",
        {},
        buckets=DECISION_BUCKETS,
    ),
    Family(
        "gateway_rejected",
        "Packets that the gateway stopped, and that are no attempts: not redirected as they should be, judged by "
        "nobody (more than the gate's queue holds; with gateway.fail_open they pass), or from before the rules",
        {"reason": REJECTED},
    ),
    Family(
        "gateway_open",
        "1 while a part is dead and gateway.fail_open lets pass what it should see, 0 otherwise",
        {"kind": OPENABLE},
        gauge=True,
    ),
    Family("attempts_dropped", "Attempts that were blocked but could not be recorded", {"reason": DROPS}),
    Family("worker_generation", "Generation of the orders that the worker follows", {}, gauge=True),
    Family("worker_heartbeat_milliseconds", "When the worker last said that it lives (ms since 1970)", {}, gauge=True),
)

_MAGIC_WORDS = 4
_SIGNATURE = hashlib.sha256(repr(LAYOUT).encode()).digest()


def _offsets() -> tuple[dict[tuple[str, ...], int], int]:
    offsets: dict[tuple[str, ...], int] = {}
    at = _MAGIC_WORDS
    for family in LAYOUT:
        for values in family.combinations():
            offsets[family.name, *values] = at
            at += family.width
    return offsets, at


_OFFSETS, _WORDS = _offsets()


def word(name: str, *labels: str) -> int:
    """The number of the word that counts this series; for a histogram, of its first bucket."""
    return _OFFSETS[name, *labels]


class Counters:
    """The words of one worker, mapped. `words[word(...)] += 1` counts."""

    def __init__(self, path: Path) -> None:
        """Open a worker's file, going on with its counts; begin at zero where there is none or another layout."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.pread(self._fd, len(_SIGNATURE), 0) != _SIGNATURE:
            os.ftruncate(self._fd, 0)
            os.posix_fallocate(self._fd, 0, _WORDS * 8)
            os.pwrite(self._fd, _SIGNATURE, 0)
        self._map = mmap.mmap(self._fd, _WORDS * 8)
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Let go of the file; the counts stay in it."""
        self.words.release()
        self._map.close()
        os.close(self._fd)


def observe(words: memoryview, first: int, buckets: tuple[float, ...], seconds: float, times: int = 1) -> None:
    """Count `times` observations of one duration in the histogram whose first bucket is word `first`."""
    words[first + bisect_left(buckets, seconds)] += times
    words[first + len(buckets) + 1] += int(seconds * 1e9) * times


def read_counters(path: Path) -> tuple[int, ...] | None:
    """All words of one worker's file; None when it is not there or of another layout."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _WORDS * 8 or data[: len(_SIGNATURE)] != _SIGNATURE:
        return None
    return tuple(memoryview(data).cast("Q"))
