"""What a group of clients was answered before, as it was sent: found by the octets of a query, or by what it asks.

An answer of our own is good for as long as it says. One with TTLs is good until they change, a second after the last
time; then only they are written anew.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import ref

from enforcer.counters import Transport
from enforcer.decide import dns as decide
from enforcer.decide.cache import Cached, Key
from enforcer.wire.dns import Query

KNOWN_MAX = 50_000  # answers a table; when there are more, all are rendered anew
OCTETS_MAX = 300  # of a query that is remembered octet by octet
ANSWER_MAX = 1232  # octets of an answer that is remembered; so a table has a size
FOREVER = float("inf")

_TTL = struct.Struct(">I")


@dataclass(slots=True, eq=False)
class Rows:
    """The spool rows of one attempt, by client. encoded: the entry's part that all clients share.

    shown: what these clients have shown of themselves, as an `Entry` has it; None for nothing.
    """

    encoded: bytes
    shown: str | None = None
    by_client: dict[int | bytes, int] = field(default_factory=dict)


class Source(NamedTuple):
    """What an answer with TTLs was rendered from.

    key, entry: under which the cache had it, and what it had. ttls: where in the answer they stand, counted from
    behind the ID, and what they were when the entry came. lasts: until when policy need not be asked again.
    """

    key: Key
    entry: ref[Cached]
    ttls: tuple[tuple[int, int], ...]
    lasts: float


type Rendered = tuple[float, bytes, int, int, Rows | None, Source | None]
"""An answer as it is sent, but for the two octets of the ID.

Until when it may be given (steady seconds), the octets after the ID, their number with the ID, the counters' bucket,
the spool rows (None: no trace), and what it can be made new from (None: nothing, it has to be decided anew).
"""

type Look = Callable[[Key, float], Cached | None]
"""Looks into the cache, which so learns that an answer is still in use."""

type Meaning = tuple[bytes, int, int]
"""All of a query that its answer depends on, but for the letter case: what is asked, flags, EDNS and transport."""


@dataclass(slots=True, eq=False)
class Memory:
    """The answers of one group, until it is thrown away with the policy. Each table is emptied when it is full.

    by_octets: by what a query over UDP says after its ID; by_stream: the same of each other transport. by_meaning: by
    what it asks, in whatever letters.
    """

    by_octets: dict[bytes, Rendered] = field(default_factory=dict)
    by_stream: dict[tuple[Transport, bytes], Rendered] = field(default_factory=dict)
    by_meaning: dict[Meaning, Rendered] = field(default_factory=dict)

    def learn(self, meaning: Meaning, rendered: Rendered) -> None:
        """Keep an answer for whoever asks the same."""
        if rendered[2] <= ANSWER_MAX:
            if len(self.by_meaning) >= KNOWN_MAX:
                self.by_meaning.clear()
            self.by_meaning[meaning] = rendered

    def remember(self, query: Query, wire: bytes, transport: Transport, rendered: Rendered) -> None:
        """Keep an answer for the same octets, where they are likely to come again."""
        plain = query.edns is None or not query.edns.options
        if (
            not plain
            or len(wire) > OCTETS_MAX
            or rendered[2] > ANSWER_MAX
            or not query.question.startswith(query.qname)
        ):
            return
        if transport.stream:
            if len(self.by_stream) >= KNOWN_MAX:
                self.by_stream.clear()
            self.by_stream[transport, wire[2:]] = rendered
        else:
            if len(self.by_octets) >= KNOWN_MAX:
                self.by_octets.clear()
            self.by_octets[wire[2:]] = rendered


def meaning_of(query: Query, transport: Transport, *, structured: bool) -> Meaning:
    """What a query means. structured: it asks for errors that a program reads."""
    edns = query.edns
    manner = 0 if edns is None else decide.udp_limit(query) << 3 | edns.do << 2 | 1 << 20
    if structured:
        manner |= 1 << 21
    return query.qname + query.question[-4:], query.flags & 0x0130, manner | transport


def source_of(key: Key, entry: Cached, given: Cached, message: bytes, lasts: float) -> Source:
    """What a message was made from. given: the entry, or what of it may be given; the message has its TTLs in place.

    A message that was cut has no records, and so no TTLs.
    """
    kept = given.ttls if len(message) >= len(given.wire) else ()
    ttls = tuple((at - 2, *_TTL.unpack_from(given.wire, at)) for at in kept)
    return Source(key, ref(entry), ttls, lasts)


def until(entry: Cached, lasts: float, now: float) -> float:
    """Until when an answer from an entry may be given: its TTLs change, or policy has to be asked."""
    return min(entry.stored + int(now - entry.stored) + 1, lasts)


def found[K](
    table: dict[K, Rendered], key: K, now: float, cached: Callable[[Key, float], Cached | None]
) -> Rendered | None:
    """What a table has, with its TTLs of now; None when it has to be decided anew.

    cached: looks into the cache, which so learns that an answer is still in use.
    """
    known = table.get(key)
    if known is None or known[0] > now:
        return known
    known = _renewed(known, now, cached)
    if known is not None:
        table[key] = known
    return known


def asked_in(query: Query, known: Rendered) -> Rendered:
    """An answer with the question in the letters of this query."""
    lasts, tail, size, number, rows, source = known
    question = query.question
    return lasts, b"".join((tail[:10], question, tail[10 + len(question) :])), size, number, rows, source


def _renewed(known: Rendered, now: float, cached: Look) -> Rendered | None:
    _, tail, size, number, rows, source = known
    if source is None or source.lasts <= now:
        return None
    entry = cached(source.key, now)
    if entry is None or source.entry() is not entry:
        return None
    age = int(now - entry.stored)
    aged = bytearray(tail)
    for at, ttl in source.ttls:
        _TTL.pack_into(aged, at, ttl - age)
    return until(entry, source.lasts, now), bytes(aged), size, number, rows, source
