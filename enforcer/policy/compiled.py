"""One file that holds a whole policy: what the hub writes, workers map, and an auditor keeps.

    octets      what
    8           "enforcer"
    4           the version of this layout, little-endian
    4           01020304 in the byte order of the machine that wrote it, as in the table's slots
    8           the header's length, little-endian
    header      JSON, UTF-8: settings, lists with their rules and protections, third-party lists without their names
    heap        names (policy/table.py)
    slots       names

The last three begin at multiples of 8. The same lists, in the same order, and settings give the same octets: the
SHA-256 of the file says what was in force.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv6Network
from itertools import chain
from struct import Struct
from types import MappingProxyType
from typing import Protocol, TypedDict

from enforcer.errors import Corrupt, Malformed
from enforcer.policy.lists import BlockList, Title
from enforcer.policy.names import display, parse
from enforcer.policy.patterns import read_pattern
from enforcer.policy.protections import BUILT_IN, BUILT_IN_LIST, Protection
from enforcer.policy.rules import Answer, Confidence, Evidence, Kind, Mode, Port, Rule, Transport
from enforcer.policy.table import EXACT, OWN, PASS, SUFFIX, Entries, Mapped, Table, build
from enforcer.policy.thirdparty import Source, ThirdParty
from enforcer.wire.name import Name

_MAGIC = b"enforcer"
_VERSION = 2
_PREFIX = Struct("<8sI4sQ")
_ORDER = Struct("=I").pack(0x01020304)
_STEP = 8
NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What judging needs to know beside the lists.

    answer: for rules whose list names none. ban: likewise.
    nat64: networks whose addresses are judged as the IPv4 addresses in them (RFC 6052).
    upstreams: addresses (as `ipaddress` prints them) of our encrypted listeners and of the resolvers that we ask; rules
    of the service `bypass` leave them out.
    """

    answer: Answer = Answer.NXDOMAIN
    ban: str | None = None
    nat64: tuple[IPv6Network, ...] = (NAT64,)
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """A third-party list in a compiled policy: its source, and how many names of each kind it blocks."""

    source: Source
    suffixes: int
    exacts: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy as stored. tails: of each pattern, by its text. built_in: the protections that were built in then."""

    settings: PolicySettings
    lists: tuple[BlockList, ...]
    tails: Mapping[str, tuple[Name, ...]]
    built_in: tuple[Protection, ...]
    third_party: tuple[Counted, ...]
    table: Table


class File(Mapped, Protocol):
    """A mapped file, or its octets."""

    def __len__(self) -> int: ...


def compile_policy(lists: Sequence[BlockList], third_party: Sequence[ThirdParty], settings: PolicySettings) -> bytes:
    """The file's octets. Lists count in their order: of two rules that are equally exact, the first is reported.

    Raises Mistakes for third-party lists that cannot be put into a table.
    """
    rules = [rule for each in lists for rule in each.rules]
    tails = {rule.trigger: read_pattern(rule.trigger).tails for rule in rules if rule.kind is Kind.REGEX}
    named = [parse(rule.trigger) for rule in rules if rule.kind in {Kind.EXACT, Kind.SUFFIX}]
    kept = [parse(each.name) for each in (*(each for one in lists for each in one.never_block), *BUILT_IN)]
    entries = [Entries(dict.fromkeys([*named, *chain.from_iterable(tails.values()), *kept], 0), OWN)]
    for number, each in enumerate(third_party):
        entries += (
            Entries(each.suffixes, SUFFIX, number),
            Entries(each.exacts, EXACT, number),
            Entries(each.passes, PASS, number),
        )
    parts = build(entries, chain(kept, *(each.passes for each in third_party)))
    heap, slots = memoryview(parts.heap), memoryview(parts.slots).cast("B")
    header = {
        "settings": _settings_out(settings),
        "lists": [_list_out(each) for each in lists],
        "tails": {text: [display(tail) for tail in each] for text, each in tails.items()},
        "built_in": [_protection_out(each) for each in BUILT_IN],
        "third_party": [_third_party_out(each) for each in third_party],
        "table": [len(heap), len(slots), parts.widest],
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    prefix = _PREFIX.pack(_MAGIC, _VERSION, _ORDER, len(text))
    return b"".join((prefix, text, bytes(-len(text) % _STEP), heap, bytes(-len(heap) % _STEP), slots))


def read_compiled(data: File) -> Compiled:
    """Read what `compile_policy` wrote; names stay where they are. Raises Corrupt for anything else."""
    if len(data) < _PREFIX.size:
        raise Corrupt("the policy is cut short; compile it again")
    magic, version, order, size = _PREFIX.unpack(data[: _PREFIX.size])
    if magic != _MAGIC:
        raise Corrupt("not a compiled policy; compile it again")
    if version != _VERSION or order != _ORDER:
        raise Corrupt("the policy was compiled by another release, or on another kind of machine; compile it again")
    try:
        header = json.loads(data[_PREFIX.size : _PREFIX.size + size])
        heap, slots, widest = header["table"]
        heap_at = _PREFIX.size + size + -size % _STEP
        slots_at = heap_at + heap + -heap % _STEP
        if len(data) != slots_at + slots:
            raise Corrupt(f"the policy has {len(data)} octets instead of {slots_at + slots}; compile it again")
        settings = _settings_in(header["settings"])
        return Compiled(
            settings=settings,
            lists=tuple(_list_in(each, settings.ban) for each in header["lists"]),
            tails={text: tuple(parse(tail) for tail in each) for text, each in header["tails"].items()},
            built_in=tuple(_protection_in(each, BUILT_IN_LIST, BUILT_IN_LIST) for each in header["built_in"]),
            third_party=tuple(_third_party_in(each) for each in header["third_party"]),
            table=Table(data, heap_at, slice(slots_at, slots_at + slots), widest),
        )
    except (AttributeError, IndexError, KeyError, Malformed, TypeError, ValueError) as error:
        raise damaged(error) from None


def damaged(error: Exception) -> Corrupt:
    """What to raise for a header in which something is not what it should be."""
    return Corrupt(f"the policy's header is damaged ({type(error).__name__}); compile it again")


# The header's JSON, both ways. Rules and protections, of which there are many, are rows without keys.

# kind, trigger, line, part, evidence, confidence, source, seen, expires, ports, dedicated
type _RuleRow = tuple[str, str, int, str, str, str, str, str | None, str | None, list[str], bool]
# kind, name, line, why, source
type _ProtectionRow = tuple[str, str, int | None, str, str | None]


class _Settings(TypedDict):
    answer: str
    ban: str | None
    nat64: list[str]
    upstreams: list[str]


class _List(TypedDict):
    name: str
    file: str
    service: str
    title: tuple[str, str]
    vendor: str
    version: str
    ban: str | None
    mode: str
    answer: str | None
    sources: dict[str, str]
    rules: list[_RuleRow]
    never_block: list[_ProtectionRow]


class _ThirdParty(TypedDict):
    name: str
    file: str
    service: str
    part: str
    evidence: str
    suffixes: int
    exacts: int


def _settings_out(settings: PolicySettings) -> _Settings:
    return {
        "answer": settings.answer,
        "ban": settings.ban,
        "nat64": [str(network) for network in settings.nat64],
        "upstreams": list(settings.upstreams),
    }


def _settings_in(stored: _Settings) -> PolicySettings:
    return PolicySettings(
        answer=Answer(stored["answer"]),
        ban=stored["ban"],
        nat64=tuple(IPv6Network(text) for text in stored["nat64"]),
        upstreams=tuple(stored["upstreams"]),
    )


def _list_out(each: BlockList) -> _List:
    return {
        "name": each.name,
        "file": each.file,
        "service": each.service,
        "title": (each.title.en, each.title.fr),
        "vendor": each.vendor,
        "version": each.version,
        "ban": each.ban,
        "mode": each.mode,
        "answer": each.answer,
        "sources": dict(each.sources),
        "rules": [_rule_out(rule) for rule in each.rules],
        "never_block": [_protection_out(protection) for protection in each.never_block],
    }


def _list_in(stored: _List, default_ban: str | None) -> BlockList:
    """As it was read, but that its rules now name the configuration's ban where the list names none."""
    name, file, service = stored["name"], stored["file"], stored["service"]
    ban, mode = stored["ban"], Mode(stored["mode"])
    answer = None if stored["answer"] is None else Answer(stored["answer"])

    def rule(row: _RuleRow) -> Rule:
        kind, trigger, line, part, evidence, confidence, source, seen, expires, ports, dedicated = row
        return Rule(
            kind=Kind(kind),
            trigger=trigger,
            list=name,
            file=file,
            line=line,
            service=service,
            part=part,
            evidence=Evidence(evidence),
            confidence=Confidence(confidence),
            source=source,
            seen=seen,
            expires=date.fromisoformat(expires) if expires else None,
            ports=tuple(_port_in(port) for port in ports),
            ban=ban or default_ban,
            mode=mode,
            answer=answer,
            dedicated=dedicated,
        )

    return BlockList(
        name=name,
        file=file,
        service=service,
        title=Title(*stored["title"]),
        vendor=stored["vendor"],
        version=stored["version"],
        ban=ban,
        mode=mode,
        answer=answer,
        sources=MappingProxyType(stored["sources"]),
        rules=tuple(rule(row) for row in stored["rules"]),
        never_block=tuple(_protection_in(row, name, file) for row in stored["never_block"]),
        warnings=(),
    )


def _rule_out(rule: Rule) -> _RuleRow:
    return (
        rule.kind,
        rule.trigger,
        rule.line,
        rule.part,
        rule.evidence,
        rule.confidence,
        rule.source,
        rule.seen,
        rule.expires.isoformat() if rule.expires else None,
        [str(port) for port in rule.ports],
        rule.dedicated,
    )


def _port_in(text: str) -> Port:
    transport, _, number = text.partition("/")
    return Port(Transport(transport), int(number))


def _protection_out(each: Protection) -> _ProtectionRow:
    return each.kind, each.name, each.line, each.why, each.source


def _protection_in(row: _ProtectionRow, list_name: str, file: str) -> Protection:
    kind, name, line, why, source = row
    return Protection(Kind(kind), name, why, list_name, file, line, source)


def _third_party_out(each: ThirdParty) -> _ThirdParty:
    return {
        "name": each.source.name,
        "file": each.source.file,
        "service": each.source.service,
        "part": each.source.part,
        "evidence": each.source.evidence,
        "suffixes": len(each.suffixes),
        "exacts": len(each.exacts),
    }


def _third_party_in(stored: _ThirdParty) -> Counted:
    evidence = Evidence(stored["evidence"])
    source = Source(stored["name"], stored["file"], stored["service"], stored["part"], evidence)
    return Counted(source, stored["suffixes"], stored["exacts"])
