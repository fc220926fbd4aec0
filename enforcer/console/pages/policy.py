"""What is banned now: lists, rules with their sources, protections, exemptions, and what the last version changed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from enforcer.attempts.attempt import Event
from enforcer.attempts.index import Index
from enforcer.config.policy import Exemption
from enforcer.console.asked import Wrong
from enforcer.console.pages.common import days_left, standing, titles_of
from enforcer.console.site import Ask, Missing
from enforcer.errors import Malformed, Unavailable
from enforcer.policy.diff import Changes, diff
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList
from enforcer.policy.names import display, parse
from enforcer.policy.rules import Port, Rule, Transport
from enforcer.policy.verdict import Client, Destination, Layer, Verdict

SOON_DAYS = 30
_VERDICTS, _RULES = 200, 2000
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Held:
    """An exemption, and how many days of it are left; 0: it has ended."""

    exemption: Exemption
    days: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The last change of the policy. at_ms: when it was put in force; kept: whether the old file is still there."""

    old: str
    new: str
    at_ms: int
    who: str | None
    kept: bool
    changes: Changes | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What the policy says of something that somebody wrote."""

    text: str
    shown: str
    verdict: Verdict


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page."""
    policy = ask.site.policies.in_force()
    config = ask.site.config()
    target = ask.words.get("target")
    return {
        "here": "policy",
        "standing": standing(ask.site),
        "policy": policy,
        "config": config,
        "titles": titles_of(ask),
        "lists": [(each, _kinds(each), _ending(each, ask.now)) for each in policy.lists],
        "rules": sum(len(each.rules) for each in policy.lists),
        "names": sum(each.suffixes + each.exacts for each in policy.third_party),
        "exemptions": held(config.policy.exemptions, ask.now),
        "changed": last_change(ask, policy),
        "tried": None if target is None else judged(policy, target, ask.now),
        "details": details,
        "shown": shown,
        "verdicts_most": _VERDICTS,
    }


def one(ask: Ask) -> Mapping[str, object]:
    """The facts of one list's page. Raises Missing."""
    found, rules = searched(ask)
    return {
        "here": "policy",
        "list": found,
        "titles": titles_of(ask),
        "rules": rules[:_RULES],
        "matching": len(rules),
        "today": ask.now.date(),
        "kinds": _kinds(found),
    }


COLUMNS = (
    *("table", "list", "service", "title_en", "title_fr", "vendor", "version", "mode", "ban", "rules", "ending"),
    *("device", "group", "until", "days_left", "reason", "approved_by", "change", "rule", "detail"),
)
"""Of the page's tables as one file; `table` says of which one a row is, and each row has the columns of its own."""

RULE_COLUMNS = (
    *("rule", "kind", "trigger", "ports", "part", "evidence", "confidence"),
    *("source", "seen", "expires", "file", "line", "why"),
)


def export_rows(ask: Ask) -> Iterator[Mapping[str, object]]:
    """The page's tables, row by row."""
    policy, ban = ask.site.policies.in_force(), ask.site.config().policy.ban
    for each in policy.lists:
        yield {
            "table": "lists",
            "list": each.name,
            "service": each.service,
            "title_en": each.title.en,
            "title_fr": each.title.fr,
            "vendor": each.vendor,
            "version": each.version,
            "mode": str(each.mode),
            "ban": each.ban or ban,
            "rules": len(each.rules),
            "ending": _ending(each, ask.now),
        }
    for names in policy.third_party:
        own = {"list": names.source.name, "service": names.source.service, "rules": names.suffixes + names.exacts}
        yield {"table": "lists", **own, "vendor": "third party", "ban": ban}
    for exempt, days in ((each.exemption, each.days) for each in held(ask.site.config().policy.exemptions, ask.now)):
        yield {
            "table": "exemptions",
            "device": exempt.device,
            "group": exempt.group,
            "service": " ".join(exempt.services),
            "until": exempt.until.isoformat(),
            "days_left": days,
            "reason": exempt.reason,
            "approved_by": exempt.approved_by,
        }
    changed = last_change(ask, policy)
    if changed is not None and changed.changes is not None:
        yield from _change_rows(changed.changes)


def rule_rows(ask: Ask) -> Iterator[Mapping[str, object]]:
    """The rules of one list that are searched for, all of them, and what it never blocks. Raises Missing."""
    found, rules = searched(ask)
    for rule in rules:
        yield {
            "rule": rule.id,
            "kind": str(rule.kind),
            "trigger": rule.trigger,
            "ports": " ".join(map(str, rule.ports)),
            "part": rule.part,
            "evidence": str(rule.evidence),
            "confidence": str(rule.confidence),
            "source": rule.source,
            "seen": rule.seen,
            "expires": None if rule.expires is None else rule.expires.isoformat(),
            "file": rule.file.rpartition("/")[2],
            "line": rule.line,
        }
    for kept in found.never_block:
        yield {"rule": "never_block", "kind": str(kept.kind), "trigger": kept.name, "why": kept.why}


def _change_rows(changes: Changes) -> Iterator[Mapping[str, object]]:
    for change, rules in (("added", changes.added), ("removed", changes.removed)):
        for rule in rules:
            yield {"table": "changes", "change": change, "rule": rule.id, "detail": f"{rule.part}, {rule.source}"}
    for before, after in changes.changed:
        told = "; ".join(f"{key}: {was} -> {now}" for key, was, now in details(before, after))
        yield {"table": "changes", "change": "altered", "rule": after.id, "detail": told}
    for name, (was, now) in changes.third_party.items():
        yield {"table": "changes", "change": "altered", "rule": name, "detail": f"{was} -> {now} names"}
    for each in changes.verdicts:
        told = f"{each.before.action} -> {each.after.action}"
        yield {"table": "changes", "change": "verdict", "rule": shown(each.destination), "detail": told}


def searched(ask: Ask) -> tuple[BlockList, Sequence[Rule]]:
    """The list of an address, and which of its rules are searched for; without a word all. Raises Missing."""
    policy = ask.site.policies.in_force()
    found = next((each for each in policy.lists if each.name == ask.path["name"]), None)
    if found is None:
        raise Missing("no such list")
    needle = ask.words.get("find", "").lower()
    return found, [rule for rule in found.rules if needle in f"{rule.trigger} {rule.part} {rule.kind}".lower()]


def held(exemptions: Sequence[Exemption], now: datetime) -> list[Held]:
    """Exemptions, those that end first in front, ended ones last."""
    found = [Held(each, days_left(each.until, now)) for each in exemptions]
    return sorted(found, key=lambda each: (each.days == 0, each.exemption.until))


def judged(policy: Policy, text: str, now: datetime) -> Tried:
    """The verdict on a name, an address, with or without a port, or a URL. Raises Wrong."""
    destination = _destination(text)
    verdict = policy.judge(destination, Client(realm=""), now)
    return Tried(text, shown(destination), verdict)


def last_change(ask: Ask, policy: Policy) -> Changed | None:
    """How the policy in force differs from the one before; None when it is the first that the log knows."""
    try:
        with ask.site.index() as index:
            event = _last(index, policy.ruleset)
    except Unavailable:
        return None
    if event is None:
        return None
    old = ask.site.policies.numbered(str(event.detail["old"]))
    who = event.detail.get("who")
    return Changed(
        old=str(event.detail["old"]),
        new=policy.ruleset,
        at_ms=event.time_ms,
        who=None if who is None else str(who),
        kept=old is not None,
        changes=None if old is None else diff(old, policy, ask.now),
    )


def details(before: Rule, after: Rule) -> list[tuple[str, str, str]]:
    """What differs between two forms of one rule, but for where it stands."""
    found = []
    for field in fields(Rule):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name not in {"file", "line"} and old != new:
            found.append((field.name, _text(old), _text(new)))
    return found


def shown(destination: Destination) -> str:
    """A destination in one word."""
    if destination.name is not None:
        name = display(destination.name)
        return f"{name}{destination.path}" if destination.path and destination.layer is Layer.HTTP else name
    if destination.address is not None:
        return f"{destination.address}" if destination.port is None else f"{destination.address} {destination.port}"
    return destination.fingerprint or destination.path or ""


def _last(index: Index, ruleset: str) -> Event | None:
    for line in index.events(("start", "reload"), 200):
        detail = line.entry.detail if isinstance(line.entry, Event) else {}
        new, old = detail.get("new", detail.get("ruleset")), detail.get("old")
        if isinstance(line.entry, Event) and old and old != new and new == ruleset:
            return line.entry
    return None


def _kinds(each: BlockList) -> Counter[str]:
    return Counter(str(rule.kind) for rule in each.rules)


def _ending(each: BlockList, now: datetime) -> int:
    today = now.date()
    return sum(rule.expires is not None and 0 < (rule.expires - today).days <= SOON_DAYS for rule in each.rules)


def _destination(text: str) -> Destination:
    """What somebody wrote, as the layer that would see it: a URL by HTTP, an address by IP, a name by DNS."""
    try:
        if "://" in text:
            return _of_url(text)
        host, port = _split(text)
        try:
            return Destination(Layer.IP, address=ip_address(host.strip("[]")), port=port)
        except ValueError:
            return Destination(Layer.DNS if port is None else Layer.TLS, name=parse(host), port=port)
    except (ValueError, Malformed):
        raise Wrong("target", text) from None


def _of_url(text: str) -> Destination:
    parts = urlsplit(text)
    port = Port(Transport.TCP, parts.port or _PORTS.get(parts.scheme, 443))
    host = parts.hostname or ""
    plain = parts.scheme == "http"
    try:
        return Destination(
            Layer.HTTP if plain else Layer.IP, address=ip_address(host), port=port, path=parts.path or "/"
        )
    except ValueError:
        layer = Layer.HTTP if plain else Layer.TLS
        return Destination(layer, name=parse(host), port=port, path=(parts.path or "/") if plain else None)


def _split(text: str) -> tuple[str, Port | None]:
    host, colon, number = text.rpartition(":")
    if colon and number.isascii() and number.isdecimal() and (":" not in host or host.endswith("]")):
        if not 0 < int(number) < 65_536:
            raise ValueError
        return host, Port(Transport.TCP, int(number))
    return text, None


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)
