"""Does a compiled policy do what its lists say? Asked before it is put in force."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.patterns import read_pattern
from enforcer.policy.rules import Kind, Rule
from enforcer.policy.verdict import Action, Client, Destination, Layer
from enforcer.wire.name import Name

_LONGEST = 255
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)  # no rule has expired
_CLIENT = Client(realm="self-test")


def self_test(policy: Policy) -> list[str]:
    """What of a policy does not do what its lists say, a sentence each; empty when all is well.

    Every rule of our own lists blocks what it is written for, and no protected name is blocked by its own list.
    """
    policy = replace(policy, settings=replace(policy.settings, upstreams=()))
    failures = []
    for each in policy.lists:
        for rule in each.rules:
            verdicts = [policy.judge(destination, _CLIENT, _BEFORE_ALL) for destination in tried(rule)]
            if any(verdict.action is Action.ALLOW for verdict in verdicts):
                failures.append(f"{rule.file}:{rule.line}: {rule.id} lets through what it is written for")
        for kept in each.never_block:
            for name in _and_below(kept.kind, parse(kept.name)):
                found = policy.judge(Destination(Layer.DNS, name=name), _CLIENT, _BEFORE_ALL).rule
                if found is not None and found.list == each.name:
                    failures.append(f"{kept}: {found.id} in line {found.line} blocks it")
    return failures


def tried(rule: Rule) -> Iterator[Destination]:
    """Destinations that the rule is written for."""
    match rule.kind:
        case Kind.EXACT | Kind.SUFFIX:
            yield from (Destination(Layer.DNS, name=name) for name in _and_below(rule.kind, parse(rule.trigger)))
        case Kind.REGEX:
            yield Destination(Layer.DNS, name=parse(read_pattern(rule.trigger).example))
        case Kind.CIDR:
            network = ip_network(rule.trigger)
            for address in (network[0], network[-1]):
                for port in rule.ports or (None,):
                    yield Destination(Layer.IP, address=address, port=port)
        case Kind.FINGERPRINT:
            yield Destination(Layer.MMTLS, fingerprint=rule.trigger)
        case Kind.HTTP_PATH:
            host, _, path = rule.trigger.partition("/")
            yield Destination(Layer.HTTP, name=parse(host) if host else None, path=f"/{path}")


def _and_below(kind: Kind, name: Name) -> Iterator[Name]:
    """The name, and for a suffix one below it, if a name can be that long."""
    yield name
    if kind is Kind.SUFFIX and len(name) + 2 <= _LONGEST:
        yield b"\1a" + name
