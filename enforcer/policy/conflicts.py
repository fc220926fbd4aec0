"""What the lines of one list say against each other."""

from collections.abc import Iterable, Iterator, Sequence

from enforcer.errors import Mistake
from enforcer.policy.names import parse
from enforcer.policy.patterns import matches, matches_below
from enforcer.policy.protections import Protection
from enforcer.policy.rules import Kind, Rule
from enforcer.wire.name import Name, parents


def conflicts(rules: Iterable[Rule], never_block: Iterable[Protection]) -> Iterator[Mistake]:
    """Rules and protections that are there twice, rules that add nothing, rules that cover what is protected."""
    rules, never_block = tuple(rules), tuple(never_block)
    yield from _twice(rules, never_block)
    named = [(parse(rule.trigger), rule) for rule in rules if rule.kind in {Kind.EXACT, Kind.SUFFIX}]
    yield from _needless(named)
    for rule, protected in covering(rules, never_block):
        what = f"{rule.kind} {rule.trigger} covers {protected.name}, which line {protected.line} protects"
        yield Mistake(rule.file, rule.line, f"{what}; narrow one of the two")


def covering(rules: Iterable[Rule], protections: Iterable[Protection]) -> Iterator[tuple[Rule, Protection]]:
    """Name rules that match a protected name, or something below a protected suffix, each with the protection."""
    rules, protections = tuple(rules), tuple(protections)
    named = [(parse(rule.trigger), rule) for rule in rules if rule.kind in {Kind.EXACT, Kind.SUFFIX}]
    yield from _names_covering(named, [(parse(each.name), each) for each in protections])
    yield from _patterns_covering(rules, protections)


def _twice(rules: Iterable[Rule], never_block: Iterable[Protection]) -> Iterator[Mistake]:
    first: dict[str, int | None] = {}
    for rule in rules:
        if rule.id in first:
            what = f"{rule.kind} {rule.trigger} is written twice, first in line {first[rule.id]}; keep one"
            yield Mistake(rule.file, rule.line, what)
        first.setdefault(rule.id, rule.line)
    first.clear()
    for each in never_block:
        text = f"{each.kind} {each.name}"
        if text in first:
            yield Mistake(each.file, each.line, f"{text} is protected twice, first in line {first[text]}; keep one")
        first.setdefault(text, each.line)


def _needless(named: Sequence[tuple[Name, Rule]]) -> Iterator[Mistake]:
    """Rules inside of a suffix rule that names the same part."""
    suffixes = {name: rule for name, rule in named if rule.kind is Kind.SUFFIX}
    for name, rule in named:
        around = [suffixes[above] for above in (name, *parents(name)) if above in suffixes]
        for wider in around:
            if wider.id != rule.id and wider.part == rule.part:
                what = f"{rule.kind} {rule.trigger} adds nothing to suffix {wider.trigger} in line {wider.line}"
                yield Mistake(rule.file, rule.line, f"{what}; take it out, or name another part")
                break


def _names_covering(
    named: Sequence[tuple[Name, Rule]], safe: Sequence[tuple[Name, Protection]]
) -> Iterator[tuple[Rule, Protection]]:
    """Name rules at or above a protected name, or below a protected suffix."""
    at = {(rule.kind, name): rule for name, rule in reversed(named)}
    kept = {name: protected for name, protected in safe if protected.kind is Kind.SUFFIX}
    for name, protected in safe:
        triggers = [(Kind.EXACT, name), *((Kind.SUFFIX, above) for above in (name, *parents(name)))]
        yield from ((at[trigger], protected) for trigger in triggers if trigger in at)
    for name, rule in named:
        yield from ((rule, kept[above]) for above in parents(name) if above in kept)


def _patterns_covering(rules: Iterable[Rule], safe: Sequence[Protection]) -> Iterator[tuple[Rule, Protection]]:
    """Patterns that match a protected name, or something below a protected suffix."""
    for rule in rules:
        if rule.kind is Kind.REGEX:
            for each in safe:
                below = each.kind is Kind.SUFFIX and matches_below(rule.trigger, each.name)
                if below or matches(rule.trigger, each.name):
                    yield rule, each
