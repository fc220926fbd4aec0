"""Asking the upstreams: as each is configured, TCP where UDP was cut, the next where one is silent or refuses.

What goes out over UDP is `ports`' to send, on a connection `link`'s; whether an answer is one to the question that was
asked is decided here, by ID, name, type and class (RFC 5452 §9.1). Who is asked next is `health`'s to say.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from enforcer.config.values import Transport
from enforcer.config.values import Upstream as Target
from enforcer.errors import Malformed
from enforcer.resolver.connected import wire
from enforcer.resolver.health import Roster, Upstream
from enforcer.resolver.link import Link, trusting
from enforcer.resolver.ports import Chance, Port, Ports
from enforcer.wire import dns, dnswrite
from enforcer.wire.dnscodes import Rcode, RRClass, RRType

TICK_S = 0.05
PAYLOAD = 1232  # octets of UDP that we take (DNS flag day 2020)

_USABLE = (Rcode.NOERROR, Rcode.NXDOMAIN)


class Failure(StrEnum):
    """Why a question has no answer; the text of the EDE that goes with SERVFAIL."""

    UNREACHABLE = "no upstream can be reached"
    SILENT = "no upstream answered in time"
    REFUSED = "every upstream refused or failed"


@dataclass(frozen=True, slots=True)
class Manner:
    """How upstreams are asked.

    fastest: first the one that has answered soonest; else the one named first. parallel: all at once.
    attempt_s: seconds until the next one is asked. query_s: seconds until a question is given up. mixed_case: over UDP
    in letters of random case, which an answer must repeat (draft-vixie-dnsext-dns0x20).
    """

    fastest: bool
    attempt_s: float
    query_s: float
    parallel: bool = False
    mixed_case: bool = False


class Answer(NamedTuple):
    """What an upstream said: the message as it came, and as it was read.

    authentic: it came from who was asked, so that its AD bit may be believed (RFC 6840 §5.7).
    """

    wire: bytes
    response: dns.Response
    authentic: bool = False


class Question(NamedTuple):
    """What is asked of an upstream."""

    qname: bytes
    qtype: int
    qclass: int
    do: bool
    cd: bool


type Done = Callable[[Answer | Failure], None]

_PROBE = Question(b"\0", RRType.NS, RRClass.IN, do=False, cd=False)  # the root's servers: nobody's name


class _Exchange:
    """One question on its way, until it is answered or its time is over.

    tried: who was asked, in that order. tries: those that may still be answered. why: the reason to give if no answer
    comes. cut: a truncated answer, better than none. only: who alone is asked, once, to see how it does.
    """

    __slots__ = ("cut", "deadline", "done", "only", "question", "tried", "tries", "until", "why")

    def __init__(self, question: Question, done: Done, until: float, only: "Upstream | None" = None) -> None:
        self.only = only
        self.question = question
        self.done: Done | None = done
        self.until = until
        self.tried: list[int] = []
        self.tries: list[_Try] = []
        self.deadline: asyncio.TimerHandle | None = None
        self.why = Failure.UNREACHABLE
        self.cut: Answer | None = None


@dataclass(slots=True, eq=False)
class _Try:
    """One query as it was sent. edns: with an OPT record. case: the name in random letters; None: in lower case."""

    exchange: _Exchange
    upstream: Upstream
    port: "Port[_Try] | Link[_Try] | None"
    id: int
    sent: float
    edns: bool
    case: bytes | None = None


class Upstreams:
    """The upstreams that one worker asks for the same names. Runs on the event loop's callbacks: no task a query.

    first: the number under which the first of them is counted. ca: the authorities of those that have certificates.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        manner: Manner,
        words: memoryview,
        loop: asyncio.AbstractEventLoop,
        tasks: asyncio.TaskGroup,
        *,
        ca: Path | None = None,
        first: int = 0,
    ) -> None:
        self._roster = Roster(targets, words, fastest=manner.fastest, first=first)
        self._links = {
            upstream.index: Link[_Try](
                upstream.target,
                trusting(upstream.target.transport, ca),
                heard=partial(self._heard, upstream),
                lost=partial(self._lost, upstream),
                loop=loop,
                tasks=tasks,
            )
            for upstream in self._roster.all
        }
        shared = wire()
        self._ports = {
            upstream.index: Ports[_Try](
                upstream.target,
                shared,
                loop,
                heard=partial(self._arrived, upstream),
                lost=partial(self._unreachable, upstream),
            )
            for upstream in self._roster.all
        }
        self._manner = manner
        self._loop = loop
        self._waiting: deque[tuple[float, _Try]] = deque()  # until when to wait before the next; the times only grow
        self._chance = Chance()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, question: Question, done: Done) -> None:
        """Ask; `done` is called once, with an answer to this very question, or with why there is none."""
        self._try(_Exchange(question, done, self._loop.time() + self._manner.query_s))

    def close(self) -> None:
        """Close every socket; questions on their way are forgotten."""
        if self._timer is not None:
            self._timer.cancel()
        for link in self._links.values():
            for waiting in link.waiting.values():
                if waiting is not None:
                    self._abandon(waiting.exchange)
            link.close()
        for ports in self._ports.values():
            for port in ports.open:
                for attempt in port.waiting.values():
                    self._abandon(attempt.exchange)
            ports.close()

    @staticmethod
    def _abandon(exchange: _Exchange) -> None:
        exchange.done = None
        if exchange.deadline is not None:
            exchange.deadline.cancel()

    def _try(self, exchange: _Exchange) -> None:
        """Send to the best upstream that was not tried yet, to each twice; then wait for who may still answer."""
        if exchange.done is None:
            return
        if exchange.tried and exchange.deadline is None:
            exchange.deadline = self._loop.call_at(exchange.until, self._expire, exchange)
        now = self._loop.time()
        while now < exchange.until and (upstream := self._next(exchange, now)) is not None:
            exchange.tried.append(upstream.index)
            sent = self._send(exchange, upstream, now, edns=now >= upstream.plain_until)
            if sent and not (self._manner.parallel and len(exchange.tried) < len(self._roster.all)):
                return
        if not exchange.tries:
            self._finish(exchange, exchange.cut or exchange.why)

    def _expire(self, exchange: _Exchange) -> None:
        """The question's time is over."""
        late = Failure.SILENT if exchange.why is Failure.UNREACHABLE else exchange.why
        self._finish(exchange, exchange.cut or late)

    def _next(self, exchange: _Exchange, now: float) -> Upstream | None:
        """Whom to ask now; None when there is nobody left. Others are asked beside it, to see how they do."""
        if exchange.only is not None:
            return None if exchange.tried else exchange.only
        best = self._roster.best(exchange.tried)
        if best is not None and len(self._roster.all) > 1:
            for upstream in self._roster.due(best, now):
                self._try(_Exchange(_PROBE, _ignore, now + self._manner.query_s, upstream))
        return best

    def _send(self, exchange: _Exchange, upstream: Upstream, now: float, *, edns: bool) -> bool:
        if upstream.target.transport is not Transport.UDP:
            return self._stream(exchange, upstream, now, edns=edns)
        attempt = _Try(exchange, upstream, None, 0, now, edns)
        question = exchange.question
        if self._manner.mixed_case and now >= upstream.case_until:
            attempt.case = mixed(question.qname, self._chance.draw)
            question = question._replace(qname=attempt.case)
        try:
            query = _query(0, question, edns=edns, ad=False)[2:]
            attempt.port, attempt.id = self._ports[upstream.index].ask(query, attempt)
        except OSError:
            upstream.failed("network")
            self._silent(upstream, now)
            return False
        self._sent(attempt, now)
        return True

    def _stream(self, exchange: _Exchange, upstream: Upstream, now: float, *, edns: bool) -> bool:
        """Ask on the upstream's connection; over UDP that is for what was truncated (RFC 7766 §5)."""
        link = self._links[upstream.index]
        number = self._chance.draw()
        while number in link.waiting:
            number = self._chance.draw()
        attempt = _Try(exchange, upstream, link, number, now, edns)
        query = _query(number, exchange.question, edns=edns, ad=upstream.target.authenticated)
        if not link.ask(number, query, attempt):
            upstream.failed("network")
            return False
        self._sent(attempt, now)
        return True

    def _sent(self, attempt: _Try, now: float) -> None:
        attempt.upstream.asks(now)
        attempt.exchange.tries.append(attempt)
        self._waiting.append((now + self._manner.attempt_s, attempt))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _unreachable(self, upstream: Upstream, _: Port[_Try], attempts: list[_Try]) -> None:
        """The network did not take these queries, or says that nobody listens."""
        upstream.failed("network")
        self._silent(upstream, self._loop.time())
        for attempt in attempts:
            if attempt in attempt.exchange.tries:  # one may have been answered by another's failure
                self._leave(attempt)
                self._try(attempt.exchange)

    def _arrived(self, upstream: Upstream, port: Port[_Try], wire: bytes) -> None:
        attempt = port.waiting.get(int.from_bytes(wire[:2])) if len(wire) >= 12 else None
        if attempt is None:
            upstream.failed("mismatch")
            return
        try:
            response = dns.read_response(wire, attempt.exchange.question.qname)
        except Malformed:
            upstream.failed("malformed")
            return  # whoever sent it, the right answer may still come
        if not _echoes(response, attempt.exchange.question):
            upstream.failed("mismatch")
            return
        self._leave(attempt)
        if attempt.case is not None and not self._repeats(upstream, attempt, wire):
            return
        self._answered(attempt, Answer(wire, response))

    def _repeats(self, upstream: Upstream, attempt: _Try, wire: bytes) -> bool:
        """Whether the answer has the letters of the query; else it may be forged, and is asked for over TCP.

        Who does so thrice in a row is asked in lower case for a while.
        """
        if attempt.case is None or wire.startswith(attempt.case, 12) or wire[4:6] == b"\0\0":
            upstream.kept_case()
            return True
        upstream.failed("mismatch")
        now = self._loop.time()
        upstream.lost_case(now)
        if attempt.exchange.done is not None and not self._stream(attempt.exchange, upstream, now, edns=attempt.edns):
            self._try(attempt.exchange)
        return False

    def _heard(self, upstream: Upstream, attempt: _Try | None, wire: bytes) -> None:
        """An answer on a connection, to who waited for this ID; None: nobody does, any more or at all."""
        if attempt is None:
            return
        self._leave(attempt)
        if not wire:
            upstream.failed("refused")
            attempt.exchange.why = Failure.REFUSED
            self._try(attempt.exchange)
            return
        try:
            response = dns.read_response(wire, attempt.exchange.question.qname)
        except Malformed:
            upstream.failed("malformed")
            self._try(attempt.exchange)
            return
        if not _echoes(response, attempt.exchange.question):
            upstream.failed("mismatch")
            self._try(attempt.exchange)
            return
        self._answered(attempt, Answer(wire, response, upstream.target.authenticated))

    def _lost(self, upstream: Upstream, attempts: list[_Try]) -> None:
        """A connection ended, or none could be made; those who waited on it are asked for elsewhere."""
        upstream.failed("network")
        if upstream.target.transport is not Transport.UDP:  # who has no TCP may well answer over UDP
            self._silent(upstream, self._loop.time())
        for attempt in attempts:
            if attempt in attempt.exchange.tries:  # one may have been answered by another's failure
                self._leave(attempt)
                self._try(attempt.exchange)

    def _answered(self, attempt: _Try, answer: Answer) -> None:
        upstream, exchange = attempt.upstream, attempt.exchange
        now = self._loop.time()
        upstream.answered(now - attempt.sent)
        response = answer.response
        if attempt.edns and response.opt is None and response.rcode in (Rcode.FORMERR, Rcode.NOTIMP):
            if not self._send(exchange, upstream, now, edns=False):
                self._try(exchange)
            return
        if not attempt.edns and response.rcode in _USABLE and now >= upstream.plain_until:
            upstream.knows_no_edns(now)
        if not response.tc or response.rcode not in _USABLE or isinstance(attempt.port, Link):
            self._take(upstream, exchange, answer)
            return
        exchange.cut = answer  # its TC bit says that it is not whole
        if exchange.done is not None and not self._stream(exchange, upstream, now, edns=attempt.edns):
            self._try(exchange)

    def _take(self, upstream: Upstream, exchange: _Exchange, answer: Answer) -> None:
        """An answer is passed on; an error is a reason to ask somebody else."""
        if answer.response.rcode in _USABLE:
            self._finish(exchange, answer)
            return
        upstream.failed("refused")
        exchange.why = Failure.REFUSED
        self._try(exchange)

    def _leave(self, attempt: _Try) -> None:
        """Wait for this answer no more."""
        attempt.exchange.tries.remove(attempt)
        port = attempt.port
        if isinstance(port, Port):
            self._ports[attempt.upstream.index].forget(port, attempt.id)
        elif port is not None:
            port.forget(attempt.id)

    def _finish(self, exchange: _Exchange, result: Answer | Failure) -> None:
        done, exchange.done = exchange.done, None
        if done is None:
            return
        if exchange.deadline is not None:
            exchange.deadline.cancel()
        if not self._manner.parallel:  # else the others may answer yet, and show how they are doing
            for attempt in list(exchange.tries):
                self._leave(attempt)
        done(result)

    def _silent(self, upstream: Upstream, now: float) -> None:
        if upstream.silent(now):
            self._links[upstream.index].drop()

    def _tick(self) -> None:
        """Twenty times a second while something waits: ask the next one where the last is slow. It may still answer."""
        now = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            _, attempt = waiting.popleft()
            exchange = attempt.exchange
            if attempt not in exchange.tries:
                continue
            attempt.upstream.failed("timeout")
            if exchange.why is Failure.UNREACHABLE:
                exchange.why = Failure.SILENT
            self._silent(attempt.upstream, now)
            if exchange.done is None and attempt in exchange.tries:
                self._leave(attempt)
            self._try(exchange)
        self._timer = self._loop.call_later(TICK_S, self._tick) if waiting else None


def mixed(name: bytes, draw: Callable[[], int]) -> bytes:
    """A lower-case wire name in letters of random case. draw: 16 bits of chance."""
    bits = left = 0
    octets = bytearray(name)
    for place, octet in enumerate(octets):
        if 0x61 <= octet <= 0x7A:
            if not left:
                bits, left = draw(), 16
            octets[place] = octet ^ (bits & 1) << 5
            bits, left = bits >> 1, left - 1
    return bytes(octets)


def _ignore(_: Answer | Failure) -> None:
    """What a probe is answered: how soon is known by then."""


def _query(number: int, question: Question, *, edns: bool, ad: bool) -> bytes:
    return dnswrite.query(
        number,
        question.qname,
        question.qtype,
        question.qclass,
        rd=True,
        cd=question.cd,
        ad=ad,
        do=question.do,
        payload=PAYLOAD if edns else None,
    )


def _echoes(response: dns.Response, question: Question) -> bool:
    """Whether it answers this question; a server that does not know EDNS may leave it out of its FORMERR."""
    if response.qname is None:
        return response.rcode == Rcode.FORMERR
    return response.qname == question.qname and response.qtype == question.qtype and response.qclass == question.qclass
