"""What the fast path does not know: decide on a query, look in the cache, ask upstream, render the answer.

A query that can be answered at once is; another one is answered through its `Waiter` when upstream has spoken.
Identical questions on their way are asked once. An error of ours becomes SERVFAIL, never an unfiltered answer.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from enforcer.attempts.block import Block, Response, encode_block, with_client
from enforcer.attempts.spool import NO_ROW, Spool
from enforcer.counters import word
from enforcer.decide import dns as decide
from enforcer.decide.cache import Cache, Cached, Failures, cacheable
from enforcer.decide.dns import Manners, Outcome, Reply
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Answer
from enforcer.policy.verdict import Action, Client, Verdict
from enforcer.resolver.clients import Group, Known, Rendered, Rows
from enforcer.resolver.tally import bucket
from enforcer.resolver.upstream import Answer as Answered
from enforcer.resolver.upstream import Failure, Question, Upstreams
from enforcer.wire import dns
from enforcer.wire.dnscodes import rcode_name, type_name
from enforcer.wire.dnscut import without_opt

KNOWN_MAX = 50_000  # rendered answers a group; when there are more, they are rendered anew
OCTETS_MAX = 300  # of a query that is remembered octet by octet
FOREVER = 1 << 62
SETTLED_S = 60  # a blocked answer is judged anew this often, so that a rule can expire

_log = logging.getLogger(__name__)

_RESPONSES = {
    Answer.NXDOMAIN: Response.NXDOMAIN,
    Answer.NODATA: Response.NODATA,
    Answer.NULL: Response.NULL,
    Answer.SINKHOLE: Response.SINKHOLE,
}


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, as it is handed to a worker. wall_ms: since 1970. steady: seconds that only grow."""

    wall_ms: Callable[[], int]
    steady: Callable[[], float]


class Silence(Enum):
    """Why a query gets no answer now."""

    LATER = "upstream is asked"
    NEVER = "it is none, or a stranger's"


class Waiter(Protocol):
    """The way back to a client whose answer has to wait."""

    def __call__(self, rendered: Rendered, wire: bytes) -> None:
        """Record, count and send: `wire` is the whole message, `rendered` what else there is to know of it."""


@dataclass(slots=True)
class _Pending:
    """A question on its way upstream, and all who wait for it."""

    waiters: list[tuple[dns.Query, Group, bool, Waiter]]


class Handler:
    """Answers for one worker, under one policy at a time."""

    def __init__(
        self,
        *,
        manners: Manners,
        cache: Cache,
        upstreams: Upstreams,
        spool: Spool,
        words: memoryview,
        clock: Clock,
        drop_outside: bool,
        name_clients: bool,
    ) -> None:
        self._manners = manners
        self._cache = cache
        self._failures = Failures()
        self._upstreams = upstreams
        self._words = words
        self._clock = clock
        self._drop_outside = drop_outside
        self._name_clients = name_clients
        self._pending: dict[tuple[bytes, int], _Pending] = {}
        self._policy: Policy | None = None
        self._ruleset = ""
        self._spool = spool
        self._spool_generation = spool.generation
        self._rows: list[Rows] = []
        self._w_miss = word("cache_requests", "miss")
        self._w_entries = word("cache_entries")
        self._w_bytes = word("cache_bytes")

    def follow(self, policy: Policy) -> None:
        """Judge by this policy from now on. The groups' rendered answers are the directories' to forget."""
        self._policy = policy
        self._ruleset = policy.ruleset
        self._spool.seal()
        self._forget_rows()

    def tick(self, now_ms: int) -> None:
        """Once a second: let the spool age, publish the cache's size."""
        self._spool.tick(now_ms)
        self._forget_rows()
        self._words[self._w_entries] = len(self._cache)
        self._words[self._w_bytes] = self._cache.bytes

    def answer(
        self, wire: bytes, group: Group, stream: bool, waiter: Callable[[], Waiter]
    ) -> tuple[Rendered, bytes] | Silence:
        """Answer a message: what is known of the answer, and the whole of it.

        stream: it came over TCP. waiter: makes the way back, where the answer must wait.
        """
        try:
            return self._answer(wire, group, stream, waiter)
        except Exception:  # noqa: BLE001 (a bug of ours must not let a name through, nor take the worker down)
            _log.exception("a query could not be answered")
            query = decide.screen(wire)
            return self._broken(query) if isinstance(query, dns.Query) else Silence.NEVER

    def record(self, rows: Rows, client: int | bytes, address: str, port: int) -> None:
        """Count one attempt of a client in the spool, before its answer leaves."""
        now_ms = self._clock.wall_ms()
        if not self._name_clients:
            client = b""
        spool = self._spool
        row = rows.by_client.get(client, NO_ROW)
        if row != NO_ROW and spool.repeat(row, now_ms):
            return
        entry = with_client(rows.encoded, address if self._name_clients else None, port)
        row = spool.open(entry, now_ms)
        self._forget_rows()
        if row == NO_ROW:
            self._words[word("attempts_dropped", spool.full or "disk_full")] += 1
            return
        if not rows.by_client:
            self._rows.append(rows)
        rows.by_client[client] = row

    def _judges(self, group: Group) -> tuple[Client, Policy]:
        """On whose behalf and by what is judged; strangers and the time before a policy never get so far."""
        if group.client is None or self._policy is None:
            raise RuntimeError("a query was let in that nobody may ask")
        return group.client, self._policy

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)

    def _forget_rows(self) -> None:
        """When the spool has begun another segment, the rows' numbers mean nothing any more."""
        if self._spool.generation == self._spool_generation:
            return
        self._spool_generation = self._spool.generation
        for rows in self._rows:
            rows.by_client.clear()
        self._rows.clear()

    def _answer(
        self, wire: bytes, group: Group, stream: bool, waiter: Callable[[], Waiter]
    ) -> tuple[Rendered, bytes] | Silence:
        screened = decide.screen(wire)
        if screened is None:
            return Silence.NEVER
        if isinstance(screened, Reply):
            if group.client is None:
                return Silence.NEVER  # a stranger's malformed message is not worth an answer
            return self._once(screened, None, stream)
        query = screened
        client, policy = group.client, self._policy
        if client is None or policy is None:
            if client is None and self._drop_outside:
                return Silence.NEVER
            return self._once(decide.outside(query), query, stream)
        meaning = _meaning(query, stream)
        known = group.by_meaning.get(meaning)
        steady = self._clock.steady()
        if known is not None:
            answer = self._again(known, query, wire, group, steady)
            if answer is not None:
                return answer
        now = self._now()
        step = decide.begin(query, client, policy, now, self._manners)
        if isinstance(step, Reply):
            rows = self._rows_of(step, query, client.realm, stream)
            lasts = FOREVER if rows is None else int(steady) + SETTLED_S
            return self._settled(step.wire, step.outcome, rows, lasts, meaning, query, wire, group)
        question, variant = _question(query), _variant(query)
        entry = self._cache.get(question, variant, steady)
        if entry is not None:
            return self._given(entry, Outcome.CACHED, query, group, step.observed, stream, wire)
        self._words[self._w_miss] += 1
        if self._failures.blocked(question, variant, steady):
            return self._once(decide.failed(query, "asked again too soon", network=False), query, stream)
        self._ask(query, (question, variant), group, stream, waiter())
        return Silence.LATER

    def _again(
        self, known: Known, query: dns.Query, wire: bytes, group: Group, steady: float
    ) -> tuple[Rendered, bytes] | None:
        """The answer to what was asked before in other words; None when it has to be decided anew."""
        tick = int(steady)
        if known.rendered is not None:
            if known.rendered[0] < tick:
                return None
            last, tail, size, number, rows = known.rendered
            end = 10 + len(query.question)
            tail = tail[:10] + query.question + tail[end:]
            return self._remembered((last, tail, size, number, rows), query, wire, group)
        entry = known.entry
        if entry is None or entry.until <= steady:
            return None
        reply = decide.fitted(decide.passed(query, entry.at(steady), entry.response.rcode), query, stream=known.stream)
        rendered = (tick, reply[2:], len(reply), known.bucket, known.rows)
        if entry.until < steady + 1:
            return rendered, reply
        return self._remembered(rendered, query, wire, group)

    def _remembered(self, rendered: Rendered, query: dns.Query, wire: bytes, group: Group) -> tuple[Rendered, bytes]:
        """Keep an answer for the same octets, where they are likely to come again."""
        plain = query.edns is None or not query.edns.options
        if plain and len(wire) <= OCTETS_MAX and query.question.startswith(query.qname):
            by_octets = group.by_octets
            if len(by_octets) >= KNOWN_MAX:
                by_octets.clear()
            by_octets[wire[2:]] = rendered
        return rendered, wire[:2] + rendered[1]

    def _settled(
        self,
        reply: bytes,
        outcome: Outcome,
        rows: Rows | None,
        lasts: int,
        meaning: tuple[bytes, int, int],
        query: dns.Query,
        wire: bytes,
        group: Group,
    ) -> tuple[Rendered, bytes]:
        """An answer of our own, which does not depend on time until it is judged anew."""
        stream = bool(meaning[2] & 1)
        reply = decide.fitted(reply, query, stream=stream)
        number = bucket(query.qtype, outcome)
        rendered = (lasts, reply[2:], len(reply), number, rows)
        self._learn(group, meaning, Known(number, rows, rendered, None, stream))
        return self._remembered(rendered, query, wire, group)

    def _learn(self, group: Group, meaning: tuple[bytes, int, int], known: Known) -> None:
        if len(group.by_meaning) >= KNOWN_MAX:
            group.by_meaning.clear()
        group.by_meaning[meaning] = known

    def _once(self, reply: Reply, query: dns.Query | None, stream: bool) -> tuple[Rendered, bytes]:
        """An answer that is not kept."""
        wire = decide.fitted(reply.wire, query, stream=stream)
        number = bucket(query.qtype if query is not None else None, reply.outcome)
        return (0, wire[2:], len(wire), number, None), wire

    def _given(
        self,
        entry: Cached,
        outcome: Outcome,
        query: dns.Query,
        group: Group,
        observed: Verdict | None,
        stream: bool,
        wire: bytes | None,
    ) -> tuple[Rendered, bytes]:
        """The answer in the cache, or fresh from upstream, as policy lets this client have it.

        wire: the query's octets, where the answer may be remembered for them.
        """
        client, policy = self._judges(group)
        steady = self._clock.steady()
        try:
            found = decide.judge_answer(entry.wire, entry.response, client, policy, self._now())
        except Malformed:
            return self._once(decide.failed(query, "upstream's answer cannot be read", network=False), query, stream)
        meaning = _meaning(query, stream)
        if found is not None and found.verdict.action is Action.BLOCK:
            refusal = decide.refused(query, entry.wire, entry.response, found, self._manners)
            rows = self._rows_of(refusal, query, client.realm, stream)
            lasts = int(steady) + min(SETTLED_S, int(entry.until - steady))
            if wire is None:
                reply = decide.fitted(refusal.wire, query, stream=stream)
                return (0, reply[2:], len(reply), bucket(query.qtype, refusal.outcome), rows), reply
            return self._settled(refusal.wire, refusal.outcome, rows, lasts, meaning, query, wire, group)
        rows = None
        if observed is not None or found is not None:
            seen = Reply(b"", Outcome.OBSERVED, observed)
            if observed is None and found is not None:
                seen = Reply(b"", Outcome.OBSERVED, found.verdict, via=found.via)
            rows = self._rows_of(seen, query, client.realm, stream)
            outcome = Outcome.OBSERVED
        message = decide.fitted(decide.passed(query, entry.at(steady), entry.response.rcode), query, stream=stream)
        number = bucket(query.qtype, outcome)
        if wire is not None and not client.exempt:
            self._learn(group, meaning, Known(number, rows, None, entry, stream))
        return (0, message[2:], len(message), number, rows), message

    def _rows_of(self, reply: Reply, query: dns.Query, realm: str, stream: bool) -> Rows | None:
        """Where the attempts of an answer are counted; None when there is nothing to record."""
        if reply.verdict is None:
            return None
        rcode = reply.wire[3] & 0xF if reply.wire else 0
        block = Block.of_question(
            reply.verdict,
            ruleset=self._ruleset,
            qname=query.qname,
            qtype=type_name(query.qtype),
            via=reply.via,
            response=_RESPONSES[reply.answer],
            rcode=rcode_name(rcode),
            ede=reply.ede,
            transport="tcp" if stream else "udp",
            realm=realm,
        )
        return None if block is None else Rows(encode_block(block))

    def _ask(self, query: dns.Query, key: tuple[bytes, int], group: Group, stream: bool, waiter: Waiter) -> None:
        pending = self._pending.get(key)
        if pending is not None:
            pending.waiters.append((query, group, stream, waiter))
            return
        pending = _Pending([(query, group, stream, waiter)])
        self._pending[key] = pending
        do = query.edns is not None and query.edns.do
        question = Question(query.qname, query.qtype, query.qclass, do, query.cd)

        def done(result: Answered | Failure) -> None:
            del self._pending[key]
            self._arrived(key, pending, result)

        self._upstreams.ask(question, done)

    def _arrived(self, key: tuple[bytes, int], pending: _Pending, result: Answered | Failure) -> None:
        """Upstream has spoken: keep the answer, and give it to all who wait, each by its own verdict."""
        steady = self._clock.steady()
        entry: Cached | None = None
        if isinstance(result, Answered):
            try:
                plain = without_opt(result.wire, result.response)
                entry = cacheable(plain, dns.read_response(plain), steady)
                self._failures.forget(*key)
                self._cache.put(*key, entry, steady)
            except Malformed:
                result = Failure.REFUSED
        if entry is None:
            self._failures.add(*key, steady)
        for query, group, stream, waiter in pending.waiters:
            try:
                rendered, wire = self._late(entry, result, query, group, stream)
            except Exception:  # noqa: BLE001 (as in `answer`)
                _log.exception("an answer could not be given")
                rendered, wire = self._broken(query)
            waiter(rendered, wire)

    def _late(
        self, entry: Cached | None, result: Answered | Failure, query: dns.Query, group: Group, stream: bool
    ) -> tuple[Rendered, bytes]:
        """The answer to a query that waited. Policy may have changed meanwhile: the question is judged again."""
        client, policy = self._judges(group)
        if entry is None:
            text = result.value if isinstance(result, Failure) else ""
            return self._once(decide.failed(query, text, network=result is Failure.UNREACHABLE), query, stream)
        step = decide.begin(query, client, policy, self._now(), self._manners)
        if isinstance(step, Reply):
            rows = self._rows_of(step, query, client.realm, stream)
            message = decide.fitted(step.wire, query, stream=stream)
            return (0, message[2:], len(message), bucket(query.qtype, step.outcome), rows), message
        return self._given(entry, Outcome.FORWARDED, query, group, step.observed, stream, None)

    def _broken(self, query: dns.Query) -> tuple[Rendered, bytes]:
        reply = decide.failed(query, "internal error", network=False)
        return (0, reply.wire[2:], len(reply.wire), bucket(query.qtype, Outcome.SERVFAIL), None), reply.wire


def _question(query: dns.Query) -> bytes:
    """The question as the cache knows it: the name in lower case, type and class."""
    return query.qname + query.question[-4:]


def _variant(query: dns.Query) -> int:
    do = query.edns is not None and query.edns.do
    return do << 1 | query.cd


def _meaning(query: dns.Query, stream: bool) -> tuple[bytes, int, int]:
    """All of a query that its answer depends on, but for the letter case: what is asked, flags, EDNS and transport."""
    edns = query.edns
    manner = 0 if edns is None else decide.udp_limit(query) << 2 | edns.do << 1 | 1 << 20
    return _question(query), query.flags & 0x0110, manner | stream
