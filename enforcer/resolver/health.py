"""How each upstream has been doing, and so whom to ask next.

Times are those of the event loop, in seconds.
"""

from collections.abc import Iterator, Sequence

from enforcer.config.values import Upstream as Target
from enforcer.counters import UPSTREAM_BUCKETS, observe, word

PROBE_S = 10.0  # after which an upstream that nobody asked is asked to see how it does
PLAIN_S = 900.0  # seconds for which an upstream that does not know EDNS is asked without
CASE_LOST_MAX = 3
DOWN_AFTER = 3  # silences in a row
DOWN_MIN_S, DOWN_MAX_S = 1.0, 30.0
TRIES = 2  # of one question, of each


class Upstream:
    """One resolver that we ask.

    words: where it is counted. plain_until: it answers FORMERR or NOTIMP to EDNS (RFC 6891 §7), so it is asked without.
    case_until: it does not repeat the letters' case, so it is asked in lower case. down_until: when to see whether it
    is back; 0 while it is up. latency: smoothed, seconds; 0 until it has answered. asked: when, last.
    """

    def __init__(self, index: int, target: Target, words: memoryview) -> None:
        self.index = index
        self.target = target
        self.plain_until = 0.0
        self.case_until = 0.0
        self.down_until = 0.0
        self.down_s = DOWN_MIN_S
        self.latency = 0.0
        self.asked = 0.0
        self._silences = 0
        self._case_lost = 0  # answers in a row that did not repeat it
        self._words = words
        self._label = str(index)
        self._w_queries = word("upstream_queries", self._label)
        self._w_duration = word("upstream_duration_seconds", self._label)
        self._w_up = word("upstream_up", self._label)
        words[self._w_up] = 1

    def asks(self, now: float) -> None:
        """It is asked."""
        self.asked = now
        self._words[self._w_queries] += 1

    def failed(self, reason: str) -> None:
        """Count what went wrong."""
        self._words[word("upstream_failures", self._label, reason)] += 1

    def answered(self, took: float) -> None:
        """It has answered, after so many seconds, whatever it said."""
        observe(self._words, self._w_duration, UPSTREAM_BUCKETS, took)
        self.latency = took if not self.latency else self.latency * 0.8 + took * 0.2
        self._silences, self.down_until, self.down_s = 0, 0.0, DOWN_MIN_S
        self._words[self._w_up] = 1

    def silent(self, now: float) -> bool:
        """It has not answered, or could not be reached; True when it counts as down from now on."""
        self._silences += 1
        if self._silences < DOWN_AFTER or self.down_until:
            return False
        self.wait(now)
        self._words[self._w_up] = 0
        return True

    def wait(self, now: float) -> None:
        """It is down: see later whether it is back, each time after twice as long."""
        self.down_until = now + self.down_s
        self.down_s = min(self.down_s * 2, DOWN_MAX_S)

    def knows_no_edns(self, now: float) -> None:
        """It has answered what it did not when it was asked with EDNS."""
        self.plain_until = now + PLAIN_S

    def kept_case(self) -> None:
        """It has repeated the letters' case."""
        self._case_lost = 0

    def lost_case(self, now: float) -> None:
        """It has not; thrice in a row, and it is asked in lower case for a while."""
        self._case_lost += 1
        if self._case_lost >= CASE_LOST_MAX:
            self._case_lost, self.case_until = 0, now + PLAIN_S


class Roster:
    """The upstreams that are asked for the same names. first: the number under which the first of them is counted."""

    def __init__(self, targets: Sequence[Target], words: memoryview, *, fastest: bool, first: int = 0) -> None:
        self.all = [Upstream(index, target, words) for index, target in enumerate(targets, first)]
        self._fastest = fastest

    def best(self, tried: Sequence[int]) -> Upstream | None:
        """Whom to ask next, after these were asked; None when all of them were, twice."""
        if not tried and len(self.all) == 1:
            return self.all[0]

        def rank(upstream: Upstream) -> tuple[int, bool, float, int]:
            slow = upstream.latency if self._fastest else 0.0
            return tried.count(upstream.index), upstream.down_until > 0, slow, upstream.index

        candidates = [upstream for upstream in self.all if tried.count(upstream.index) < TRIES]
        return min(candidates, key=rank, default=None)

    def due(self, best: Upstream, now: float) -> Iterator[Upstream]:
        """Whom else to ask, once in a while: who is down, and where the fastest is wanted, who was not asked lately."""
        for upstream in self.all:
            due = upstream.down_until or (upstream.asked + PROBE_S if self._fastest else now + 1)
            if upstream is not best and now >= due:
                upstream.asked = now
                if upstream.down_until:
                    upstream.wait(now)
                yield upstream
