"""Asking the upstreams: UDP first, TCP where an answer was cut, the next upstream where one is silent or refuses.

Queries go out from a pool of connected sockets, each with a port of the kernel's choice that is given up after a
while, a socket and an ID chosen at random for every query (RFC 5452 §9.2). The kernel lets only datagrams of the
upstream's own address and port in; the ID and the question are compared here (§9.1).
"""

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from enforcer.counters import UPSTREAM_BUCKETS, observe, word
from enforcer.errors import Malformed
from enforcer.wire import dns, dnswrite
from enforcer.wire.dnscodes import Rcode

PORTS = 32  # sockets to each upstream
QUERIES_A_PORT = 512  # after which a socket is replaced, and with it the port
IN_FLIGHT_A_PORT = 256
TICK_S = 0.05
STREAMS = 100  # questions that are asked over TCP at a time
PLAIN_S = 900.0  # seconds for which an upstream that does not know EDNS is asked without
DOWN_AFTER = 3  # silences in a row
DOWN_MIN_S, DOWN_MAX_S = 1.0, 30.0
DATAGRAM_MAX = 4096
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

    fastest: first the one that has answered soonest; else the one named first. attempt_s: seconds until the next one is
    asked. query_s: seconds until a question is given up.
    """

    fastest: bool
    attempt_s: float
    query_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream said: the message as it came, and as it was read."""

    wire: bytes
    response: dns.Response


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an upstream."""

    qname: bytes
    qtype: int
    qclass: int
    do: bool
    cd: bool


type Done = Callable[[Answer | Failure], None]


class _Exchange:
    """One question on its way, until it is answered or its time is over.

    tried: who was asked, in that order. tries: those that may still be answered. streams: as many as are asked over
    TCP. why: the reason to give if no answer comes. cut: a truncated answer, better than none.
    """

    __slots__ = ("cut", "deadline", "done", "question", "streams", "tried", "tries", "until", "why")

    def __init__(self, question: Question, done: Done, until: float) -> None:
        self.question = question
        self.done: Done | None = done
        self.until = until
        self.tried: list[int] = []
        self.tries: list[_Try] = []
        self.streams = 0
        self.deadline: asyncio.TimerHandle | None = None
        self.why = Failure.UNREACHABLE
        self.cut: Answer | None = None


@dataclass(slots=True, eq=False)
class _Try:
    """One query as it was sent. edns: with an OPT record."""

    exchange: _Exchange
    upstream: "_Upstream"
    port: "_Port"
    id: int
    sent: float
    edns: bool


class _Port:
    """One connected UDP socket and the queries that wait on it, by ID."""

    __slots__ = ("fd", "retired", "sock", "uses", "waiting")

    def __init__(self, address: tuple[str, int], family: int) -> None:
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self.fd = self.sock.fileno()
        self.uses = 0
        self.retired = False
        self.waiting: dict[int, _Try] = {}


class _Upstream:
    """One resolver that we ask, and how it has been doing."""

    def __init__(self, index: int, address: tuple[str, int]) -> None:
        self.index = index
        self.address = address
        self.family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ports: list[_Port] = []
        self.plain_until = 0.0  # it answers FORMERR or NOTIMP to EDNS (RFC 6891 §7), so it is asked without
        self.silences = 0
        self.down_until = 0.0
        self.down_s = DOWN_MIN_S
        self.latency = 0.0  # smoothed, seconds; 0 until it has answered
        label = str(index)
        self.w_queries = word("upstream_queries", label)
        self.w_duration = word("upstream_duration_seconds", label)
        self.w_up = word("upstream_up", label)

    def failed(self, reason: str) -> int:
        """The word that counts this failure."""
        return word("upstream_failures", str(self.index), reason)


class Upstreams:
    """All upstreams of one worker. Runs on the event loop's callbacks: no task a query, but for TCP."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        manner: Manner,
        words: memoryview,
        loop: asyncio.AbstractEventLoop,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._all = [_Upstream(index, address) for index, address in enumerate(addresses)]
        self._manner = manner
        self._words = words
        self._loop = loop
        self._tasks = tasks
        self._ports: set[_Port] = set()  # every open one, those that are given up too
        self._streams: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[float, _Try]] = deque()  # until when to wait before the next; the times only grow
        self._random = secrets.SystemRandom()
        self._timer: asyncio.TimerHandle | None = None
        for upstream in self._all:
            words[upstream.w_up] = 1

    def ask(self, question: Question, done: Done) -> None:
        """Ask; `done` is called once, with an answer to this very question, or with why there is none."""
        self._try(_Exchange(question, done, self._loop.time() + self._manner.query_s))

    def close(self) -> None:
        """Close every socket; questions on their way are forgotten."""
        if self._timer is not None:
            self._timer.cancel()
        for stream in self._streams:
            stream.cancel()
        for port in self._ports:
            for attempt in port.waiting.values():
                exchange, attempt.exchange.done = attempt.exchange, None
                if exchange.deadline is not None:
                    exchange.deadline.cancel()
            self._loop.remove_reader(port.fd)
            port.sock.close()
        self._ports.clear()
        for upstream in self._all:
            upstream.ports.clear()

    def _try(self, exchange: _Exchange) -> None:
        """Send to the best upstream that was not tried yet, to each twice; then wait for who may still answer."""
        if exchange.done is None:
            return
        if exchange.tried and exchange.deadline is None:
            exchange.deadline = self._loop.call_at(exchange.until, self._expire, exchange)
        now = self._loop.time()
        while now < exchange.until and (upstream := self._next(exchange, now)) is not None:
            exchange.tried.append(upstream.index)
            if self._send(exchange, upstream, now, edns=now >= upstream.plain_until):
                return
        if not exchange.tries and not exchange.streams:
            self._finish(exchange, exchange.cut or exchange.why)

    def _expire(self, exchange: _Exchange) -> None:
        """The question's time is over."""
        late = Failure.SILENT if exchange.why is Failure.UNREACHABLE else exchange.why
        self._finish(exchange, exchange.cut or late)

    def _next(self, exchange: _Exchange, now: float) -> _Upstream | None:
        candidates = [upstream for upstream in self._all if exchange.tried.count(upstream.index) < 2]
        if not candidates:
            return None

        def rank(upstream: _Upstream) -> tuple[int, bool, float, int]:
            slow = upstream.latency if self._manner.fastest else 0.0
            return exchange.tried.count(upstream.index), now < upstream.down_until, slow, upstream.index

        return min(candidates, key=rank)

    def _send(self, exchange: _Exchange, upstream: _Upstream, now: float, *, edns: bool) -> bool:
        try:
            port = self._port(upstream)
            number = secrets.randbits(16)
            while number in port.waiting:
                number = secrets.randbits(16)
            port.sock.send(_query(number, exchange.question, edns=edns))
        except OSError:
            self._words[upstream.failed("network")] += 1
            self._silent(upstream, now)
            return False
        self._words[upstream.w_queries] += 1
        attempt = _Try(exchange, upstream, port, number, now, edns)
        exchange.tries.append(attempt)
        port.waiting[number] = attempt
        port.uses += 1
        self._waiting.append((now + self._manner.attempt_s, attempt))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        return True

    def _port(self, upstream: _Upstream) -> _Port:
        """A socket chosen at random, or a new one while there are few."""
        ports = upstream.ports
        if len(ports) == PORTS:
            index = self._random.randrange(PORTS)
            port = ports[index]
            if port.uses < QUERIES_A_PORT and len(port.waiting) < IN_FLIGHT_A_PORT:
                return port
            del ports[index]
            port.retired = True
            self._close_unused(port)
        port = _Port(upstream.address, upstream.family)
        self._loop.add_reader(port.fd, partial(self._readable, upstream, port))
        ports.append(port)
        self._ports.add(port)
        return port

    def _close_unused(self, port: _Port) -> None:
        """Nothing more is asked through a socket that was given up; who waits last closes it."""
        if port.retired and not port.waiting:
            self._loop.remove_reader(port.fd)
            port.sock.close()
            self._ports.discard(port)

    def _readable(self, upstream: _Upstream, port: _Port) -> None:
        while port.sock.fileno() >= 0:
            try:
                wire = port.sock.recv(DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError:  # ICMP: nobody listens there
                self._words[upstream.failed("network")] += 1
                self._silent(upstream, self._loop.time())
                for attempt in list(port.waiting.values()):
                    if attempt.exchange.done is not None:  # one may have been answered by another's failure
                        self._leave(attempt)
                        self._try(attempt.exchange)
                return
            self._arrived(upstream, port, wire)

    def _arrived(self, upstream: _Upstream, port: _Port, wire: bytes) -> None:
        attempt = port.waiting.get(int.from_bytes(wire[:2])) if len(wire) >= 12 else None
        if attempt is None:
            self._words[upstream.failed("mismatch")] += 1
            return
        try:
            response = dns.read_response(wire)
        except Malformed:
            self._words[upstream.failed("malformed")] += 1
            return  # whoever sent it, the right answer may still come
        if not _echoes(response, attempt.exchange.question):
            self._words[upstream.failed("mismatch")] += 1
            return
        self._leave(attempt)
        self._answered(attempt, Answer(wire, response))

    def _answered(self, attempt: _Try, answer: Answer) -> None:
        upstream, exchange = attempt.upstream, attempt.exchange
        now = self._loop.time()
        took = now - attempt.sent
        observe(self._words, upstream.w_duration, UPSTREAM_BUCKETS, took)
        upstream.latency = took if not upstream.latency else upstream.latency * 0.8 + took * 0.2
        upstream.silences, upstream.down_until, upstream.down_s = 0, 0.0, DOWN_MIN_S
        self._words[upstream.w_up] = 1
        response = answer.response
        if attempt.edns and response.opt is None and response.rcode in (Rcode.FORMERR, Rcode.NOTIMP):
            if not self._send(exchange, upstream, now, edns=False):
                self._try(exchange)
            return
        if not attempt.edns and response.rcode in _USABLE and now >= upstream.plain_until:
            upstream.plain_until = now + PLAIN_S  # it was EDNS that it did not understand
        if not response.tc or response.rcode not in _USABLE:
            self._take(upstream, exchange, answer)
            return
        exchange.cut = answer  # its TC bit says that it is not whole
        if len(self._streams) < STREAMS:
            exchange.streams += 1
            stream = self._tasks.create_task(self._over_tcp(attempt))
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        else:
            self._try(exchange)

    def _take(self, upstream: _Upstream, exchange: _Exchange, answer: Answer) -> None:
        """An answer is passed on; an error is a reason to ask somebody else."""
        if answer.response.rcode in _USABLE:
            self._finish(exchange, answer)
            return
        self._words[upstream.failed("refused")] += 1
        exchange.why = Failure.REFUSED
        self._try(exchange)

    async def _over_tcp(self, attempt: _Try) -> None:
        """RFC 7766 §5: what was truncated is asked again over TCP, one connection a question."""
        upstream, exchange = attempt.upstream, attempt.exchange
        number = secrets.randbits(16)
        query = _query(number, exchange.question, edns=attempt.edns)
        try:
            async with asyncio.timeout_at(exchange.until):
                reader, writer = await asyncio.open_connection(*upstream.address)
                try:
                    writer.write(len(query).to_bytes(2) + query)
                    wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                finally:
                    writer.close()
            response = dns.read_response(wire)
            if response.id != number or not _echoes(response, exchange.question):
                raise Malformed("message: an answer to another question")
        except (OSError, EOFError, TimeoutError, Malformed):
            self._words[upstream.failed("network")] += 1
            exchange.streams -= 1
            self._try(exchange)
            return
        exchange.streams -= 1
        self._take(upstream, exchange, Answer(wire, response))

    def _leave(self, attempt: _Try) -> None:
        """Wait for this answer no more."""
        attempt.exchange.tries.remove(attempt)
        del attempt.port.waiting[attempt.id]
        self._close_unused(attempt.port)

    def _finish(self, exchange: _Exchange, result: Answer | Failure) -> None:
        done, exchange.done = exchange.done, None
        if done is None:
            return
        if exchange.deadline is not None:
            exchange.deadline.cancel()
        for attempt in list(exchange.tries):
            self._leave(attempt)
        done(result)

    def _silent(self, upstream: _Upstream, now: float) -> None:
        upstream.silences += 1
        if upstream.silences >= DOWN_AFTER and now >= upstream.down_until:
            upstream.down_until = now + upstream.down_s
            upstream.down_s = min(upstream.down_s * 2, DOWN_MAX_S)
            self._words[upstream.w_up] = 0

    def _tick(self) -> None:
        """Twenty times a second while something waits: ask the next one where the last is slow. It may still answer."""
        now = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            _, attempt = waiting.popleft()
            exchange = attempt.exchange
            if attempt not in exchange.tries:
                continue
            self._words[attempt.upstream.failed("timeout")] += 1
            if exchange.why is Failure.UNREACHABLE:
                exchange.why = Failure.SILENT
            self._silent(attempt.upstream, now)
            self._try(exchange)
        self._timer = self._loop.call_later(TICK_S, self._tick) if waiting else None


def _query(number: int, question: Question, *, edns: bool) -> bytes:
    return dnswrite.query(
        number,
        question.qname,
        question.qtype,
        question.qclass,
        rd=True,
        cd=question.cd,
        ad=False,
        do=question.do,
        payload=PAYLOAD if edns else None,
    )


def _echoes(response: dns.Response, question: Question) -> bool:
    """Whether it answers this question; a server that does not know EDNS may leave it out of its FORMERR."""
    if response.qname is None:
        return response.rcode == Rcode.FORMERR
    return (response.qname, response.qtype, response.qclass) == (question.qname, question.qtype, question.qclass)


def nameservers(resolv_conf: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The name servers of a resolv.conf(5), in order; what is none is passed over."""
    found = []
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", host, *_]:
                with suppress(ValueError):
                    found.append(ip_address(host.partition("%")[0]))
    return tuple(found)
