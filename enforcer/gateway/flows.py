"""What undecided connections have sent so far, put together in the order of the stream.

The gate sees the data of a client until it has decided: segments in any order, again, or overlapping. What is next in
the stream is looked at and given on, since a client may wait for its acknowledgement before it sends more. What comes
too early is held until the gap is closed, so that the part that decides never reaches the server behind our back. A
segment that repeats octets must repeat them as they were: who sends two versions wants us to see another one than the
server.

Everything is bounded: connections, octets of each, segments held of each, and how long. What does not fit is not let
through; a client that meant well sends it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from enforcer.decide.flow import Datagrams, Opening, Seen
from enforcer.gateway.marks import SEQUENCE

FLOWS_MAX = 65_536
HELD_MAX = 64
AHEAD_MAX = 0x10000
"""How far behind the gap a segment may begin."""

UNDECIDED_S = 30.0
DECIDED_S = 1.0
"""Segments that were queued when their connection was decided are answered within this, or twice."""

REFUSED_S = 30.0
"""The kernel keeps no mark on UDP whose first datagram it rejects; what is sent again is the same attempt."""

_HALF = (SEQUENCE + 1) // 2


class Step(Enum):
    """What to do with a packet that does not decide.

    PASS: give it on; more must follow. HOLD: answer it later. STRAY: it is none of a stream that we have seen the
    beginning of; it may pass if the connection has been allowed meanwhile. REFUSE: it contradicts what came before.
    """

    PASS = "pass"  # noqa: S105 (no password)
    HOLD = "hold"
    STRAY = "stray"
    REFUSE = "refuse"


@dataclass(slots=True)
class Flow:
    """One undecided connection. data: its octets so far. held: packets by where they begin, with their queue IDs."""

    begun_s: float
    opening: Opening
    data: bytearray = field(default_factory=bytearray)
    held: dict[int, tuple[bytes, int]] = field(default_factory=dict)


class Looked(NamedTuple):
    """What a packet has brought: what its connection shows, or what to do with it until that is known.

    given_on: octets of the stream that the server may have. released: queue IDs of held packets, which get the verdict
    of this one. other: what the stream would show if its last segment were right, which contradicts those before it.
    """

    what: Seen | Step
    given_on: int = 0
    released: Sequence[int] = ()
    other: Seen | None = None


_PASS, _HOLD, _STRAY = (Looked(step) for step in (Step.PASS, Step.HOLD, Step.STRAY))


class Flows:
    """Every undecided connection of one queue, and for a moment those just decided."""

    def __init__(self, flows_max: int = FLOWS_MAX) -> None:
        self._max = flows_max
        self._flows: dict[bytes, Flow] = {}  # oldest first
        self._datagrams: dict[bytes, tuple[float, Datagrams]] = {}
        self._decided: dict[bytes, tuple[int, int]] = {}
        self._before: dict[bytes, tuple[int, int]] = {}
        self._refused: dict[bytes, float] = {}
        self._lost: list[int] = []
        self._rotated_s = 0.0

    def __len__(self) -> int:
        return len(self._flows) + len(self._datagrams)

    def knows(self, key: bytes) -> bool:
        """Whether a TCP connection has sent something that did not decide."""
        return key in self._flows

    def decided(self, key: bytes, start: int) -> int | None:
        """The verdict on a connection that was decided a moment ago; None for any other.

        start: what tells it from an earlier one of the same ports.
        """
        found = self._decided.get(key) or self._before.get(key)
        return found[1] if found is not None and found[0] == start else None

    def decide(self, key: bytes, start: int, verdict: int) -> None:
        """Remember a verdict for what else is queued of the connection."""
        self._decided[key] = start, verdict

    def refuse(self, key: bytes, now_s: float) -> None:
        """Remember that a UDP connection is refused."""
        while len(self._refused) >= self._max:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = now_s

    def is_refused(self, key: bytes) -> bool:
        """Whether a UDP connection was refused within the last while."""
        return key in self._refused

    def segment(self, key: bytes, offset: int, data: bytes, ident: int, now_s: float) -> Looked:
        """Take data of a TCP connection.

        offset: of the data from the stream's first octet, modulo 2^30. ident: the packet's number in the queue.
        """
        flow = self._flows.get(key)
        if offset >= _HALF:
            offset -= 2 * _HALF
        if flow is None:
            if offset == 0:
                opening = Opening()
                seen = opening.add(data)
                if seen is not None:
                    return Looked(seen)
                self._open(key, now_s, opening).data += data
                return _PASS
            if not 0 < offset <= AHEAD_MAX:
                return _STRAY
            flow = self._open(key, now_s, Opening())
        if offset > len(flow.data):
            return self._hold(flow, offset, data, ident)
        if offset < 0:
            return _STRAY
        return self._grow(key, flow, offset, data)

    def datagram(self, key: bytes, data: bytes, now_s: float) -> Looked:
        """Take a datagram of a UDP connection."""
        known = self._datagrams.pop(key, None)
        begun_s, datagrams = (now_s, Datagrams()) if known is None else known
        seen = datagrams.add(data)
        if seen is not None:
            return Looked(seen)
        while len(self._datagrams) >= self._max:
            del self._datagrams[next(iter(self._datagrams))]
        self._datagrams[key] = begun_s, datagrams
        return _PASS

    def sweep(self, now_s: float) -> list[int]:
        """Once a second: forget what took too long. Returns the queue IDs of what was held and will not be decided."""
        if now_s - self._rotated_s >= DECIDED_S:
            self._before, self._decided, self._rotated_s = self._decided, {}, now_s
        for key in [key for key, flow in self._flows.items() if now_s - flow.begun_s >= UNDECIDED_S]:
            self._lose(key)
        for key in [key for key, (begun_s, _) in self._datagrams.items() if now_s - begun_s >= UNDECIDED_S]:
            del self._datagrams[key]
        for key in [key for key, refused_s in self._refused.items() if now_s - refused_s >= REFUSED_S]:
            del self._refused[key]
        lost, self._lost = self._lost, []
        return lost

    def _open(self, key: bytes, now_s: float, opening: Opening) -> Flow:
        while len(self._flows) >= self._max:
            self._lose(next(iter(self._flows)))
        flow = self._flows[key] = Flow(now_s, opening)
        return flow

    def _lose(self, key: bytes) -> None:
        self._lost += (ident for _, ident in self._flows.pop(key).held.values())

    def _hold(self, flow: Flow, offset: int, data: bytes, ident: int) -> Looked:
        if offset > AHEAD_MAX or len(flow.held) >= HELD_MAX or offset in flow.held:
            return _STRAY
        flow.held[offset] = data, ident
        return _HOLD

    def _grow(self, key: bytes, flow: Flow, offset: int, data: bytes) -> Looked:
        """Add what goes on where the stream ends, and all that was held for it."""
        given_on = len(flow.data)
        released: list[int] = []
        while True:
            if not _agree(flow.data, offset, data):
                other = Opening().add(bytes(flow.data[:offset]) + data)
                return self._end(key, flow, Step.REFUSE, given_on, released)._replace(other=other)
            fresh = data[len(flow.data) - offset :]
            if fresh:
                flow.data += fresh
                seen = flow.opening.add(fresh)
                if seen is not None:
                    return self._end(key, flow, seen, given_on, released)
            offset = min(flow.held, default=_HALF)
            if offset > len(flow.data):
                return Looked(Step.PASS, given_on, released)
            data, ident = flow.held.pop(offset)
            released.append(ident)

    def _end(self, key: bytes, flow: Flow, what: Seen | Step, given_on: int, released: list[int]) -> Looked:
        del self._flows[key]
        return Looked(what, given_on, [*released, *(ident for _, ident in flow.held.values())])


def _agree(stream: bytearray, offset: int, data: bytes) -> bool:
    """Whether data at an offset repeats the stream as far as the stream goes."""
    known = stream[offset : offset + len(data)]
    return data.startswith(known)
