"""What upstreams answered, kept for as long as their TTLs say (RFC 1035 §3.2.1, 2181 §8, 2308 §5, 9520).

Nothing here knows policy: an answer is judged when it is given, so a newly banned name cannot come out of it.
Time is a number of seconds that only grows.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass

from enforcer.wire import dns
from enforcer.wire.dnscut import without_ech

TTL_MAX = 86_400  # RFC 8767 §4
STALE_TTL = 30  # RFC 8767 §4
STALE_MAX_S = 86_400  # RFC 8767 §5 has 1 to 3 days
NEGATIVE_TTL_MAX = 10_800  # RFC 2308 §5
FAILURE_MIN_S, FAILURE_MAX_S = 1.0, 60.0  # RFC 9520 §3.2 asks for 1 s to 5 min

POPULAR = 3  # look-ups; an answer that is kept rendered is looked up once a second
PREFETCH_SHARE = 0.1  # of its time, at the end of which a popular answer is asked for again

# What an entry takes besides its octets, and each of its records: the objects around them, measured with tracemalloc.
OVERHEAD = 600
RECORD = 40

_TTL = struct.Struct(">I")
_NXDOMAIN = 3
_ANSWER = dns.Section.ANSWER
FOREVER = 1 << 62

type Key = tuple[bytes, int]
"""A question (name in lower case, type, class) and the variant of its answer."""

CD, DO = 1, 2  # of a variant: answers that must not be each other's (RFC 4035 §3.2, 6840 §5.9)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Cached:
    """One answer without OPT, as upstream sent it, to be given out with its TTLs counted down.

    ttls: where they stand. stored, until: when it came, and when it expires. every_type: it denies all types of its
    name. bare: the same without ECH keys; None where there are none. uses: how often it was looked up. ede: the code
    with which upstream said that its own policy refused it; None: it did not. Others hold it by a weak reference alone,
    so that it ends when the cache drops it. It is kept as octets: read, it would take four times as much.
    """

    wire: bytes
    rcode: int
    ttls: tuple[int, ...]
    stored: float
    until: float
    every_type: bool = False
    bare: "Cached | None" = None
    uses: int = 0
    ede: int | None = None

    def is_due(self, now: float) -> bool:
        """Whether it is worth asking for again before it expires: it is popular, and in its last tenth or second."""
        return self.uses >= POPULAR and self.until - now <= max(1.0, (self.until - self.stored) * PREFETCH_SHARE)

    @property
    def size(self) -> int:
        """Octets that the entry counts for."""
        own = len(self.wire) + OVERHEAD + RECORD * len(self.ttls)
        return own if self.bare is None else own + self.bare.size

    def at(self, now: float) -> bytes | bytearray:
        """The message as it is to be given out now: every TTL less the whole seconds that it was kept."""
        age = int(now - self.stored)
        if not age:
            return self.wire
        wire = bytearray(self.wire)
        for offset in self.ttls:
            (ttl,) = _TTL.unpack_from(wire, offset)
            _TTL.pack_into(wire, offset, ttl - age if ttl > age else 0)
        return wire


def stale_wire(entry: Cached) -> bytearray:
    """The message as it is to be given out when it has expired: with every TTL 30 seconds (RFC 8767 §4)."""
    wire = bytearray(entry.wire)
    for offset in entry.ttls:
        _TTL.pack_into(wire, offset, STALE_TTL)
    return wire


def cacheable(wire: bytes, response: dns.Response, now: float, max_ttl: int) -> Cached:
    """An upstream's answer, ready to give; `until == now` where it must not be kept.

    wire: the message without OPT and trailing octets. Positive answers live as long as their shortest TTL, at most
    max_ttl seconds; negative ones as their SOA says, and without an SOA not at all (RFC 2308 §5). Raises Malformed
    for an SOA that is none, and for parameters of SVCB and HTTPS that are none.
    """
    most = min(max_ttl, TTL_MAX)
    lifetime, answers = FOREVER, 0
    for section, _, _, _, ttl, _, _, _ in response.records:
        answers += section is _ANSWER
        lifetime = min(lifetime, ttl)
    denied = response.rcode == _NXDOMAIN
    if denied or not answers:
        negative = dns.negative_ttl(wire, response)
        # Clients count from the SOA's TTL and MINIMUM: with a TTL above MINIMUM they would keep it longer than we do.
        most = min(most, NEGATIVE_TTL_MAX) if negative is None else min(most, NEGATIVE_TTL_MAX, negative)
        lifetime = 0 if negative is None else lifetime
    if response.tc or not (response.rcode == 0 or denied):
        lifetime = 0
    until = now + min(lifetime, most)
    plain = without_ech(wire, response)
    bare = None if plain is None else _entry(plain, dns.read_response(plain), most, now, until)
    return _entry(wire, response, most, now, until, every_type=denied and not answers, bare=bare)


def _entry(
    wire: bytes,
    response: dns.Response,
    most: int,
    now: float,
    until: float,
    *,
    every_type: bool = False,
    bare: Cached | None = None,
) -> Cached:
    """An entry whose octets say no TTL above `most`, and none with the top bit set."""
    capped: bytearray | None = None
    offsets = []
    for _, _, _, _, ttl, at, _, _ in response.records:
        offsets.append(at)
        if ttl > most or wire[at] > 0x7F:
            capped = capped or bytearray(wire)
            _TTL.pack_into(capped, at, min(ttl, most))
    octets = wire if capped is None else bytes(capped)
    return Cached(octets, response.rcode, tuple(offsets), now, until, every_type, bare)


class Cache:
    """Answers by question, least recently used first out, never more than `max_bytes`.

    serve_stale: what has expired is kept for another day (RFC 8767).
    """

    def __init__(self, max_bytes: int, *, serve_stale: bool = False) -> None:
        self.max_bytes = max_bytes
        self._stale_s = STALE_MAX_S if serve_stale else 0
        self.bytes = 0
        self._entries: OrderedDict[Key, Cached] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: bytes, variant: int, now: float) -> Cached | None:
        """The answer to a question (name lower-case, type, class), None when it has to be asked for.

        variant: of CD and DO those that are set. An NXDOMAIN without a chain answers for every type of its name and
        class (RFC 2308 §5).
        """
        for key in ((question, variant), (_name(question), variant)):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if entry.until > now:
                self._entries.move_to_end(key)
                entry.uses += 1
                return entry
            if entry.until + self._stale_s <= now:
                self._drop(key)
        return None

    def stale(self, question: bytes, variant: int, now: float) -> Cached | None:
        """An answer that has expired, for when nobody can give a new one (RFC 8767 §5); None where there is none."""
        for key in ((question, variant), (_name(question), variant)):
            entry = self._entries.get(key)
            if entry is not None and entry.until <= now < entry.until + self._stale_s:
                return entry
        return None

    def put(self, question: bytes, variant: int, entry: Cached, now: float) -> None:
        """Keep an answer, if it may be kept at all."""
        size = entry.size
        if entry.until <= now or size > self.max_bytes // 8:
            return
        typed, untyped = (question, variant), (_name(question), variant)
        for old in (typed, untyped):  # of which one may have expired
            if old in self._entries:
                self._drop(old)
        self._entries[untyped if entry.every_type else typed] = entry
        self.bytes += size
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        self.bytes -= self._entries.pop(key).size


def _name(question: bytes) -> bytes:
    """The question without its type."""
    return question[:-4] + question[-2:]


class Failures:
    """Questions that no upstream could answer, not asked again at once (RFC 9520)."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._failed: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def blocked(self, question: bytes, variant: int, now: float) -> bool:
        """True while the question is not to be asked again."""
        failed = self._failed.get((question, variant))
        return failed is not None and now < failed[0]

    def add(self, question: bytes, variant: int, now: float) -> None:
        """Another failure: wait twice as long as the last time."""
        key = (question, variant)
        _, wait = self._failed.pop(key, (0.0, FAILURE_MIN_S / 2))
        wait = min(wait * 2, FAILURE_MAX_S)
        self._failed[key] = (now + wait, wait)
        if len(self._failed) > self._most:
            self._failed.popitem(last=False)

    def forget(self, question: bytes, variant: int) -> None:
        """The question has been answered."""
        self._failed.pop((question, variant), None)
