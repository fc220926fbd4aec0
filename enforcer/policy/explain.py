"""A verdict in words, one sentence a step, for `enforcer explain`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enforcer.policy.names import display
from enforcer.policy.rules import Mode, Rule
from enforcer.policy.verdict import Action, Destination, Layer, Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that matches, in the order in which rules are asked. spared: why it does not count; None: it does."""

    rule: Rule
    spared: str | None


def explained(destination: Destination, steps: Sequence[Step], verdict: Verdict, mode: Mode) -> tuple[str, ...]:
    """Each step from the destination to the verdict. mode: the client's."""
    layer = destination.layer
    return (f"Layer {layer} shows {_shown(destination)}", *_rules(steps), _end(layer, verdict, mode))


def _shown(destination: Destination) -> str:
    shown = [
        None if destination.name is None else f'the name "{display(destination.name)}"',
        None if destination.path is None else "a path",
        None if destination.fingerprint is None else f"the fingerprint {destination.fingerprint}",
        None if destination.address is None else f"the address {destination.address}",
        None if destination.port is None else f"the port {destination.port}",
    ]
    return ", ".join(each for each in shown if each is not None) or "nothing"


def _rules(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        rule = step.rule
        what = f"{rule.file}:{rule.line} matches: {rule.kind} {rule.trigger}, {rule.service} {rule.part}"
        monitor = ", in a list that only observes" if rule.mode is Mode.MONITOR else ""
        counts = "" if step.spared is None else f"; it does not count, since {step.spared}"
        yield f"{what}, source {rule.source}{monitor}{counts}"
    if not steps:
        yield "No rule matches"


def _end(layer: Layer, verdict: Verdict, mode: Mode) -> str:
    if verdict.rule is None:
        return "Allowed"
    if verdict.action is Action.OBSERVE:
        who = "the realm" if mode is Mode.MONITOR else "the list"
        return f"Observed as {verdict.rule.id}, not blocked, since {who} is in monitor mode"
    answered = f"; a question is answered with {verdict.answer}" if layer is Layer.DNS else ""
    return f"Blocked as {verdict.rule.id}{answered}"
