"""What the fast path does not know: decide on a query, and render the answer that is known or that upstream gives.

A query that can be answered at once is; another one is answered through its `Waiter` when upstream has spoken.
An error of ours becomes SERVFAIL, never an unfiltered answer.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import NamedTuple, Protocol

from enforcer.attempts.spool import Spool
from enforcer.counters import Transport, word
from enforcer.decide import dns as decide
from enforcer.decide.cache import CD, DO, Cache, Cached, Key, cacheable, stale_wire
from enforcer.decide.cookies import COOKIE
from enforcer.decide.dns import Ech, Outcome, Reply
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.verdict import Action, Client, Verdict
from enforcer.resolver.asking import Asking, Kept
from enforcer.resolver.book import Book
from enforcer.resolver.clients import Group
from enforcer.resolver.conduct import Clock, Conduct
from enforcer.resolver.memory import FOREVER, Rendered, Rows, asked_in, found, meaning_of, source_of, until
from enforcer.resolver.mmsg import whom
from enforcer.resolver.personal import Baked, baked, told
from enforcer.resolver.tally import bucket
from enforcer.resolver.upstream import Failure, Upstreams
from enforcer.wire import dns
from enforcer.wire.dnsoptions import with_option
from enforcer.wire.name import Name

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


class _Case(NamedTuple):
    """A query whose question may be asked for. observed: a match of its question that is only recorded."""

    query: dns.Query
    group: Group
    transport: Transport
    observed: Verdict | None


class _Waiting(NamedTuple):
    """A query that upstream is asked for. policy: what its question was judged by."""

    case: _Case
    key: Key
    waiter: Waiter
    policy: Policy


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
        self._words = words
        self._clock = clock
        self._asking: Asking[_Waiting] = Asking(
            cache, upstreams, forward or {}, clock.steady, give=self._give, report=_report
        )
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
        self._asking.prefetch, self._asking.max_ttl = conduct.prefetch, conduct.max_ttl
        self._book.follow(policy.ruleset, name_clients=conduct.name_clients)

    def tick(self, now_ms: int) -> None:
        """Once a second: let the spool age, publish the cache's size."""
        self._refusals = 0
        self._book.tick(now_ms)
        self._words[self._w_entries] = len(self._asking.cache)
        self._words[self._w_bytes] = self._asking.cache.bytes

    def found[K](self, table: dict[K, Rendered], key: K, now: float) -> Rendered | None:
        """An answer that was given before, with its TTLs of now; None when it has to be decided anew."""
        return found(table, key, now, self._asking.cached)

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
            known = self.found(group.memory.by_stream, (transport, wire[2:]), self._clock.steady())
            if known is not None:
                return known, wire[:2] + known[1]
        query: dns.Query | None = None
        try:
            screened = decide.screen(wire, unasked=self._conduct.cookies is not None)
            if screened is None:
                return Silence.NEVER
            if isinstance(screened, Reply):
                if group.client is None:
                    return Silence.NEVER  # a stranger's malformed message is not worth an answer
                return self._rendered(screened, None, transport)
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
                return self._rendered(decide.malformed(query), query, transport)
        complete = partial(self._completed, query, transport, None if cookie is None else cookie.data, shown)
        if not query.question:
            known = cookie is None or cookie.known
            return complete(*self._rendered(decide.cookie_alone(query, good=known), query, transport))
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
        _, tail, size, number, rows, _ = rendered
        if shown is not None and rows is not None:
            rows = self._book.shown(rows, shown)
        if cookie is not None:
            reply = decide.fitted(with_option(reply, COOKIE, cookie), query, stream=transport.stream)
            tail, size = reply[2:], len(reply)
        return (0.0, tail, size, number, rows, None), reply

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
            return self._rendered(decide.outside(query), query, transport)
        now = self._clock.steady()
        structured = decide.asks_for_structure(query, self._conduct.manners)
        meaning = meaning_of(query, transport, structured=structured)
        known = self.found(group.memory.by_meaning, meaning, now)
        if known is not None:
            known = asked_in(query, known)
            group.memory.remember(query, wire, transport, known)
            return known, wire[:2] + known[1]
        key = meaning[0], _variant(query)
        answer = self._decided(query, key, group, transport, waiter, now)
        if not isinstance(answer, Silence) and answer[0][0] > now:
            group.memory.learn(meaning, answer[0])
            group.memory.remember(query, wire, transport, answer[0])
        return answer

    def _decided(  # noqa: PLR0917 (they belong together)
        self, query: dns.Query, key: Key, group: Group, transport: Transport, waiter: Callable[[], Waiter], now: float
    ) -> tuple[Rendered, bytes] | Silence:
        """The answer to what was not asked before, or not lately."""
        client, policy = self._judges(group)
        step = decide.begin(query, client, policy, self._now(), self._conduct.manners, ech=group.ech)
        if isinstance(step, Reply):
            rows = self._book.rows(step, query, client.realm, transport)
            return self._rendered(step, query, transport, rows, FOREVER if rows is None else now + SETTLED_S)
        case = _Case(query, group, transport, step.observed)
        own = self._own(query, now)
        if own is not None:
            return self._given(own, Outcome.LOCAL, case)
        entry = self._asking.cached(key, now)
        if entry is not None:
            return self._given(entry, Outcome.CACHED, case, key=key)
        self._words[self._w_miss] += 1
        if self._asking.has_failed(key, now):
            expired = self._asking.cache.stale(*key, now)
            if expired is not None:
                return self._given(expired, Outcome.STALE, case)
            return self._failed(case, "asked again too soon")
        if self._asking.is_full:
            return Silence.NEVER
        self._asking.ask(key, _Waiting(case, key, waiter(), policy))
        return Silence.LATER

    def _failed(self, case: _Case, text: str, *, network: bool = False) -> tuple[Rendered, bytes]:
        """SERVFAIL with the reason; what is observed of the question is recorded, whatever comes of it."""
        query, group, transport, observed = case
        rows = self._observed(observed, query, self._judges(group)[0].realm, transport)
        return self._rendered(decide.failed(query, text, network=network), query, transport, rows)

    def _rendered(
        self,
        reply: Reply,
        query: dns.Query | None,
        transport: Transport,
        rows: Rows | None = None,
        lasts: float = 0.0,
    ) -> tuple[Rendered, bytes]:
        """An answer of our own. lasts: until when it may be given again; 0: it is not kept."""
        wire = decide.fitted(reply.wire, query, stream=transport.stream)
        number = bucket(query.qtype if query is not None else None, reply.outcome)
        return (lasts, wire[2:], len(wire), number, rows, None), wire

    def _given(
        self,
        entry: Cached,
        outcome: Outcome,
        case: _Case,
        *,
        key: Key | None = None,
        response: dns.Response | None = None,
    ) -> tuple[Rendered, bytes]:
        """The answer in the cache, or fresh from upstream, as policy lets this client have it.

        key: under which the cache has it, where the answer may be given again. response: what the entry reads as,
        where that is known.
        """
        query, group, transport, observed = case
        client, policy = self._judges(group)
        now = self._clock.steady()
        refusal: Reply | None = None
        try:
            if response is None:
                response = dns.read_response(entry.wire)
            match = decide.judge_answer(entry.wire, response, client, policy, self._now())
            if match is not None and match.verdict.action is Action.BLOCK:
                refusal = decide.refused(query, entry.wire, response, match, self._conduct.manners)
        except Malformed:
            return self._failed(case, "upstream's answer cannot be read")
        if refusal is not None:
            rows = self._book.rows(refusal, query, client.realm, transport)
            lasts = 0.0 if key is None else min(now + SETTLED_S, entry.until)
            return self._rendered(refusal, query, transport, rows, lasts)
        rows = self._observed(observed, query, client.realm, transport)
        if rows is None and match is not None:
            seen = Reply(b"", Outcome.OBSERVED, match.verdict, via=match.via)
            rows = self._book.rows(seen, query, client.realm, transport)
        stale = outcome is Outcome.STALE
        if rows is not None:
            outcome = Outcome.OBSERVED
        given = _allowed(entry, query, group)
        wire = stale_wire(given) if stale else given.at(now)
        message = decide.passed(query, wire, given.rcode, stale=stale, ede=entry.ede)
        message = decide.fitted(message, query, stream=transport.stream)
        number = bucket(query.qtype, outcome)
        if key is None or client.exempt:
            return (0.0, message[2:], len(message), number, rows, None), message
        lasts = FOREVER if rows is None else now + SETTLED_S
        source = source_of(key, entry, given, message, lasts)
        return (until(entry, lasts, now), message[2:], len(message), number, rows, source), message

    def _observed(self, verdict: Verdict | None, query: dns.Query, realm: str, transport: Transport) -> Rows | None:
        """Where a question that is only observed is counted, whatever comes of it; None without a match."""
        if verdict is None:
            return None
        return self._book.rows(Reply(b"", Outcome.OBSERVED, verdict), query, realm, transport)

    def _own(self, query: dns.Query, steady: float) -> Cached | None:
        """What the operator's own records answer, to be judged and given as an upstream's answer is."""
        manners = self._conduct.manners
        wire = self._conduct.local.answer(query, manners.mname, manners.rname, manners.block_ttl)
        return None if wire is None else cacheable(wire, dns.read_response(wire), steady, self._asking.max_ttl)

    def _give(self, kept: Kept | Failure, waiting: _Waiting) -> None:
        """Answer one of those who waited; what goes wrong with one is nothing to the others."""
        try:
            rendered, wire = self._late(kept, waiting)
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            _report(error)
            rendered, wire = self._broken(waiting.case.query)
        try:
            waiting.waiter(rendered, wire)
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            _report(error)

    def _late(self, kept: Kept | Failure, waiting: _Waiting) -> tuple[Rendered, bytes]:
        """The answer to a query that waited; where policy or time may have changed, its question is judged again."""
        case, key, _, judged_by = waiting
        query, group, transport, _ = case
        client, policy = self._judges(group)
        if policy is not judged_by or client.exempt:
            step = decide.begin(query, client, policy, self._now(), self._conduct.manners, ech=group.ech)
            if isinstance(step, Reply):
                return self._rendered(step, query, transport, self._book.rows(step, query, client.realm, transport))
            case = case._replace(observed=step.observed)
        if not isinstance(kept, Failure):
            return self._given(kept[0], Outcome.FORWARDED, case, response=kept[1])
        stale = self._asking.cache.stale(*key, self._clock.steady())
        if stale is not None:  # only now, because a refresh is tried first (RFC 8767 §5)
            return self._given(stale, Outcome.STALE, case)
        return self._failed(case, kept.value, network=kept is Failure.UNREACHABLE)

    def _broken(self, query: dns.Query) -> tuple[Rendered, bytes]:
        reply = decide.failed(query, "internal error", network=False)
        return (0.0, reply.wire[2:], len(reply.wire), bucket(query.qtype, Outcome.SERVFAIL), None, None), reply.wire


def _report(error: Exception) -> None:
    """Log where our code failed; not what the error says, which may hold a name."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("query event=failed error=%s in=%s line=%s", type(error).__name__, where.name, where.lineno)


def _allowed(entry: Cached, query: dns.Query, group: Group) -> Cached:
    """An entry as this client may have it: without ECH keys, where its realm is to have none."""
    signed = query.edns is not None and query.edns.do
    return entry if entry.bare is None or group.ech is Ech.PASS or signed else entry.bare


def _variant(query: dns.Query) -> int:
    do = query.edns is not None and query.edns.do
    return do * DO | query.cd * CD
