"""`enforcer check` and `enforcer explain`: the verdict of the workers, without them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from enforcer.cli.behalf import behalf_options, in_force
from enforcer.cli.context import config_option, json_option
from enforcer.cli.output import Value, print_facts, print_json, printable, say
from enforcer.cli.target import read_target
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.protections import Protection, covers
from enforcer.policy.rules import Evidence, Rule
from enforcer.policy.verdict import Action, Client, Destination, Layer, Verdict
from enforcer.processes.clock import utc_now

_WRONG_USE = 2
_MEANING = {
    Evidence.APP: "app: only the application talks to it",
    Evidence.WEB: "web: pages link to it or embed it",
    Evidence.SHARED: "shared: several products or uses",
}


@dataclass(frozen=True, slots=True)
class _Judged:
    """A target with the verdict on it. destination: of those that the target may mean, the one that decides."""

    target: str
    destination: Destination
    verdict: Verdict

    def as_json(self) -> dict[str, object]:
        """What `check --json` says."""
        rule = self.verdict.rule
        return {
            "target": self.target,
            "layer": self.destination.layer,
            "action": self.verdict.action,
            "service": rule and rule.service,
            "part": rule and rule.part,
            "rule": rule and rule.id,
            "list": rule and rule.list,
            "line": rule and rule.line,
            "why": "; ".join(self.verdict.why[1:]),
        }


@click.command()
@config_option
@behalf_options
@json_option("Print one object a line: target, layer, action, service, part, rule, list, line, why.")
@click.argument("targets", metavar="TARGET…", nargs=-1, required=True)
def check(config: Path | None, device: str | None, realm: str | None, as_json: bool, targets: tuple[str, ...]) -> None:
    """Say what the policy does with names, addresses, host:port, [v6]:port and URLs.

    A "-" reads targets from standard input, one a line. The lists of the configuration are read as they are now, in
    force or not; without a configuration, those that come with Enforcer. Nothing is asked of the network.

    It is the verdict of the policy: what the resolver answers by itself, such as localhost, is allowed here.

    The exit status is 0 when all are allowed (or only observed), 1 when some are blocked, 2 for what is no target, and
    when the policy cannot be asked.

    Example: enforcer check www.canada.ca long.weixin.qq.com 203.0.113.7:443 http://192.0.2.1/mmtls/
    """
    now = utc_now()
    policy, client = in_force(config, device, realm, now)
    status = 0
    for target in _each(targets):
        try:
            judged = _judge(policy, client, now, target)
        except Malformed as error:
            say(error.what, err=True)
            status = _WRONG_USE
            continue
        if judged.verdict.action is Action.BLOCK:
            status = max(status, 1)
        if as_json:
            print_json(judged.as_json())
        else:
            say(_in_short(judged))
    click.get_current_context().exit(status)


@click.command()
@config_option
@behalf_options
@json_option("Print one object: what check prints, and everything else that is known.")
@click.argument("target", metavar="TARGET")
def explain(config: Path | None, device: str | None, realm: str | None, as_json: bool, target: str) -> None:
    """Say why a target is blocked or allowed: the rule, its file and line, its source, and every step.

    Example: enforcer explain long.weixin.qq.com
    """
    now = utc_now()
    policy, client = in_force(config, device, realm, now)
    try:
        judged = _judge(policy, client, now, target)
    except Malformed as error:
        raise click.UsageError(printable(error.what)) from None
    kept = list(_protections(policy, judged.destination))
    rule = judged.verdict.rule
    if as_json:
        print_json({**judged.as_json(), **_details(policy, judged), "never_block": [*map(str, kept)]})
        return
    say(f"{target}: {judged.verdict.action}")
    click.echo()
    facts: dict[str, Value | Sequence[str]] = {} if rule is None else _facts(policy, judged, rule)
    if kept:
        facts["never_block"] = [str(each) for each in kept]
    print_facts({**facts, "steps": [f"{number}. {step}" for number, step in enumerate(judged.verdict.why, 1)]})


def _each(targets: Sequence[str]) -> Iterator[str]:
    """The targets; `-` is standard input, line by line, without empty lines and comments."""
    for target in targets:
        if target != "-":
            yield target
            continue
        for line in sys.stdin.buffer:
            text = line.decode(errors="replace").strip()
            if text and not text.startswith("#"):
                yield text


def _judge(policy: Policy, client: Client, now: datetime, target: str) -> _Judged:
    """Raises Malformed for what is no target."""
    judged = [
        _Judged(target, destination, policy.judge(destination, client, now, explain=True))
        for destination in read_target(target)
    ]
    return min(judged, key=lambda each: list(Action).index(each.verdict.action))


def _in_short(judged: _Judged) -> str:
    rule = judged.verdict.rule
    start = f"{judged.verdict.action:<7}  {judged.target}"
    return start if rule is None else f"{start}  {rule.service} {rule.part}  {rule.id}  {rule.file}:{rule.line}"


def _protections(policy: Policy, destination: Destination) -> Iterator[Protection]:
    """Every never_block entry that is about the name."""
    name = destination.name
    if name is not None:
        for kept in (*(kept for each in policy.lists for kept in each.never_block), *policy.built_in):
            if covers(kept.kind, parse(kept.name), name):
                yield kept


def _sources(policy: Policy, rule: Rule) -> dict[str, str]:
    """What the codes of a rule stand for; empty for a list without codes."""
    known = next((each.sources for each in policy.lists if each.name == rule.list), {})
    return {code: known[code] for code in (each.strip() for each in rule.source.split(",")) if code in known}


def _answer(judged: _Judged) -> str | None:
    """How a question is answered; None for what is no question, or is allowed."""
    verdict = judged.verdict
    return verdict.answer if judged.destination.layer is Layer.DNS and verdict.rule is not None else None


def _details(policy: Policy, judged: _Judged) -> dict[str, object]:
    """What `explain --json` adds; the rule's keys are null where none decides."""
    rule = judged.verdict.rule
    return {
        "file": rule and rule.file,
        "sources": rule and _sources(policy, rule),
        "ban": rule and rule.ban,
        "evidence": rule and rule.evidence,
        "confidence": rule and rule.confidence,
        "seen": rule and rule.seen,
        "expires": rule and rule.expires and rule.expires.isoformat(),
        "answer": _answer(judged),
        "steps": judged.verdict.why,
    }


def _facts(policy: Policy, judged: _Judged, rule: Rule) -> dict[str, Value | Sequence[str]]:
    """What `explain` says of the rule that decides."""
    sources = [f"{code}: {text}" for code, text in _sources(policy, rule).items()]
    return {
        "service": f"{rule.service} ({policy.titles[rule.service].en})",
        "part": rule.part,
        "rule": rule.id,
        "written": f"{rule.file}:{rule.line}",
        "source": sources or rule.source,
        "ban": rule.ban,
        "evidence": _MEANING[rule.evidence],
        "confidence": rule.confidence,
        "seen": rule.seen,
        "expires": "never" if rule.expires is None else rule.expires.isoformat(),
        "answer": _answer(judged),
    }
