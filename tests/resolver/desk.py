"""A resolver without sockets: a handler, its spool and counters, a clock to be set, and upstreams that know a zone."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from enforcer.attempts.block import Entry, decode_entry
from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.counters import Counters, Transport, word
from enforcer.decide.cache import Cache
from enforcer.decide.dns import Ech, Manners
from enforcer.decide.local import LocalRecords, parse_record
from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.rules import Mode
from enforcer.resolver.clients import Directory, Realm
from enforcer.resolver.conduct import Clock, Conduct
from enforcer.resolver.handler import Handler, Silence, Waiter
from enforcer.resolver.memory import Rendered
from enforcer.resolver.upstream import Answer, Done, Failure, Question, Upstreams
from enforcer.wire.dns import read_response
from tests.policy.made import NOW, a_list, a_policy

PHONE, TABLET, STRANGER = "192.0.2.1", "192.0.2.2", "203.0.113.9"
MANNERS = Manners(60, 15, "Blocked / Bloqué", parse("policy.invalid"), parse("hostmaster.invalid"))
BANS = a_policy(
    a_list(
        "suffix: chat.test",
        "exact: pay.bank.test",
        "cidr: 198.51.100.0/24",
        r"regex: '^wx[0-9]+\.qq\.test$'",
        "suffix: late.test, expires: 2026-11-25",
    ),
    a_list("suffix: null.test", service="nulled", more="answer: 'null'"),
    a_list("suffix: sink.test", service="sunk", more="answer: sinkhole"),
    a_list("suffix: nodata.test", service="nodata", more="answer: nodata"),
    a_list("suffix: seen.test", service="seen", more="mode: monitor"),
)
NO_BANS = a_policy(a_list("suffix: unused.test"))
# What an upstream says, by question: the records of the answer section, as text.
ZONE = {
    ("www.ok.test", "A"): ["www.ok.test. 300 IN A 192.0.2.80"],
    ("soon.ok.test", "A"): ["soon.ok.test. 2 IN A 192.0.2.80"],
    ("never.ok.test", "A"): ["never.ok.test. 0 IN A 192.0.2.80"],
    ("www.seen.test", "A"): ["www.seen.test. 300 IN A 192.0.2.81"],
    ("never.seen.test", "A"): ["never.seen.test. 0 IN A 192.0.2.81"],
    ("cloaked.ok.test", "A"): [
        "cloaked.ok.test. 300 IN CNAME edge.cdn.test.",
        "edge.cdn.test. 300 IN CNAME a.chat.test.",
        "a.chat.test. 300 IN A 192.0.2.82",
    ],
    ("never-cloaked.ok.test", "A"): [
        "never-cloaked.ok.test. 0 IN CNAME a.chat.test.",
        "a.chat.test. 0 IN A 192.0.2.82",
    ],
    ("keys.ok.test", "HTTPS"): ['keys.ok.test. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80 ech="AARrZXlz"'],
    ("keys.ok.test", "SVCB"): ['keys.ok.test. 300 IN SVCB 1 . alpn=h2 ech="AARrZXlz"'],
    ("keys.seen.test", "HTTPS"): ['keys.seen.test. 300 IN HTTPS 1 . ech="AARrZXlz"'],
    ("address.ok.test", "A"): ["address.ok.test. 300 IN A 198.51.100.7"],
    ("large.ok.test", "TXT"): ["large.ok.test. 300 IN TXT " + " ".join(['"' + "x" * 250 + '"'] * 8)],
}


CORPORATE = {("www.corp.test", "A"): ["www.corp.test. 300 IN A 192.0.2.90"]}  # what is forwarded elsewhere


class Hands:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.start = self.ms = int(NOW.timestamp() * 1000)

    def pass_s(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.ms, lambda: 1000 + (self.ms - self.start) / 1000)


class FakeUpstreams(Upstreams):
    """Answers from a zone at once; or, when held, as late as `release` is called."""

    def __init__(self, zone: Mapping[tuple[str, str], list[str]] = ZONE) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.fails: Failure | None = None
        self.held: list[Callable[[], None]] | None = []
        self.hold = False

    def ask(self, question: Question, done: Done) -> None:
        answer = said(question, self.zone) if self.fails is None else self.fails
        self.asked.append(f"{name_of(question.qname)} {dns.rdatatype.to_text(dns.rdatatype.RdataType(question.qtype))}")
        if self.hold and self.held is not None:
            self.held.append(lambda: done(answer))
        else:
            done(answer)

    def release(self) -> None:
        held, self.held = self.held or [], []
        for give in held:
            give()


def name_of(qname: bytes) -> str:
    return dns.name.from_wire(qname, 0)[0].to_text(omit_final_dot=True)


def said(question: Question, zone: Mapping[tuple[str, str], list[str]] = ZONE) -> Answer:
    """The answer of a resolver that knows a zone: NXDOMAIN with a SOA for what is not in it."""
    name = dns.name.from_wire(question.qname, 0)[0]
    qtype, qclass = dns.rdatatype.RdataType(question.qtype), dns.rdataclass.RdataClass(question.qclass)
    asked = dns.message.make_query(name, qtype, qclass, use_edns=0)
    reply = dns.message.make_response(asked, recursion_available=True)
    records = zone.get(
        (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(dns.rdatatype.RdataType(question.qtype)))
    )
    for record in records or []:
        owner, ttl, rclass, rtype, rdata = record.split(maxsplit=4)
        reply.answer.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, rdata))
    if not records:
        reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = "ns.test. hostmaster.test. 1 3600 600 86400 30"
        reply.authority.append(dns.rrset.from_text("test.", 900, "IN", "SOA", soa))
    wire = reply.to_wire(max_size=65535)
    return Answer(wire, read_response(wire))


def a_query(name: str, rtype: str = "A", *, number: int = 7, edns: bool = False, do: bool = False) -> bytes:
    query = dns.message.make_query(name, rtype, use_edns=0 if edns or do else None, want_dnssec=do, id=number)
    return query.to_wire()


def read(wire: bytes | None) -> dns.message.Message:
    assert wire is not None
    return dns.message.from_wire(wire)


class Desk:
    """Asks a handler as a listener does: what is answered at once or later is counted as a listener counts it."""

    def __init__(
        self,
        folder: Path,
        policy: Policy = BANS,
        *,
        mode: Mode = Mode.ENFORCE,
        capacity: int = 64,
        max_bytes: int = 1 << 24,
        cache_bytes: int = 1 << 20,
        window_s: float = 60,
        manners: Manners = MANNERS,
        drop_outside: bool = False,
        name_clients: bool = True,
        max_ttl: int = 86_400,
        ech: Ech = Ech.STRIP,
        local: tuple[str, ...] = (),
        serve_stale: bool = False,
    ) -> None:
        self.hands = Hands()
        self.corporate = FakeUpstreams(CORPORATE)
        self.upstreams = FakeUpstreams()
        self.folder = folder
        self.spool = Spool(
            folder / "spool" / "dns-0",
            window_ms=round(window_s * 1000),
            max_bytes=max_bytes,
            capacity=capacity,
            heap=capacity * 600,
        )
        self.counters = Counters(folder / "counters" / "dns-0")
        self.cache = Cache(cache_bytes, serve_stale=serve_stale)
        networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
        self.directory = Directory((Realm("lab", networks, mode, ech),))
        self.conduct = Conduct(
            manners, drop_outside, name_clients, max_ttl, LocalRecords(parse_record(line) for line in local)
        )
        self.handler = Handler(
            conduct=self.conduct,
            cache=self.cache,
            upstreams=self.upstreams,
            forward={parse("corp.test"): self.corporate},
            spool=self.spool,
            words=self.counters.words,
            clock=self.hands.clock,
        )
        self.orders = Orders(0, "")
        self.late: list[bytes] = []
        self.recorded = 0
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        self.handler.follow(policy, self.conduct)
        self.order(generation=self.orders.generation + 1)

    def order(
        self, *, generation: int | None = None, pauses: tuple[Pause, ...] = (), grants: tuple[Grant, ...] = ()
    ) -> None:
        if generation is None:
            generation = self.orders.generation
        self.orders = replace(self.orders, generation=generation, pauses=pauses, grants=grants)
        self.directory.follow(self.orders)

    def ask(
        self, wire: bytes, client: str = PHONE, *, transport: Transport = Transport.UDP, shown: str | None = None
    ) -> bytes | None:
        """The answer, given now or later in the same call; None for none."""
        address = ip_address(client)
        now = NOW.fromtimestamp(self.hands.ms // 1000, NOW.tzinfo)
        before = len(self.late)

        def waiter() -> Waiter:
            def give(rendered: Rendered, wire: bytes) -> None:
                self._count(rendered, client)
                self.late.append(wire)

            return give

        packed = address.packed
        shown = self.handler.told(wire, packed) or shown
        answer = self.handler.answer(
            wire, self.directory.group(address, now, shown=shown), transport, waiter, client=packed, shown=shown
        )
        if isinstance(answer, Silence):
            return self.late[before] if len(self.late) > before else None
        rendered, reply = answer
        self._count(rendered, client)
        assert reply[2:] == rendered[1]
        assert len(reply) == rendered[2]
        return reply

    def _count(self, rendered: Rendered, client: str) -> None:
        if rendered[4] is not None:
            self.recorded += 1
            self.handler.record(rendered[4], ip_address(client).packed, client, 40_000)

    def attempts(self) -> list[tuple[int, Entry]]:
        """Every row of the spool, with its count."""
        return attempts(self.spool.folder)

    def counted(self, name: str, *labels: str) -> int:
        return int(self.counters.words[word(name, *labels)])

    def close(self) -> None:
        with suppress(ValueError):
            self.spool.close()
        self.counters.close()


def attempts(folder: Path) -> list[tuple[int, Entry]]:
    """Every row in a worker's folder, with its count."""
    found = []
    for _, path in segments(folder):
        segment = Segment(path)
        rows = [segment.row(index) for index in range(segment.used)]
        segment.close()
        found += [(row.count, decode_entry(row.entry)) for row in rows]
    return found
