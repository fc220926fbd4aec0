"""The one place where a destination meets the lists.

A destination may show several things; each rule that matches any of them is a candidate, in this order: rules of our
own lists for the name (exact, then patterns, then the longest suffix), the path, the fingerprint, the address (the
longest prefix); then third-party lists, for the name. What expired, is exempt or protected drops out. Of the rest the
first one that blocks decides, else the first one that observes: a list that only observes never opens what another one
blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_network
from types import MappingProxyType
from typing import Self

from enforcer.errors import Malformed
from enforcer.policy.compiled import Compiled, Counted, File, PolicySettings, damaged, read_compiled
from enforcer.policy.explain import Step, explained
from enforcer.policy.lists import BlockList, Title
from enforcer.policy.names import display, parse
from enforcer.policy.patterns import matches
from enforcer.policy.protections import Protection
from enforcer.policy.rules import Answer, Confidence, Kind, Mode, Rule
from enforcer.policy.table import EXACT, OWN, PASS, SUFFIX, Hit, Table
from enforcer.policy.verdict import Action, Address, Client, Destination, Layer, Verdict
from enforcer.wire.name import Name

BYPASS = "bypass"
"""The service of ways round the filter, which our own upstreams are not."""

_ALLOWED = Verdict(Action.ALLOW)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that matches. matched: the name at which; None off names. whole: it matches all that is below as well.

    spared: why the rule does not count, whoever the client is. always: neither client nor time nor port can spare it,
    unless the client has an exemption.
    """

    rule: Rule
    matched: Name | None = None
    whole: bool = False
    spared: str | None = None
    always: bool = False


@dataclass(frozen=True, slots=True)
class _OnName:
    """What of our own hangs on one name."""

    exact: list[Candidate]
    suffix: list[Candidate]
    patterns: list[Rule]
    protections: list[Protection]


@dataclass(frozen=True, slots=True)
class _Path:
    """An `http_path` rule taken apart. host: None for every host."""

    host: Name | None
    prefix: str
    candidate: Candidate


type _Networks = Mapping[int, Sequence[tuple[int, Mapping[int, list[Candidate]]]]]
"""By IP version: how many bits are left of the address, and the networks by the bits that are not; longest first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that is in force. It never changes: a reload makes another one.

    ruleset: the first 12 hex digits of the SHA-256 of the compiled policy. lists: our own. third_party: the others.
    built_in: what third-party lists never block.
    """

    ruleset: str
    settings: PolicySettings
    lists: tuple[BlockList, ...]
    third_party: tuple[Counted, ...]
    built_in: tuple[Protection, ...]
    _table: Table
    _on_names: Mapping[Name, _OnName]
    _paths: tuple[_Path, ...]
    _fingerprints: Mapping[str, list[Candidate]]
    _networks: _Networks

    @classmethod
    def load(cls, data: File, ruleset: str | None = None) -> Self:
        """Take a compiled policy into use: an mmap or bytes, which must stay as it is while the policy lives.

        ruleset: spares reading all of `data` for its SHA-256. Raises Corrupt for what `compile_policy` did not write.
        """
        compiled = read_compiled(data)
        rules = [rule for each in compiled.lists for rule in each.rules]
        try:
            return cls(
                ruleset=ruleset or sha256(data).hexdigest()[:12],
                settings=compiled.settings,
                lists=compiled.lists,
                third_party=compiled.third_party,
                built_in=compiled.built_in,
                _table=compiled.table,
                _on_names=_on_names(compiled, rules),
                _paths=_paths(rules),
                _fingerprints=_fingerprints(rules),
                _networks=_networks(rules),
            )
        except (KeyError, Malformed, ValueError) as error:  # a trigger that no list can have written
            raise damaged(error) from None

    @property
    def services(self) -> tuple[str, ...]:
        """Every service that a list names, in the order of the alphabet."""
        named = {each.service for each in self.lists} | {each.source.service for each in self.third_party}
        return tuple(sorted(named))

    @property
    def titles(self) -> Mapping[str, Title]:
        """What people call each service; of a service that no list of our own names, the service itself."""
        titles = {service: Title(service, service) for service in self.services}
        titles.update((each.service, each.title) for each in reversed(self.lists))
        return MappingProxyType(titles)

    @property
    def rules_by(self) -> Mapping[tuple[str, str], int]:
        """How many rules there are by service and kind, expired ones too."""
        counts: dict[tuple[str, str], int] = {}
        for each in self.lists:
            for rule in each.rules:
                key = each.service, rule.kind.value
                counts[key] = counts.get(key, 0) + 1
        for counted in self.third_party:
            for kind, count in ((Kind.SUFFIX, counted.suffixes), (Kind.EXACT, counted.exacts)):
                key = counted.source.service, kind.value
                counts[key] = counts.get(key, 0) + count
        return MappingProxyType(counts)

    def judge(self, destination: Destination, client: Client, now: datetime, *, explain: bool = False) -> Verdict:
        """What happens to this attempt.

        now: aware, UTC. explain: fill the verdict's `why`, which allowed destinations have too.
        """
        candidates = self._candidates(destination)
        if not candidates and not explain:
            return _ALLOWED
        spared = [
            None if each.always and not client.exempt else self._spared(each, destination, client, now)
            for each in candidates
        ]
        counting = [candidate for candidate, why in zip(candidates, spared, strict=True) if why is None]
        monitored = client.mode is Mode.MONITOR
        enforced = [] if monitored else [each for each in counting if each.rule.mode is Mode.ENFORCE]
        verdict = _ALLOWED
        if enforced:
            first = enforced[0]
            answer = self._answer(first.rule, whole=any(each.whole for each in enforced))
            verdict = Verdict(Action.BLOCK, first.rule, first.matched, answer)
        elif counting:
            first = counting[0]
            verdict = Verdict(Action.OBSERVE, first.rule, first.matched, self._answer(first.rule, whole=first.whole))
        if not explain:
            return verdict
        steps = [Step(each.rule, why) for each, why in zip(candidates, spared, strict=True)]
        return replace(verdict, why=explained(destination, steps, verdict, client.mode))

    def lists_name(self, name: Name) -> bool:
        """Whether a list says anything of a name; if none does, `judge` allows it to everybody, at twice the cost."""
        return bool(self._table.find(name))

    def lists_ipv4(self, packed: bytes) -> bool:
        """The same of an address; True for octets that are none, which are not for this to let through."""
        number = int.from_bytes(packed)
        for rest, networks in self._networks[4]:  # a generator would cost as much again
            if number >> rest in networks:
                return True
        return len(packed) != 4

    def _answer(self, rule: Rule, *, whole: bool) -> Answer:
        """whole: everything below the name that matched is blocked too; else NXDOMAIN would deny it (RFC 8020 §2)."""
        answer = rule.answer or self.settings.answer
        return Answer.NODATA if answer is Answer.NXDOMAIN and not whole else answer

    def _spared(self, candidate: Candidate, destination: Destination, client: Client, now: datetime) -> str | None:
        """Why a rule that matches does not count for this client, now; None when it does."""
        rule = candidate.rule
        if candidate.spared is not None:
            return candidate.spared
        if rule.ports and (destination.layer is Layer.DNS or destination.port not in rule.ports):
            ports = ", ".join(map(str, rule.ports))
            return f"it is for {ports} alone"
        if rule.expires is not None and rule.expires <= now.astimezone(UTC).date():
            return f"it expired on {rule.expires}"
        until = client.exempt.get(rule.service)
        if until is not None and now < until:
            return f"the client may reach {rule.service} until {until.isoformat()}"
        if rule.service == BYPASS and self._is_upstream(destination.address):
            return "it is our own resolver, or one that we ask"
        return None

    def _is_upstream(self, address: Address | None) -> bool:
        upstreams = self.settings.upstreams
        return bool(upstreams) and address is not None and str(self._plain(address)) in upstreams

    def _candidates(self, destination: Destination) -> list[Candidate]:
        name, path, fingerprint = destination.name, destination.path, destination.fingerprint
        found: list[Candidate] = []
        hits = self._table.find(name) if name is not None else ()
        if name is not None and hits:
            found += self._own_names(name, hits)
        if path is not None and destination.layer is Layer.HTTP:
            found += [each.candidate for each in self._paths if _on(each, name, path)]
        if fingerprint is not None:
            found += self._fingerprints.get(fingerprint, ())
        if destination.address is not None:
            found += self._on_address(destination.address)
        if name is not None and hits:
            found += self._third_party_names(name, hits)
        return found

    def _own_names(self, name: Name, hits: Sequence[Hit]) -> list[Candidate]:
        exact: list[Candidate] = []
        patterns: list[Rule] = []
        suffixes: list[Candidate] = []
        for start, what, _, _ in reversed(hits):
            if what == OWN:
                each = self._on_names[name[start:]]
                if start == 0:
                    exact += each.exact
                patterns += each.patterns
                suffixes += each.suffix
        if patterns:
            shown = display(name)
            exact += [_candidate(rule, name) for rule in patterns if matches(rule.trigger, shown)]
        return exact + suffixes

    def _third_party_names(self, name: Name, hits: Sequence[Hit]) -> list[Candidate]:
        """Exact names, then suffixes, the longest first. A list passes only what it would block itself."""
        found = [hit for hit in reversed(hits) if hit[1] != OWN]
        if not found:
            return []
        protection = self._protection(name, hits)
        passing = {number for _, what, number, _ in found if what == PASS}
        named = [hit for hit in found if hit[1] == EXACT and hit[0] == 0] + [hit for hit in found if hit[1] & SUFFIX]
        candidates = []
        for start, what, number, line in named:
            matched = name[start:]
            rule = self._third_party_rule(Kind.EXACT if what == EXACT else Kind.SUFFIX, matched, number, line)
            spared = f"the name is protected: {protection}" if protection else None
            if number in passing:
                spared = "the same list lets the name through"
            candidates.append(Candidate(rule, matched, what == SUFFIX, spared, rule.service != BYPASS and not spared))
        return candidates

    def _protection(self, name: Name, hits: Sequence[Hit]) -> Protection | None:
        for start, what, _, _ in hits:
            if what == OWN:
                for each in self._on_names[name[start:]].protections:
                    if start == 0 or each.kind is Kind.SUFFIX:
                        return each
        return None

    def _third_party_rule(self, kind: Kind, matched: Name, number: int, line: int) -> Rule:
        source = self.third_party[number].source
        return Rule(
            kind=kind,
            trigger=display(matched),
            list=source.name,
            file=source.file,
            line=line,
            service=source.service,
            part=source.part,
            evidence=source.evidence,
            confidence=Confidence.SINGLE,
            source=source.name,
            ban=self.settings.ban,
        )

    def _on_address(self, address: Address) -> list[Candidate]:
        plain = self._plain(address)
        number = int(plain)
        found: list[Candidate] = []
        for rest, networks in self._networks[plain.version]:
            found += networks.get(number >> rest, ())
        return found

    def _plain(self, address: Address) -> Address:
        """The IPv4 address inside of an IPv6 one that stands for it (RFC 4291 §2.5.5.2, RFC 6052 §2.2)."""
        if isinstance(address, IPv4Address):
            return address
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        for network in self.settings.nat64:
            if address in network:
                return _embedded(address, network.prefixlen)
        return address


def _candidate(rule: Rule, matched: Name | None = None, *, whole: bool = False) -> Candidate:
    always = not rule.ports and rule.expires is None and rule.service != BYPASS
    return Candidate(rule, matched, whole, always=always)


def _on_names(compiled: Compiled, rules: Sequence[Rule]) -> Mapping[Name, _OnName]:
    found: dict[Name, _OnName] = {}

    def on(name: Name) -> _OnName:
        return found.setdefault(name, _OnName([], [], [], []))

    for rule in rules:
        match rule.kind:
            case Kind.EXACT:
                name = parse(rule.trigger)
                on(name).exact.append(_candidate(rule, name))
            case Kind.SUFFIX:
                name = parse(rule.trigger)
                on(name).suffix.append(_candidate(rule, name, whole=True))
            case Kind.REGEX:
                for tail in compiled.tails[rule.trigger]:
                    on(tail).patterns.append(rule)
    for each in (*(kept for one in compiled.lists for kept in one.never_block), *compiled.built_in):
        on(parse(each.name)).protections.append(each)
    return found


def _paths(rules: Sequence[Rule]) -> tuple[_Path, ...]:
    """Paths of one host before those of all, longer ones before shorter ones."""
    found = []
    for rule in rules:
        if rule.kind is Kind.HTTP_PATH:
            host, _, path = rule.trigger.partition("/")
            found.append(_Path(parse(host) if host else None, f"/{path}", _candidate(rule)))
    return tuple(sorted(found, key=lambda each: (each.host is None, -len(each.prefix))))


def _on(each: _Path, name: Name | None, path: str) -> bool:
    return each.host in {None, name} and path.startswith(each.prefix)


def _fingerprints(rules: Sequence[Rule]) -> Mapping[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for rule in rules:
        if rule.kind is Kind.FINGERPRINT:
            found.setdefault(rule.trigger, []).append(_candidate(rule))
    return found


def _networks(rules: Sequence[Rule]) -> _Networks:
    found: dict[int, dict[int, dict[int, list[Candidate]]]] = {4: {}, 6: {}}
    for rule in rules:
        if rule.kind is Kind.CIDR:
            network = ip_network(rule.trigger)
            rest = network.max_prefixlen - network.prefixlen
            networks = found[network.version].setdefault(rest, {})
            networks.setdefault(int(network.network_address) >> rest, []).append(_candidate(rule))
    return {version: sorted(by_rest.items()) for version, by_rest in found.items()}


def _embedded(address: IPv6Address, length: int) -> IPv4Address:
    """The four octets behind the prefix, without octet 8, which is zero (RFC 6052 §2.2)."""
    octets = address.packed
    return IPv4Address(bytes(octets[at] for at in range(length // 8, 16) if at != 8)[:4])
