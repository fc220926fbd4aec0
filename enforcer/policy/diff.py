"""What a new policy would change against another one, told before it is put in force."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.rules import Rule
from enforcer.policy.selftest import tried
from enforcer.policy.verdict import Client, Destination, Layer, Verdict

_CLIENT = Client(realm="diff")


@dataclass(frozen=True, slots=True)
class Change:
    """A destination that is treated otherwise."""

    destination: Destination
    before: Verdict
    after: Verdict


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that differs.

    added, removed: rules of our own lists. changed: the same trigger in the same list, with other details.
    third_party: how many names each third-party list had and has, where that differs.
    verdicts: of the names and addresses that own rules and protections of either policy are about.
    """

    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[tuple[Rule, Rule], ...]
    third_party: Mapping[str, tuple[int, int]]
    verdicts: tuple[Change, ...]


def diff(old: Policy, new: Policy, now: datetime) -> Changes:
    """Compare two policies. now: aware, UTC; the moment for which verdicts are asked."""
    before, after = _rules(old), _rules(new)
    names_before, names_after = _counts(old), _counts(new)
    counts = {
        name: (names_before.get(name, 0), names_after.get(name, 0)) for name in sorted({*names_before, *names_after})
    }
    destinations = dict.fromkeys([*_destinations(old), *_destinations(new)])
    judged = (Change(each, old.judge(each, _CLIENT, now), new.judge(each, _CLIENT, now)) for each in destinations)
    return Changes(
        added=tuple(rule for id_, rule in after.items() if id_ not in before),
        removed=tuple(rule for id_, rule in before.items() if id_ not in after),
        changed=tuple(
            (before[id_], rule)
            for id_, rule in after.items()
            if id_ in before and replace(before[id_], file=rule.file, line=rule.line) != rule
        ),
        third_party={name: both for name, both in counts.items() if both[0] != both[1]},
        verdicts=tuple(each for each in judged if each.before.action is not each.after.action),
    )


def _rules(policy: Policy) -> dict[str, Rule]:
    return {rule.id: rule for each in policy.lists for rule in each.rules}


def _counts(policy: Policy) -> dict[str, int]:
    return {each.source.name: each.suffixes + each.exacts for each in policy.third_party}


def _destinations(policy: Policy) -> Iterator[Destination]:
    for each in policy.lists:
        for rule in each.rules:
            yield from tried(rule)
        for kept in each.never_block:
            yield Destination(Layer.DNS, name=parse(kept.name))
    for kept in policy.built_in:
        yield Destination(Layer.DNS, name=parse(kept.name))
