"""The order of decisions for one DNS query, and for the answer that an upstream gives to it.

screen        is it a query that we take at all?                      else nothing, or an error
begin         1 policy on the question: a banned name is never local, cached or forwarded
              2 what is answered here: signals to clients, special-use names, HTTPS records that are not given out
              3 else it is asked for
judge_answer  policy on what the answer gives away: names of its chain, addresses
passed        the answer as this client gets it
refused       the answer up to the banned name, when one was found
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from enforcer.decide.cookies import read_cookie
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.names import display, parse
from enforcer.policy.rules import Answer
from enforcer.policy.verdict import Action, Client, Destination, Layer, Verdict
from enforcer.wire import dns, dnswrite, svcb
from enforcer.wire.dnscodes import Rcode, RRClass, RRType
from enforcer.wire.dnscut import truncated
from enforcer.wire.dnswrite import ReplyEdns
from enforcer.wire.name import Name, parents

PAYLOAD = 1232  # octets of UDP that we take and send at most (DNS flag day 2020)
UDP_MIN = 512
_AROUND_TEXT = 12 + 12 + 20 + 11 + 6 + 28  # header, SOA without its names, OPT with EDE's head, and a cookie
STREAM_MAX = 0xFFFF  # octets that the length before a message over TCP can say
EDE_FORGED, EDE_PROHIBITED, EDE_NOT_REACHABLE, EDE_NETWORK_ERROR, EDE_INVALID = 4, 18, 22, 23, 24
EDE_STALE, EDE_STALE_NXDOMAIN = 3, 19
_POLICY_CODES = frozenset({15, 16, 17})  # Blocked, Censored, Filtered (RFC 8914 §4.16 to §4.18)
_UPSTREAM_TEXT = "Refused by the upstream resolver / Refusé par le résolveur amont"
CHAIN_MAX = 16

_A, _AAAA, _ANY, _CNAME, _HTTPS = map(int, (RRType.A, RRType.AAAA, RRType.ANY, RRType.CNAME, RRType.HTTPS))
_LEADING = frozenset({_A, _AAAA, _CNAME, int(RRType.DNAME), int(RRType.SVCB), _HTTPS})  # that lead a client on
_TRANSFERS = (int(RRType.AXFR), int(RRType.IXFR))
_IN, _CH = int(RRClass.IN), int(RRClass.CH)
_QR, _TC, _RD, _RA, _AD, _CD = 0x8000, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010


class Outcome(StrEnum):
    """What became of a query, as it is counted."""

    BLOCKED = "blocked"
    OBSERVED = "observed"
    CACHED = "cached"
    STALE = "stale"
    FORWARDED = "forwarded"
    LOCAL = "local"
    REFUSED = "refused"
    FORMERR = "formerr"
    NOTIMP = "notimp"
    SERVFAIL = "servfail"
    DROPPED = "dropped"


class Ech(StrEnum):
    """What becomes of the keys for Encrypted ClientHello in answers (RFC 9848), which hide names from the gateway.

    PASS: nothing. STRIP: they are taken out of SVCB and HTTPS records, but not for a client that asks for signatures
    (DO), which would not hold any more. DROP_HTTPS: besides, a question for HTTPS records is answered NODATA.
    """

    PASS = "pass"  # noqa: S105 (no password)
    STRIP = "strip"
    DROP_HTTPS = "drop_https"


@dataclass(frozen=True, slots=True)
class Structured:
    """The error for a program to read, for who asks for it (draft-ietf-dnsop-structured-dns-error).

    option: the code of the EDNS option that asks, empty. full, short: the JSON, and the same without justification and
    organization, for where the full one does not fit.
    """

    option: int
    full: str
    short: str


@dataclass(frozen=True, slots=True)
class Manners:
    """How the resolver answers for itself; all of it from the configuration.

    block_ttl: seconds that a blocked answer may be kept. ede_code, ede_text: why, for the user. mname, rname: of the
    SOA record in our own negative answers. sinkhole: addresses for the answer `sinkhole`. chaos: the text for
    version.bind and id.server; None: REFUSED. designated: by realm, the SVCB RDATA of the encrypted ways to ask us
    (RFC 9462 §4). names: our own, as clients know us. information: the RDATA of RESINFO records of them and of
    resolver.arpa (RFC 9606); None: nothing. structured: None where nobody gets it.
    """

    block_ttl: int
    ede_code: int
    ede_text: str
    mname: Name
    rname: Name
    sinkhole: tuple[IPv4Address | IPv6Address, ...] = ()
    chaos: str | None = None
    designated: Mapping[str, tuple[bytes, ...]] = MappingProxyType({})
    names: frozenset[Name] = frozenset()
    information: bytes | None = None
    structured: Structured | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, complete but for the limit of its transport, and what is to be counted.

    verdict: what was blocked or observed, to be recorded; None: nothing. via: the name or address of the answer
    that matched instead of the question. ede: the code sent with it.
    """

    wire: bytes
    outcome: Outcome
    verdict: Verdict | None = None
    answer: Answer = Answer.NXDOMAIN
    via: str | None = None
    ede: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """The question may be asked for. observed: a match that is only recorded."""

    observed: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A match in an answer. via: as recorded. name: the chain's name that matched; None for an address."""

    verdict: Verdict
    via: str
    name: Name | None


_ASK = Ask()


def _local_names() -> dict[Name, Rcode]:
    """Names that are answered here, with everything below them, by what their negative answer says."""
    nodata = ("resolver.arpa", "localhost")  # RFC 9462 §6.4: NODATA, never forwarded; RFC 6761 §6.3
    nxdomain = (
        "use-application-dns.net",  # Firefox leaves its own DoH off
        "mask.icloud.com",  # Private Relay tells the user that it is off on this network
        "mask-h2.icloud.com",
        "invalid",  # RFC 6761 §6.4
        "onion",  # RFC 7686 §2
    )
    return {parse(name): Rcode.NOERROR for name in nodata} | {parse(name): Rcode.NXDOMAIN for name in nxdomain}


_LOCAL = _local_names()
_LOCALHOST = parse("localhost")
_RESOLVER, _DISCOVERY = parse("resolver.arpa"), parse("_dns.resolver.arpa")
_OPT, _OPT_DO = dnswrite.opt(PAYLOAD, do=False), dnswrite.opt(PAYLOAD, do=True)
_LOOPBACK = {_A: IPv4Address("127.0.0.1").packed, _AAAA: IPv6Address("::1").packed}


def screen(wire: bytes, *, unasked: bool = False) -> dns.Query | Reply | None:
    """Whether these octets are a query to go on with; an error to send; or None: no answer at all.

    unasked: a query for a cookie alone, without a question, is one (RFC 7873 §5.4).
    """
    if not dns.is_query(wire):
        return None
    if dns.opcode(wire):
        return Reply(dnswrite.error(wire, Rcode.NOTIMP), Outcome.NOTIMP)
    try:
        query = dns.read_query(wire, unasked=unasked)
        if not query.question and (query.edns is None or read_cookie(query.edns.options) is None):
            raise Malformed("question section: no question, and no cookie")
    except Malformed:
        return Reply(dnswrite.error(wire, Rcode.FORMERR), Outcome.FORMERR)
    if query.edns is not None and query.edns.version:
        return _error(query, Rcode.BADVERS, Outcome.FORMERR)
    if query.signed or query.qtype in _TRANSFERS:
        return _error(query, Rcode.REFUSED, Outcome.REFUSED, EDE_PROHIBITED)
    return query


def malformed(query: dns.Query) -> Reply:
    """The answer to a query with an option that is none."""
    return _error(query, Rcode.FORMERR, Outcome.FORMERR)


def cookie_alone(query: dns.Query, *, good: bool) -> Reply:
    """The answer to a query without a question (RFC 7873 §5.4). good: its cookie is ours, or it has none of us yet."""
    return _error(query, Rcode.NOERROR if good else Rcode.BADCOOKIE, Outcome.LOCAL)


def outside(query: dns.Query) -> Reply:
    """The answer to a client that no realm serves."""
    return _error(query, Rcode.REFUSED, Outcome.REFUSED, EDE_PROHIBITED)


def failed(query: dns.Query, text: str, *, network: bool) -> Reply:
    """The answer when no upstream gave one. network: none could be reached; else none said anything of use."""
    code = EDE_NETWORK_ERROR if network else EDE_NOT_REACHABLE
    return _error(query, Rcode.SERVFAIL, Outcome.SERVFAIL, code, text)


def begin(
    query: dns.Query, client: Client, policy: Policy, now: datetime, manners: Manners, *, ech: Ech = Ech.PASS
) -> Reply | Ask:
    """Decide on the question alone: blocked, answered here, or to be asked for."""
    if query.qclass == _CH:
        return _chaos(query, manners)
    observed: Verdict | None = None
    if policy.lists_name(query.qname):
        verdict = policy.judge(Destination(Layer.DNS, name=query.qname), client, now)
        if verdict.action is Action.BLOCK:
            return _blocked(query, verdict, manners)
        observed = verdict if verdict.action is Action.OBSERVE else None
    local = _answered_here(query, client, manners)
    if local is not None:
        return local
    if ech is Ech.DROP_HTTPS and query.qtype == _HTTPS:
        wire = _negative(query, Rcode.NOERROR, dnswrite.pointer(0), manners)
        return Reply(wire, Outcome.LOCAL) if observed is None else Reply(wire, Outcome.OBSERVED, observed)
    return _ASK if observed is None else Ask(observed)


def judge_answer(wire: bytes, response: dns.Response, client: Client, policy: Policy, now: datetime) -> Found | None:
    """The first thing in an answer that policy blocks, else observes; None when all of it is allowed.

    Looked at in every section: targets of CNAME, DNAME, SVCB and HTTPS, addresses of A and AAAA, hints of SVCB and
    HTTPS. Raises Malformed for a record that is not what its type says: what cannot be read is not passed on.
    """
    observed: Found | None = None
    for record in response.records:
        if record.type not in _LEADING:
            continue
        if record.type == _A and not policy.lists_ipv4(wire[record.data_at : record.data_end]):
            continue
        for name, address in _shown(wire, record):
            verdict = policy.judge(Destination(Layer.DNS, name=name, address=address), client, now)
            if verdict.action is Action.ALLOW:
                continue
            found = Found(verdict, display(name) if name is not None else _written(address), name)
            if verdict.action is Action.BLOCK:
                return found
            observed = observed or found
    return observed


def refused_upstream(response: dns.Response) -> int | None:
    """The code of EDE with which an upstream says that its own policy refused; None for all other answers."""
    if response.opt is None or not response.opt.edns.options:
        return None
    codes = [int.from_bytes(data[:2]) for code, data in response.opt.edns.options if code == dnswrite.EDE]
    return next((code for code in codes if code in _POLICY_CODES), None)


def passed(
    query: dns.Query, wire: bytes | bytearray, rcode: int, *, stale: bool = False, ede: int | None = None
) -> bytes:
    """An upstream's answer as this client gets it: its ID, its letter case, its flags, and OPT as it has one.

    wire: a message without OPT, whose question is this query's but for the letter case; with AD where it is authentic,
    which is passed on to who asks for it (RFC 6840 §5.7, §5.8). stale: it has expired, which the client is told.
    ede: the code with which upstream said that its policy refused it, which the client is told as well.
    """
    edns, question = query.edns, query.question
    told = _TC | _AD if query.ad or (edns is not None and edns.do) else _TC
    flags = _QR | _RA | query.flags & (_RD | _CD) | int.from_bytes(wire[2:4]) & told | rcode & 0xF
    head, rest = query.id << 16 | flags, wire[12 + len(question) :]
    if edns is None:
        return b"".join((head.to_bytes(4), wire[4:12], question, rest))
    extra = _OPT_DO if edns.do else _OPT
    if stale or ede is not None:
        options = [] if ede is None else [dnswrite.ede(ede, _UPSTREAM_TEXT)]
        if stale:
            options.append(dnswrite.ede(EDE_STALE_NXDOMAIN if rcode == Rcode.NXDOMAIN else EDE_STALE, ""))
        extra = dnswrite.opt(PAYLOAD, do=edns.do, options=options)
    count = int.from_bytes(wire[10:12]) + 1
    return b"".join((head.to_bytes(4), wire[4:10], count.to_bytes(2), question, rest, extra))


def refused(query: dns.Query, wire: bytes, response: dns.Response, found: Found, manners: Manners) -> Reply:
    """The answer to an allowed question that leads to something banned.

    A banned name of the chain: the chain up to it, then NXDOMAIN, which denies the chain's last name (RFC 6604), and
    the SOA of what is banned. A banned address, or a name beside the chain: NODATA, since other types of the
    question's name are not banned. Raises Malformed as `judge_answer` does.
    """
    aliases = list(_chain(wire, response, query.qname))
    targets = [target for _, _, target in aliases]
    links = targets.index(found.name) + 1 if found.name in targets else _links_under(targets, found.name)
    chain = b"".join(
        dnswrite.record(owner, _CNAME, min(ttl, manners.block_ttl), target) for owner, ttl, target in aliases[:links]
    )
    last = targets[links - 1] if links else query.qname
    verdict = found.verdict
    owner = verdict.matched if links and verdict.matched and _under(last, verdict.matched) else last
    denied = links > 0 and verdict.answer is Answer.NXDOMAIN
    rcode = Rcode.NXDOMAIN if denied else Rcode.NOERROR
    authority = dnswrite.soa(owner, mname=manners.mname, rname=manners.rname, ttl=manners.block_ttl)
    message = dnswrite.reply(
        query.id,
        query.flags,
        query.question,
        rcode,
        answer=chain,
        ancount=links,
        authority=authority,
        nscount=1,
        edns=_reason(query, manners),
    )
    answer = Answer.NXDOMAIN if denied else Answer.NODATA
    return Reply(message, Outcome.BLOCKED, verdict, answer, found.via, manners.ede_code if query.edns else None)


def fitted(wire: bytes, query: dns.Query | None, *, stream: bool) -> bytes:
    """A reply that fits its transport; what is too large is cut, with TC set (RFC 6891 §7)."""
    limit = STREAM_MAX if stream else udp_limit(query)
    return wire if len(wire) <= limit else truncated(wire, limit)


def udp_limit(query: dns.Query | None) -> int:
    """Octets that a reply over UDP may have."""
    edns = query.edns if query is not None else None
    return UDP_MIN if edns is None else min(edns.payload, PAYLOAD)


def _error(query: dns.Query, rcode: int, outcome: Outcome, ede: int | None = None, text: str = "") -> Reply:
    edns = None
    if query.edns is not None:
        options = () if ede is None else (dnswrite.ede(ede, text),)
        edns = ReplyEdns(PAYLOAD, query.edns.do, options)
    return Reply(dnswrite.reply(query.id, query.flags, query.question, rcode, edns=edns), outcome)


def _reason(query: dns.Query, manners: Manners) -> ReplyEdns | None:
    if query.edns is None:
        return None
    return ReplyEdns(PAYLOAD, query.edns.do, (dnswrite.ede(manners.ede_code, _text(query, manners)),))


def asks_for_structure(query: dns.Query, manners: Manners) -> bool:
    """Whether the client wants to be told in a form that a program reads."""
    wanted = manners.structured
    return wanted is not None and query.edns is not None and (wanted.option, b"") in query.edns.options


def _text(query: dns.Query, manners: Manners) -> str:
    """EXTRA-TEXT of a refusal: for a person, or for a program that asks for it; as much as surely fits."""
    if manners.structured is None or not asks_for_structure(query, manners):
        return manners.ede_text
    room = udp_limit(query) - len(query.question) - len(manners.mname) - len(manners.rname) - _AROUND_TEXT
    full, short = manners.structured.full, manners.structured.short
    return full if len(full.encode()) <= room else short


def _blocked(query: dns.Query, verdict: Verdict, manners: Manners) -> Reply:
    answer = verdict.answer
    ede = manners.ede_code if query.edns is not None else None
    if answer in (Answer.NULL, Answer.SINKHOLE) and asks_for_structure(query, manners):
        answer = Answer.NODATA  # a forged answer and a structured error exclude each other, and the name exists
    if answer in (Answer.NULL, Answer.SINKHOLE):
        wire = _pointed(query, answer, manners)
        return Reply(wire, Outcome.BLOCKED, verdict, answer, None, ede)
    suffix_at = len(query.qname) - len(verdict.matched or query.qname)
    wire = dnswrite.blocked(
        query,
        rcode=Rcode.NOERROR if answer is Answer.NODATA else Rcode.NXDOMAIN,
        suffix_at=suffix_at,
        block_ttl=manners.block_ttl,
        mname=manners.mname,
        rname=manners.rname,
        edns_payload=PAYLOAD,
        ede_code=manners.ede_code,
        ede_text=_text(query, manners),
    )
    return Reply(wire, Outcome.BLOCKED, verdict, answer, None, ede)


def _pointed(query: dns.Query, answer: Answer, manners: Manners) -> bytes:
    """The null address, or the sinkhole's, for A and AAAA (ANY: both); NODATA for every other type."""
    targets = (
        manners.sinkhole if answer is Answer.SINKHOLE else (IPv4Address("0.0.0.0"), IPv6Address("::"))  # noqa: S104 (an answer, not a listener)
    )
    records = [
        dnswrite.record(dnswrite.pointer(0), rtype, manners.block_ttl, address.packed)
        for address in targets
        if (rtype := _A if address.version == 4 else _AAAA) == query.qtype or query.qtype == _ANY
    ]
    edns = _reason(query, manners)
    if edns is not None:
        edns = ReplyEdns(edns.payload, edns.do, (dnswrite.ede(EDE_FORGED, ""), *edns.options))
    authority = b""
    if not records:
        authority = dnswrite.soa(dnswrite.pointer(0), mname=manners.mname, rname=manners.rname, ttl=manners.block_ttl)
    return dnswrite.reply(
        query.id,
        query.flags,
        query.question,
        Rcode.NOERROR,
        answer=b"".join(records),
        ancount=len(records),
        authority=authority,
        nscount=0 if records else 1,
        edns=edns,
    )


def _answered_here(query: dns.Query, client: Client, manners: Manners) -> Reply | None:
    qname = query.qname
    informs = query.qtype == RRType.RESINFO and manners.information is not None
    if informs and (qname in manners.names or qname == _RESOLVER):
        record = dnswrite.record(dnswrite.pointer(0), RRType.RESINFO, manners.block_ttl, manners.information or b"")
        return Reply(_records(query, record, 1), Outcome.LOCAL)
    owner = qname
    while owner not in _LOCAL:
        size = owner[0]
        if not size:
            return None
        owner = owner[size + 1 :]
    at = dnswrite.pointer(len(qname) - len(owner))
    if owner == _LOCALHOST and query.qtype in _LOOPBACK:
        record = dnswrite.record(dnswrite.pointer(0), query.qtype, manners.block_ttl, _LOOPBACK[query.qtype])
        wire = _records(query, record, 1)
    elif qname == _DISCOVERY and query.qtype == RRType.SVCB and (designated := manners.designated.get(client.realm)):
        records = [dnswrite.record(dnswrite.pointer(0), RRType.SVCB, manners.block_ttl, data) for data in designated]
        wire = _records(query, b"".join(records), len(records))
    else:
        wire = _negative(query, _LOCAL[owner], at, manners)
    return Reply(wire, Outcome.LOCAL)


def _records(query: dns.Query, records: bytes, count: int) -> bytes:
    """An answer of our own records."""
    edns = None if query.edns is None else ReplyEdns(PAYLOAD, query.edns.do)
    return dnswrite.reply(
        query.id, query.flags, query.question, Rcode.NOERROR, answer=records, ancount=count, edns=edns
    )


def _negative(query: dns.Query, rcode: int, owner: bytes, manners: Manners) -> bytes:
    """A negative answer that policy has no part in."""
    edns = None if query.edns is None else ReplyEdns(PAYLOAD, query.edns.do)
    soa = dnswrite.soa(owner, mname=manners.mname, rname=manners.rname, ttl=manners.block_ttl)
    return dnswrite.reply(query.id, query.flags, query.question, rcode, authority=soa, nscount=1, edns=edns)


def _chaos(query: dns.Query, manners: Manners) -> Reply:
    """version.bind and its kind (class CH): never forwarded."""
    if manners.chaos is None or query.qtype not in (RRType.TXT, _ANY):
        return _error(query, Rcode.REFUSED, Outcome.REFUSED)
    text = manners.chaos.encode()[:255]
    record = dnswrite.record(dnswrite.pointer(0), RRType.TXT, 0, bytes((len(text),)) + text, RRClass.CH)
    return Reply(_records(query, record, 1), Outcome.LOCAL)


def _under(name: Name, ancestor: Name) -> bool:
    return name == ancestor or ancestor in parents(name)


def _shown(wire: bytes, record: dns.Record) -> Iterator[tuple[Name | None, IPv4Address | IPv6Address | None]]:
    """Everything in a record that a client would go on to: a name or an address at a time."""
    name = dns.target(wire, record)
    if name is not None:
        yield name, None
    address = dns.address(wire, record)
    if address is not None:
        yield None, address
    for hint in svcb.hints(wire, record):
        yield None, hint


def _written(address: IPv4Address | IPv6Address | None) -> str:
    """An address as RFC 5952 §5 recommends it, whatever this Python makes of an IPv4-mapped one."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _links_under(targets: list[Name], ancestor: Name | None) -> int:
    """How many links a chain has up to the first below a DNAME's target; 0 where there is none."""
    if ancestor is None:
        return 0
    return next((place for place, target in enumerate(targets, 1) if _under(target, ancestor)), 0)


def _chain(wire: bytes, response: dns.Response, qname: Name) -> Iterator[tuple[Name, int, Name]]:
    """The chain of aliases from the question on: owner, TTL, target, whatever order the records are in."""
    aliases: dict[Name, tuple[int, Name]] = {}
    for record in response.records:
        if record.type == _CNAME:
            name = dns.target(wire, record)
            if name is not None:
                aliases.setdefault(record.name, (record.ttl, name))
    owner = qname
    for _ in range(CHAIN_MAX):
        if owner not in aliases:
            return
        ttl, name = aliases[owner]
        yield owner, ttl, name
        owner = name
