"""Asking the upstreams: UDP first, TCP where an answer was cut, the next upstream where one is silent.

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
DOWN_AFTER = 3  # silences in a row
DOWN_MIN_S, DOWN_MAX_S = 1.0, 30.0
DATAGRAM_MAX = 4096


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
    """One question on its way: which upstreams were tried, and when the present try is over."""

    __slots__ = ("done", "id", "port", "question", "refused", "reply", "sent", "tried", "until", "upstream")

    def __init__(self, question: Question, done: Done, until: float) -> None:
        self.question = question
        self.done: Done | None = done
        self.until = until
        self.tried: list[int] = []
        self.sent = 0.0
        self.id = 0
        self.port: _Port | None = None
        self.upstream: _Upstream | None = None
        self.refused = False
        self.reply: Answer | None = None


class _Port:
    """One connected UDP socket and the questions that wait on it, by ID."""

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
        self.waiting: dict[int, _Exchange] = {}


class _Upstream:
    """One resolver that we ask, and how it has been doing."""

    def __init__(self, index: int, address: tuple[str, int]) -> None:
        self.index = index
        self.address = address
        self.family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ports: list[_Port] = []
        self.plain = False  # it answers FORMERR or NOTIMP to EDNS (RFC 6891 §7), so it is asked without
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
        self._waiting: deque[tuple[float, int, _Exchange]] = deque()  # when each try ends; the times only grow
        self._random = secrets.SystemRandom()
        self._timer: asyncio.TimerHandle | None = None
        for upstream in self._all:
            words[upstream.w_up] = 1

    def ask(self, question: Question, done: Done) -> None:
        """Ask; `done` is called once, with an answer to this very question, or with why there is none."""
        exchange = _Exchange(question, done, self._loop.time() + self._manner.query_s)
        self._try(exchange)

    def close(self) -> None:
        """Close every socket; questions on their way are forgotten."""
        if self._timer is not None:
            self._timer.cancel()
        for upstream in self._all:
            for port in upstream.ports:
                self._loop.remove_reader(port.fd)
                port.sock.close()
            upstream.ports.clear()

    def _try(self, exchange: _Exchange) -> None:
        """Send to the best upstream that was not tried yet; each is tried twice before giving up."""
        now = self._loop.time()
        while now < exchange.until:
            upstream = self._next(exchange, now)
            if upstream is None:
                break
            exchange.tried.append(upstream.index)
            if self._send(exchange, upstream, now):
                return
        self._finish(exchange, exchange.reply or self._why(exchange))

    def _why(self, exchange: _Exchange) -> Failure:
        if exchange.refused:
            return Failure.REFUSED
        return Failure.SILENT if exchange.sent else Failure.UNREACHABLE

    def _next(self, exchange: _Exchange, now: float) -> _Upstream | None:
        candidates = [upstream for upstream in self._all if exchange.tried.count(upstream.index) < 2]
        if not candidates:
            return None

        def rank(upstream: _Upstream) -> tuple[int, bool, float, int]:
            slow = upstream.latency if self._manner.fastest else 0.0
            return exchange.tried.count(upstream.index), now < upstream.down_until, slow, upstream.index

        return min(candidates, key=rank)

    def _send(self, exchange: _Exchange, upstream: _Upstream, now: float) -> bool:
        question = exchange.question
        try:
            port = self._port(upstream)
            number = secrets.randbits(16)
            while number in port.waiting:
                number = secrets.randbits(16)
            port.sock.send(
                dnswrite.query(
                    number,
                    question.qname,
                    question.qtype,
                    question.qclass,
                    rd=True,
                    cd=question.cd,
                    ad=False,
                    do=question.do,
                    payload=None if upstream.plain else 1232,
                )
            )
        except OSError:
            self._words[upstream.failed("network")] += 1
            self._silent(upstream, now)
            return False
        self._words[upstream.w_queries] += 1
        exchange.id, exchange.port, exchange.upstream = number, port, upstream
        exchange.sent = now
        port.waiting[number] = exchange
        port.uses += 1
        self._waiting.append((now + self._manner.attempt_s, len(exchange.tried), exchange))
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
            self._retire(port)
        port = _Port(upstream.address, upstream.family)
        self._loop.add_reader(port.fd, partial(self._readable, upstream, port))
        ports.append(port)
        return port

    def _retire(self, port: _Port) -> None:
        """Ask no more through this socket; the last answer closes it."""
        port.retired = True
        if not port.waiting:
            self._loop.remove_reader(port.fd)
            port.sock.close()

    def _readable(self, upstream: _Upstream, port: _Port) -> None:
        while port.sock.fileno() >= 0:
            try:
                wire = port.sock.recv(DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError:  # ICMP: nobody listens there
                self._words[upstream.failed("network")] += 1
                now = self._loop.time()
                for exchange in list(port.waiting.values()):
                    self._leave(exchange)
                    self._silent(upstream, now)
                    self._try(exchange)
                return
            self._arrived(upstream, port, wire)

    def _arrived(self, upstream: _Upstream, port: _Port, wire: bytes) -> None:
        exchange = port.waiting.get(int.from_bytes(wire[:2])) if len(wire) >= 12 else None
        if exchange is None:
            self._words[upstream.failed("mismatch")] += 1
            return
        try:
            response = dns.read_response(wire)
        except Malformed:
            self._words[upstream.failed("malformed")] += 1
            return  # whoever sent it, the right answer may still come
        question = exchange.question
        echoed = (response.qname, response.qtype, response.qclass)
        if echoed != (question.qname, question.qtype, question.qclass) and not self._no_edns(upstream, response):
            self._words[upstream.failed("mismatch")] += 1
            return
        self._leave(exchange)
        self._answered(upstream, exchange, Answer(wire, response))

    def _no_edns(self, upstream: _Upstream, response: dns.Response) -> bool:
        """A server that does not know EDNS may leave the question out of its FORMERR."""
        return not upstream.plain and response.qname is None and response.rcode == Rcode.FORMERR

    def _answered(self, upstream: _Upstream, exchange: _Exchange, answer: Answer) -> None:
        now = self._loop.time()
        took = now - exchange.sent
        observe(self._words, upstream.w_duration, UPSTREAM_BUCKETS, took)
        upstream.latency = took if not upstream.latency else upstream.latency * 0.8 + took * 0.2
        upstream.silences, upstream.down_until, upstream.down_s = 0, 0.0, DOWN_MIN_S
        self._words[upstream.w_up] = 1
        response = answer.response
        if not upstream.plain and response.opt is None and response.rcode in (Rcode.FORMERR, Rcode.NOTIMP):
            upstream.plain = True
            exchange.tried.pop()
            self._try(exchange)
        elif response.tc:
            self._tasks.create_task(self._over_tcp(upstream, exchange, answer))
        elif response.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN):
            self._finish(exchange, answer)
        else:
            self._words[upstream.failed("refused")] += 1
            exchange.refused, exchange.reply = True, None
            self._try(exchange)

    async def _over_tcp(self, upstream: _Upstream, exchange: _Exchange, cut: Answer) -> None:
        """RFC 7766 §5: what was truncated is asked again over TCP, one connection a question."""
        question = exchange.question
        number = secrets.randbits(16)
        query = dnswrite.query(
            number,
            question.qname,
            question.qtype,
            question.qclass,
            rd=True,
            cd=question.cd,
            ad=False,
            do=question.do,
            payload=None if upstream.plain else 1232,
        )
        try:
            async with asyncio.timeout(max(exchange.until - self._loop.time(), self._manner.attempt_s)):
                reader, writer = await asyncio.open_connection(*upstream.address)
                try:
                    writer.write(len(query).to_bytes(2) + query)
                    wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                finally:
                    writer.close()
            response = dns.read_response(wire)
            echoed = (response.id, response.qname, response.qtype, response.qclass)
            if echoed != (number, question.qname, question.qtype, question.qclass):
                raise Malformed("message: an answer to another question")
        except (OSError, EOFError, TimeoutError, Malformed):
            self._words[upstream.failed("network")] += 1
            exchange.reply = cut  # better than nothing: its TC bit says that it is not whole
            self._try(exchange)
            return
        self._finish(exchange, Answer(wire, response))

    def _leave(self, exchange: _Exchange) -> None:
        """The present try is over."""
        port = exchange.port
        if port is not None:
            exchange.port = None
            del port.waiting[exchange.id]
            if port.retired:
                self._retire(port)

    def _finish(self, exchange: _Exchange, result: Answer | Failure) -> None:
        done, exchange.done = exchange.done, None
        if done is not None:
            done(result)

    def _silent(self, upstream: _Upstream, now: float) -> None:
        upstream.silences += 1
        if upstream.silences >= DOWN_AFTER:
            upstream.down_until = now + upstream.down_s
            upstream.down_s = min(upstream.down_s * 2, DOWN_MAX_S)
            self._words[upstream.w_up] = 0

    def _tick(self) -> None:
        """Twenty times a second while something waits: give up the tries whose time is over."""
        now = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            _, tries, exchange = waiting.popleft()
            upstream = exchange.upstream
            if exchange.port is None or len(exchange.tried) != tries or upstream is None:
                continue  # answered, or on its next try
            self._words[upstream.failed("timeout")] += 1
            self._leave(exchange)
            self._silent(upstream, now)
            self._try(exchange)
        self._timer = self._loop.call_later(TICK_S, self._tick) if waiting else None


def nameservers(resolv_conf: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The name servers of a resolv.conf(5), in order; what is none is passed over."""
    found = []
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", host, *_]:
                with suppress(ValueError):
                    found.append(ip_address(host.partition("%")[0]))
    return tuple(found)
