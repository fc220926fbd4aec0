"""What the fast path does not know: decide on a query, look in the cache, ask upstream, render the answer.

A query that can be answered at once is; another one is answered through its `Waiter` when upstream has spoken.
Identical questions on their way are asked once. An error of ours becomes SERVFAIL, never an unfiltered answer.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import NamedTuple, Protocol
from weakref import ref

from enforcer.attempts.spool import Spool
from enforcer.counters import Transport, word
from enforcer.decide import dns as decide
from enforcer.decide.cache import Cache, Cached, Failures, cacheable, stale_wire
from enforcer.decide.cookies import COOKIE
from enforcer.decide.dns import Ech, Outcome, Reply
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.verdict import Action, Client, Verdict
from enforcer.resolver.book import Book
from enforcer.resolver.clients import Group, Known, Rendered, Rows
from enforcer.resolver.conduct import Clock, Conduct
from enforcer.resolver.mmsg import whom
from enforcer.resolver.personal import Baked, baked, told
from enforcer.resolver.tally import bucket
from enforcer.resolver.upstream import Answer as Answered
from enforcer.resolver.upstream import Failure, Question, Upstreams
from enforcer.wire import dns
from enforcer.wire.dnscut import bare
from enforcer.wire.dnsoptions import with_option
from enforcer.wire.name import Name, parents

KNOWN_MAX = 50_000  # rendered answers a group; when there are more, they are rendered anew
OCTETS_MAX = 300  # of a query that is remembered octet by octet
WAITERS_MAX = 20_000  # who wait for upstreams; then questions are dropped, until some were answered
FOREVER = 1 << 62
REFUSALS_A_SECOND = 200  # to strangers; those above it get nothing
SETTLED_S = 60  # what matched a rule is judged anew this often, so that a rule can expire

_log = logging.getLogger(__name__)


class Silence(Enum):
    """Why a query gets no answer now."""

    LATER = "upstream is asked"
    NEVER = "it is none, or a stranger's"


class Waiter(Protocol):
    """The way back to a client whose answer has to wait."""

    def __call__(self, rendered: Rendered, wire: bytes) -> None:
        """Record, count and send: `wire` is the whole message, `rendered` what else there is to know of it."""


class _Waiting(NamedTuple):
    """A query that upstream is asked for. policy, observed: what its question was judged by, and what came of it."""

    query: dns.Query
    group: Group
    transport: Transport
    waiter: Waiter
    policy: Policy
    observed: Verdict | None


type _Kept = tuple[Cached, dns.Response]
"""What upstream answered, and what it reads as."""


class Handler:
    """Answers for one worker, under one policy at a time."""

    def __init__(
        self,
        *,
        conduct: Conduct,
        cache: Cache,
        upstreams: Upstreams,
        forward: Mapping[Name, Upstreams] | None = None,
        spool: Spool,
        words: memoryview,
        clock: Clock,
    ) -> None:
        self._conduct = conduct
        self._cache = cache
        self._failures = Failures()
        self._upstreams = upstreams
        self._forward = forward or {}
        self._words = words
        self._clock = clock
        self._pending: dict[tuple[bytes, int], list[_Waiting]] = {}  # by question, who waits for its answer
        self._waiters = 0
        self._refusals = 0  # to strangers, this second
        self._policy: Policy | None = None
        self._book = Book(spool, words, clock.wall_ms, name_clients=conduct.name_clients)
        self._second, self._moment = 0, datetime.fromtimestamp(0, UTC)
        self._w_miss = word("cache_requests", "miss")
        self._w_entries = word("cache_entries")
        self._w_bytes = word("cache_bytes")

    def follow(self, policy: Policy, conduct: Conduct) -> None:
        """Judge and behave so from now on. The groups' rendered answers are the directories' to forget."""
        self._policy, self._conduct = policy, conduct
        self._book.follow(policy.ruleset, name_clients=conduct.name_clients)

    def tick(self, now_ms: int) -> None:
        """Once a second: let the spool age, publish the cache's size."""
        self._refusals = 0
        self._book.tick(now_ms)
        self._words[self._w_entries] = len(self._cache)
        self._words[self._w_bytes] = self._cache.bytes

    def answer(
        self,
        wire: bytes,
        group: Group,
        transport: Transport,
        waiter: Callable[[], Waiter],
        *,
        client: int | bytes,
        shown: str | None = None,
    ) -> tuple[Rendered, bytes] | Silence:
        """Answer a message: what is known of the answer, and the whole of it.

        transport: how it came. waiter: makes the way back, where the answer must wait. client: its address, as
        `mmsg.whom` reads it. shown: what it has shown of itself, as an `Entry` has it.
        """
        if shown is None and transport.stream:
            known = group.by_stream.get((transport, wire[2:]))
            if known is not None and known[0] >= int(self._clock.steady()):
                return known, wire[:2] + known[1]
        query: dns.Query | None = None
        try:
            screened = decide.screen(wire, unasked=self._conduct.cookies is not None)
            if screened is None:
                return Silence.NEVER
            if isinstance(screened, Reply):
                if group.client is None:
                    return Silence.NEVER  # a stranger's malformed message is not worth an answer
                return self._once(screened, None, transport)
            query = screened
            if group.client is None or (shown is None and (query.edns is None or not query.edns.options)):
                return self._answer(query, wire, group, transport, waiter)
            return self._personally(query, wire, group, transport, waiter, client=client, shown=shown)
        except Exception as error:  # noqa: BLE001 (a bug of ours must not let a name through, nor take the worker down)
            _report(error)
            return Silence.NEVER if query is None else self._broken(query)

    def told(self, wire: bytes, client: int | bytes) -> str | None:
        """For which device a forwarder of ours asks, as an `Entry` has it; None for everybody else."""
        return told(wire, whom(client), self._conduct) if self._conduct.device_options else None

    def record(self, rows: Rows, client: int | bytes, address: str, port: int) -> None:
        """Count one attempt of a client in the spool, before its answer leaves."""
        self._book.record(rows, client, address, port)

    def _personally(
        self,
        query: dns.Query,
        wire: bytes,
        group: Group,
        transport: Transport,
        waiter: Callable[[], Waiter],
        *,
        client: int | bytes,
        shown: str | None,
    ) -> tuple[Rendered, bytes] | Silence:
        """As `answer`, for a query with options, or of a client that has shown something of itself."""
        cookie: Baked | None = None
        if self._conduct.cookies is not None:
            try:
                cookie = baked(query, whom(client), self._conduct.cookies, self._clock.wall_ms() // 1000)
            except Malformed:
                return self._once(decide.malformed(query), query, transport)
        complete = partial(self._completed, query, transport, None if cookie is None else cookie.data, shown)
        if not query.question:
            known = cookie is None or cookie.known
            return complete(*self._once(decide.cookie_alone(query, good=known), query, transport))
        if cookie is None and shown is None:
            return self._answer(query, wire, group, transport, waiter)

        def completing() -> Waiter:
            give = waiter()
            return lambda rendered, reply: give(*complete(rendered, reply))

        answer = self._answer(query, wire, group, transport, completing)
        return answer if isinstance(answer, Silence) else complete(*answer)

    def _completed(  # noqa: PLR0917 (the last two are what answers come as)
        self,
        query: dns.Query,
        transport: Transport,
        cookie: bytes | None,
        shown: str | None,
        rendered: Rendered,
        reply: bytes,
    ) -> tuple[Rendered, bytes]:
        """An answer with what only this client gets, to be counted where clients have shown the same."""
        lasts, tail, size, number, rows = rendered
        if shown is not None and rows is not None:
            rows = self._book.shown(rows, shown)
        if cookie is not None:
            reply = decide.fitted(with_option(reply, COOKIE, cookie), query, stream=transport.stream)
            tail, size = reply[2:], len(reply)
        return (lasts, tail, size, number, rows), reply

    def _judges(self, group: Group) -> tuple[Client, Policy]:
        """On whose behalf and by what is judged; strangers and the time before a policy never get so far."""
        if group.client is None or self._policy is None:
            raise RuntimeError("a query was let in that nobody may ask")
        return group.client, self._policy

    def _now(self) -> datetime:
        """The present second."""
        second = self._clock.wall_ms() // 1000
        if second != self._second:
            self._second, self._moment = second, datetime.fromtimestamp(second, UTC)
        return self._moment

    def _answer(
        self, query: dns.Query, wire: bytes, group: Group, transport: Transport, waiter: Callable[[], Waiter]
    ) -> tuple[Rendered, bytes] | Silence:
        client, policy = group.client, self._policy
        if client is None or policy is None:
            self._refusals += 1
            if self._conduct.drop_outside or self._refusals > REFUSALS_A_SECOND:
                return Silence.NEVER
            return self._once(decide.outside(query), query, transport)
        question, variant = _question(query), _variant(query)
        known = group.by_meaning.get(self._meaning(query, transport, question))
        steady = self._clock.steady()
        if known is not None:
            answer = self._again(known, query, wire, group, steady)
            if answer is not None:
                return answer
        step = decide.begin(query, client, policy, self._now(), self._conduct.manners, ech=group.ech)
        if isinstance(step, Reply):
            rows = self._book.rows(step, query, client.realm, transport)
            lasts = FOREVER if rows is None else int(steady) + SETTLED_S
            return self._settled(step, query, rows=rows, lasts=lasts, transport=transport, wire=wire, group=group)
        own = self._own(query, steady)
        if own is not None:
            given = Outcome.LOCAL
            return self._given(own, given, query, group=group, observed=step.observed, transport=transport, wire=None)
        entry = self._cache.get(question, variant, steady)
        if entry is not None:
            if self._conduct.prefetch and entry.is_due(steady):
                self._prefetch(query)
            given = Outcome.CACHED
            return self._given(entry, given, query, group=group, observed=step.observed, transport=transport, wire=wire)
        self._words[self._w_miss] += 1
        if self._failures.blocked(question, variant, steady):
            expired = self._cache.stale(question, variant, steady)
            if expired is not None:
                given = Outcome.STALE
                return self._given(
                    expired, given, query, group=group, observed=step.observed, transport=transport, wire=None
                )
            reply = decide.failed(query, "asked again too soon", network=False)
            return self._once(reply, query, transport, self._observed(step.observed, query, client.realm, transport))
        if self._waiters >= WAITERS_MAX:
            return Silence.NEVER
        self._ask((question, variant), _Waiting(query, group, transport, waiter(), policy, step.observed))
        return Silence.LATER

    def _again(
        self, known: Known, query: dns.Query, wire: bytes, group: Group, steady: float
    ) -> tuple[Rendered, bytes] | None:
        """The answer to what was asked before in other words; None when it has to be decided anew."""
        tick = int(steady)
        if known.lasts < tick:
            return None
        if known.rendered is not None:
            last, tail, size, number, rows = known.rendered
            end = 10 + len(query.question)
            tail = tail[:10] + query.question + tail[end:]
            return self._remembered((last, tail, size, number, rows), query, wire, group, known.transport)
        entry = self._cache.get(_question(query), _variant(query), steady)  # so that the cache knows of the use
        if entry is not None and self._conduct.prefetch and entry.is_due(steady):
            self._prefetch(query)
        if entry is None or known.entry is None or known.entry() is not entry:
            return None
        reply = decide.fitted(_shown(entry, query, group, steady), query, stream=known.transport.stream)
        rendered = (tick, reply[2:], len(reply), known.bucket, known.rows)
        if entry.until < tick + 1:
            return rendered, reply
        return self._remembered(rendered, query, wire, group, known.transport)

    def _remembered(
        self, rendered: Rendered, query: dns.Query, wire: bytes, group: Group, transport: Transport
    ) -> tuple[Rendered, bytes]:
        """Keep an answer for the same octets, where they are likely to come again."""
        plain = query.edns is None or not query.edns.options
        if plain and len(wire) <= OCTETS_MAX and query.question.startswith(query.qname):
            if transport.stream:
                if len(group.by_stream) >= KNOWN_MAX:
                    group.by_stream.clear()
                group.by_stream[transport, wire[2:]] = rendered
            else:
                if len(group.by_octets) >= KNOWN_MAX:
                    group.by_octets.clear()
                group.by_octets[wire[2:]] = rendered
        return rendered, wire[:2] + rendered[1]

    def _settled(
        self,
        reply: Reply,
        query: dns.Query,
        *,
        rows: Rows | None,
        lasts: int,
        transport: Transport,
        wire: bytes,
        group: Group,
    ) -> tuple[Rendered, bytes]:
        """An answer of our own, which does not depend on time until it is judged anew."""
        meaning = self._meaning(query, transport, _question(query))
        message = decide.fitted(reply.wire, query, stream=transport.stream)
        number = bucket(query.qtype, reply.outcome)
        rendered = (lasts, message[2:], len(message), number, rows)
        self._learn(group, meaning, Known(number, rows, rendered, None, lasts, transport))
        return self._remembered(rendered, query, wire, group, transport)

    def _meaning(self, query: dns.Query, transport: Transport, question: bytes) -> tuple[bytes, int, int]:
        structured = decide.asks_for_structure(query, self._conduct.manners)
        return _meaning(query, transport, question, structured=structured)

    def _learn(self, group: Group, meaning: tuple[bytes, int, int], known: Known) -> None:
        if len(group.by_meaning) >= KNOWN_MAX:
            group.by_meaning.clear()
        group.by_meaning[meaning] = known

    def _once(
        self, reply: Reply, query: dns.Query | None, transport: Transport, rows: Rows | None = None
    ) -> tuple[Rendered, bytes]:
        """An answer that is not kept."""
        wire = decide.fitted(reply.wire, query, stream=transport.stream)
        number = bucket(query.qtype if query is not None else None, reply.outcome)
        return (0, wire[2:], len(wire), number, rows), wire

    def _given(
        self,
        entry: Cached,
        outcome: Outcome,
        query: dns.Query,
        *,
        group: Group,
        observed: Verdict | None,
        transport: Transport,
        wire: bytes | None,
        response: dns.Response | None = None,
    ) -> tuple[Rendered, bytes]:
        """The answer in the cache, or fresh from upstream, as policy lets this client have it.

        wire: the query's octets, where the answer may be remembered for them. response: what the entry reads as, where
        that is known.
        """
        client, policy = self._judges(group)
        steady = self._clock.steady()
        refusal: Reply | None = None
        try:
            if response is None:
                response = dns.read_response(entry.wire)
            found = decide.judge_answer(entry.wire, response, client, policy, self._now())
            if found is not None and found.verdict.action is Action.BLOCK:
                refusal = decide.refused(query, entry.wire, response, found, self._conduct.manners)
        except Malformed:
            failed = decide.failed(query, "upstream's answer cannot be read", network=False)
            return self._once(failed, query, transport, self._observed(observed, query, client.realm, transport))
        if refusal is not None:
            rows = self._book.rows(refusal, query, client.realm, transport)
            if wire is None:
                return self._once(refusal, query, transport, rows)
            lasts = int(steady) + min(SETTLED_S, int(entry.until - steady))
            return self._settled(refusal, query, rows=rows, lasts=lasts, transport=transport, wire=wire, group=group)
        stale = outcome is Outcome.STALE
        rows = self._observed(observed, query, client.realm, transport)
        if rows is None and found is not None:
            seen = Reply(b"", Outcome.OBSERVED, found.verdict, via=found.via)
            rows = self._book.rows(seen, query, client.realm, transport)
        if rows is not None:
            outcome = Outcome.OBSERVED
        message = decide.fitted(_shown(entry, query, group, steady, stale=stale), query, stream=transport.stream)
        number = bucket(query.qtype, outcome)
        if wire is not None and not client.exempt:
            lasts = FOREVER if rows is None else int(steady) + SETTLED_S
            self._learn(
                group,
                self._meaning(query, transport, _question(query)),
                Known(number, rows, None, ref(entry), lasts, transport),
            )
        return (0, message[2:], len(message), number, rows), message

    def _observed(self, verdict: Verdict | None, query: dns.Query, realm: str, transport: Transport) -> Rows | None:
        """Where a question that is only observed is counted, whatever comes of it; None without a match."""
        if verdict is None:
            return None
        return self._book.rows(Reply(b"", Outcome.OBSERVED, verdict), query, realm, transport)

    def _ask(self, key: tuple[bytes, int], waiting: _Waiting) -> None:
        self._waiters += 1
        pending = self._pending.get(key)
        if pending is not None:
            pending.append(waiting)
            return
        self._pending[key] = [waiting]
        self._send(key, waiting.query)

    def _prefetch(self, query: dns.Query) -> None:
        """Ask again for what is about to expire, for those who will ask; nobody waits for it."""
        key = _question(query), _variant(query)
        if key not in self._pending and not self._failures.blocked(*key, self._clock.steady()):
            self._pending[key] = []
            self._send(key, query)

    def _send(self, key: tuple[bytes, int], query: dns.Query) -> None:
        do = query.edns is not None and query.edns.do
        question = Question(query.qname, query.qtype, query.qclass, do, query.cd)
        self._asked_for(query.qname).ask(question, partial(self._done, key))

    def _done(self, key: tuple[bytes, int], result: Answered | Failure) -> None:
        """Upstream has answered, or nobody did: so is everybody who waits for it."""
        pending = self._pending.pop(key)
        self._waiters -= len(pending)
        kept: _Kept | Failure
        try:
            kept = self._keep(key, result)
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            _report(error)
            kept = Failure.REFUSED
        for waiting in pending:
            self._give(kept, waiting)

    def _asked_for(self, qname: Name) -> Upstreams:
        """Who is asked for a name: the upstreams of the nearest domain that has some of its own."""
        if not self._forward:
            return self._upstreams
        zone = next((zone for zone in (qname, *parents(qname)) if zone in self._forward), None)
        return self._upstreams if zone is None else self._forward[zone]

    def _own(self, query: dns.Query, steady: float) -> Cached | None:
        """What the operator's own records answer, to be judged and given as an upstream's answer is."""
        manners = self._conduct.manners
        wire = self._conduct.local.answer(query, manners.mname, manners.rname, manners.block_ttl)
        return None if wire is None else cacheable(wire, dns.read_response(wire), steady, self._conduct.max_ttl)

    def _keep(self, key: tuple[bytes, int], result: Answered | Failure) -> _Kept | Failure:
        """Upstream has spoken: keep the answer, or for a while that there is none."""
        steady = self._clock.steady()
        if isinstance(result, Answered):
            try:
                # Without AD where anybody on the way may have set it.
                plain, response = bare(result.wire, result.response, ad=result.authentic)
                entry = cacheable(plain, response, steady, self._conduct.max_ttl)
            except Malformed:
                result = Failure.REFUSED
            else:
                self._failures.forget(*key)
                self._cache.put(*key, entry, steady)
                return entry, response
        self._failures.add(*key, steady)
        return result

    def _give(self, kept: _Kept | Failure, waiting: _Waiting) -> None:
        """Answer one of those who waited; what goes wrong with one is nothing to the others."""
        try:
            rendered, wire = self._late(kept, waiting)
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            _report(error)
            rendered, wire = self._broken(waiting.query)
        try:
            waiting.waiter(rendered, wire)
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            _report(error)

    def _late(self, kept: _Kept | Failure, waiting: _Waiting) -> tuple[Rendered, bytes]:
        """The answer to a query that waited; where policy or time may have changed, its question is judged again."""
        query, group, transport, _, judged_by, observed = waiting
        client, policy = self._judges(group)
        if policy is not judged_by or client.exempt:
            step = decide.begin(query, client, policy, self._now(), self._conduct.manners, ech=group.ech)
            if isinstance(step, Reply):
                return self._once(step, query, transport, self._book.rows(step, query, client.realm, transport))
            observed = step.observed
        if not isinstance(kept, Failure):
            entry, response = kept
            given = Outcome.FORWARDED
            return self._given(
                entry, given, query, group=group, observed=observed, transport=transport, wire=None, response=response
            )
        # Only now, because a refresh is tried first (RFC 8767 §5).
        stale = self._cache.stale(_question(query), _variant(query), self._clock.steady())
        if stale is not None:
            given = Outcome.STALE
            return self._given(stale, given, query, group=group, observed=observed, transport=transport, wire=None)
        reply = decide.failed(query, kept.value, network=kept is Failure.UNREACHABLE)
        return self._once(reply, query, transport, self._observed(observed, query, client.realm, transport))

    def _broken(self, query: dns.Query) -> tuple[Rendered, bytes]:
        reply = decide.failed(query, "internal error", network=False)
        return (0, reply.wire[2:], len(reply.wire), bucket(query.qtype, Outcome.SERVFAIL), None), reply.wire


def _report(error: Exception) -> None:
    """Log where our code failed; not what the error says, which may hold a name."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("query event=failed error=%s in=%s line=%s", type(error).__name__, where.name, where.lineno)


def _shown(entry: Cached, query: dns.Query, group: Group, now: float, *, stale: bool = False) -> bytes:
    """An allowed answer as this client gets it: without ECH keys, where its realm is to have none."""
    signed = query.edns is not None and query.edns.do
    if entry.bare is not None and group.ech is not Ech.PASS and not signed:
        entry = entry.bare
    wire = stale_wire(entry) if stale else entry.at(now)
    return decide.passed(query, wire, entry.rcode, stale=stale)


def _question(query: dns.Query) -> bytes:
    """The question as the cache knows it: the name in lower case, type and class."""
    return query.qname + query.question[-4:]


def _variant(query: dns.Query) -> int:
    do = query.edns is not None and query.edns.do
    return do << 1 | query.cd


def _meaning(query: dns.Query, transport: Transport, question: bytes, *, structured: bool) -> tuple[bytes, int, int]:
    """All of a query that its answer depends on, but for the letter case: what is asked, flags, EDNS and transport."""
    edns = query.edns
    manner = 0 if edns is None else decide.udp_limit(query) << 3 | edns.do << 2 | 1 << 20
    if structured:
        manner |= 1 << 21
    return question, query.flags & 0x0130, manner | transport
