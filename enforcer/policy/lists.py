"""The text of a block list to its rules, or to every mistake in it, each with its line (blocklists/README.md)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType

from enforcer.errors import Malformed, Mistake, Mistakes
from enforcer.policy import document
from enforcer.policy.conflicts import conflicts, covering, wide
from enforcer.policy.document import Node, Text
from enforcer.policy.protections import BUILT_IN, Protection
from enforcer.policy.rules import Answer, Confidence, Evidence, Kind, Mode, Port, Rule, Transport
from enforcer.policy.triggers import read_trigger

_LIST_NEEDED = ("service", "title", "vendor", "version", "sources", "rules")
_LIST_KEYS = (*_LIST_NEEDED, "ban", "mode", "answer", "never_block")
_RULE_NEEDED = ("part", "evidence", "confidence", "source", "seen")
_RULE_KEYS = (*map(str, Kind), *_RULE_NEEDED, "expires", "ports", "dedicated")
_PROTECTION_KEYS = ("exact", "suffix", "why", "source")
_LONGEST_BAN = 200  # each record has it
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_VERSION = re.compile(r"[0-9]{4}\.[0-9]{1,2}\.[0-9]+")
_SEEN = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?(?:-([0-9]{2}))?")
_PORT = re.compile(r"(tcp|udp)/([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Title:
    """What people call the service, in both official languages."""

    en: str
    fr: str


@dataclass(frozen=True, slots=True)
class BlockList:
    """One file of `blocklists/`.

    name: the file's stem, which begins the id of each of its rules. ban: None leaves it to the configuration.
    mode, answer: for all rules of the list. sources: what each code stands for.
    warnings: what does not keep the list from being loaded: rules that cover what every device needs, that look at a
    whole top-level domain, or have expired. The last stay among the rules, and match nothing, so that the compiled
    policy does not depend on the day on which it was made.
    """

    name: str
    file: str
    service: str
    title: Title
    vendor: str
    version: str
    ban: str | None
    mode: Mode
    answer: Answer | None
    sources: Mapping[str, str]
    rules: tuple[Rule, ...]
    never_block: tuple[Protection, ...]
    warnings: tuple[Mistake, ...]


def read_list(text: str, file: str, today: date) -> BlockList:
    """Read a list; its name is the stem of `file`, which may be a path.

    Raises Mistakes with everything that is wrong, in the order of the lines.
    """
    return _Reader(file, today).read(text)


class _Reader:
    """One list while it is read. Every method reports what is wrong and goes on with what it can."""

    def __init__(self, file: str, today: date) -> None:
        self.file = file
        self.today = today
        self.name = file.rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self.sources: dict[str, str] = {}
        self.service = ""
        self.ban: str | None = None
        self.mode = Mode.ENFORCE
        self.answer: Answer | None = None

    def read(self, text: str) -> BlockList:
        if not _SLUG.fullmatch(self.name):
            self.wrong(None, f'"{self.name}" cannot name a list; name the file with a-z, 0-9 and "-"')
        root = document.read_document(text, self.file, self.mistakes)
        if root is None and not self.mistakes:
            self.wrong(None, "the list is empty; begin with its service")
        found = self.read_root(root) if root is not None else None
        if self.mistakes or found is None:
            raise Mistakes(sorted(self.mistakes, key=lambda mistake: mistake.line or 0))
        return found

    def read_root(self, root: Node) -> BlockList | None:
        keys = self.keys(root, "the list", _LIST_KEYS, _LIST_NEEDED)
        if keys is None:
            return None
        self.service = self.slug(keys.get("service"), "service")
        self.ban = self.text(keys["ban"], "ban") if "ban" in keys else None
        if self.ban is not None and len(self.ban) > _LONGEST_BAN:
            self.wrong(keys["ban"].line, f"ban has {len(self.ban)} characters; write at most {_LONGEST_BAN}")
        self.mode = self.one_of(keys.get("mode"), "mode", Mode) or Mode.ENFORCE
        self.answer = self.one_of(keys.get("answer"), "answer", Answer)
        version = self.text(keys.get("version"), "version")
        if version and not _VERSION.fullmatch(version):
            self.wrong(keys["version"].line, f'version "{version}"; write year, month and number, as in "2026.11.1"')
        title = self.title(keys.get("title"))
        vendor = self.text(keys.get("vendor"), "vendor")
        self.read_sources(keys.get("sources"))
        rules = tuple(rule for item in self.items(keys.get("rules"), "rules") if (rule := self.rule(item)))
        never_block = tuple(self.protections(keys.get("never_block")))
        self.mistakes.extend(conflicts(rules, never_block))
        for rule, needed in covering(rules, BUILT_IN):
            what = f"{rule.kind} {rule.trigger} covers {needed.name}; devices need {needed.why}"
            self.warnings.append(Mistake(self.file, rule.line, what))
        for rule in wide(rules):
            what = f"{rule.kind} {rule.trigger} looks at a whole top-level domain; write one more label at its end"
            self.warnings.append(Mistake(self.file, rule.line, what))
        return BlockList(
            name=self.name,
            file=self.file,
            service=self.service,
            title=title,
            vendor=vendor,
            version=version,
            ban=self.ban,
            mode=self.mode,
            answer=self.answer,
            sources=MappingProxyType(self.sources),
            rules=rules,
            never_block=never_block,
            warnings=tuple(self.warnings),
        )

    # What stands in the lines

    def title(self, node: Node | None) -> Title:
        keys = self.keys(node, "title", ("en", "fr"), ("en", "fr")) or {}
        return Title(self.text(keys.get("en"), "title.en"), self.text(keys.get("fr"), "title.fr"))

    def read_sources(self, node: Node | None) -> None:
        if node is None:
            return
        if not isinstance(node, document.Mapping):
            self.wrong(node.line, 'sources is not a mapping; write "CODE: what and where"')
            return
        for code, value in node.values.items():
            if "," in code:
                self.wrong(node.lines[code], f'source code "{code}" has a comma, which separates codes; take it out')
            self.sources[code] = self.text(value, f"source {code}")

    def rule(self, node: Node) -> Rule | None:
        keys = self.keys(node, "the rule", _RULE_KEYS, _RULE_NEEDED)
        if keys is None:
            return None
        kind = self.kind(node, keys, tuple(Kind))
        part = self.slug(keys.get("part"), "part")
        evidence = self.one_of(keys.get("evidence"), "evidence", Evidence)
        confidence = self.one_of(keys.get("confidence"), "confidence", Confidence)
        source = self.source(keys.get("source"))
        seen = self.seen(keys.get("seen"))
        expires = self.expires(keys.get("expires"))
        ports = self.ports(keys.get("ports"), kind)
        dedicated = self.dedicated(keys.get("dedicated"), kind)
        trigger = self.trigger(kind, keys[kind], ports) if kind else None
        if kind is None or trigger is None or evidence is None or confidence is None:
            return None
        rule = Rule(
            kind=kind,
            trigger=trigger,
            list=self.name,
            file=self.file,
            line=node.line,
            service=self.service,
            part=part,
            evidence=evidence,
            confidence=confidence,
            source=source,
            seen=seen,
            expires=expires,
            ports=ports,
            ban=self.ban,
            mode=self.mode,
            answer=self.answer,
            dedicated=dedicated,
        )
        if expires is not None and expires <= self.today:
            what = f'rule "{rule.id}" expired on {expires}; renew it or take it out'
            self.warnings.append(Mistake(self.file, node.line, what))
        return rule

    def kind(self, node: Node, keys: Mapping[str, Node], kinds: tuple[Kind, ...]) -> Kind | None:
        found = [kind for kind in kinds if kind in keys]
        if len(found) == 1:
            return found[0]
        said = f"both {found[0]} and {found[1]}" if found else "nothing to match"
        self.wrong(node.line, f"{said}; write exactly one of {', '.join(kinds)}")
        return None

    def trigger(self, kind: Kind, node: Node, ports: tuple[Port, ...]) -> str | None:
        """The normal form of what the rule matches; None when that was reported as wrong."""
        text = self.text(node, kind)
        if not text:
            return None
        try:
            return read_trigger(kind, text, with_ports=bool(ports))
        except Malformed as error:
            self.wrong(node.line, error.what)
            return None

    def protections(self, node: Node | None) -> Iterable[Protection]:
        for item in self.items(node, "never_block") if node else ():
            keys = self.keys(item, "the never_block entry", _PROTECTION_KEYS, ("why",))
            kind = self.kind(item, keys, (Kind.EXACT, Kind.SUFFIX)) if keys else None
            name = self.trigger(kind, keys[kind], ()) if keys and kind else None
            if keys is None or kind is None or name is None:
                continue
            why = self.text(keys.get("why"), "why")
            source = self.source(keys["source"]) if "source" in keys else None
            yield Protection(kind, name, why, self.name, self.file, item.line, source)

    def source(self, node: Node | None) -> str:
        text = self.text(node, "source")
        for code in text.split(",") if node and text else ():
            if code.strip() not in self.sources:
                hint = _hint(code.strip(), self.sources) if self.sources else "; add it to sources"
                self.wrong(node.line if node else None, f'source "{code.strip()}" is not among sources{hint}')
        return text

    def seen(self, node: Node | None) -> str | None:
        text = self.text(node, "seen")
        found = _SEEN.fullmatch(text)
        if found and _date(found[1], found[2] or "01", found[3] or "01"):
            return text
        if node and text:
            self.wrong(node.line, f'seen "{text}" is not a date; write "2026", "2026-04" or "2026-04-02"')
        return None

    def expires(self, node: Node | None) -> date | None:
        if node is None:
            return None
        text = self.text(node, "expires")
        found = _SEEN.fullmatch(text)
        day = _date(found[1], found[2], found[3]) if found and found[3] else None
        if text and day is None:
            self.wrong(
                node.line, f'expires "{text}" is not a date; write the first day without the rule, as "2027-06-30"'
            )
        return day

    def ports(self, node: Node | None, kind: Kind | None) -> tuple[Port, ...]:
        if node is None:
            return ()
        if kind is not Kind.CIDR:
            self.wrong(node.line, f"ports beside {kind or 'nothing'}; only a cidr rule has ports")
        found: list[Port] = []
        for item in self.items(node, "ports"):
            text = self.text(item, "port")
            written = _PORT.fullmatch(text)
            if written is None or not 0 < int(written[2]) < 1 << 16:
                self.wrong(item.line, f'port "{text}" is not a port; write transport and number, as in "tcp/443"')
                continue
            port = Port(Transport(written[1]), int(written[2]))
            if port in found:
                self.wrong(item.line, f'port "{text}" is written twice; keep one')
            found.append(port)
        return tuple(found)

    def dedicated(self, node: Node | None, kind: Kind | None) -> bool:
        if node is None:
            return False
        if kind not in {Kind.EXACT, Kind.SUFFIX}:
            self.wrong(node.line, f"dedicated beside {kind or 'nothing'}; only an exact or suffix rule can be")
        text = self.text(node, "dedicated")
        if text not in {"true", "false"}:
            self.wrong(node.line, f'dedicated "{text}" is not known; write true, or leave it out')
        return text == "true"

    # Shapes

    def wrong(self, line: int | None, what: str) -> None:
        self.mistakes.append(Mistake(self.file, line, what))

    def keys(
        self, node: Node | None, what: str, known: tuple[str, ...], needed: tuple[str, ...]
    ) -> Mapping[str, Node] | None:
        """The values by key, without unknown keys; None when the node has no keys."""
        if node is None:
            return None
        if not isinstance(node, document.Mapping):
            self.wrong(node.line, f"{what} has no keys; write {{{needed[0]}: …}}")
            return None
        before = ""
        for key, value in node.values.items():
            if key not in known:
                self.wrong(node.lines[key], _unknown(what, key, value, before, known))
            before = value.text if isinstance(value, Text) else ""
        for key in needed:
            if key not in node.values:
                self.wrong(node.line, f'{what} has no "{key}"; add it')
        return {key: value for key, value in node.values.items() if key in known}

    def items(self, node: Node | None, what: str) -> tuple[Node, ...]:
        if node is None:
            return ()
        if not isinstance(node, document.Sequence):
            self.wrong(node.line, f"{what} is not a list; write one item a line, behind a dash")
            return ()
        if not node.items:
            self.wrong(node.line, f"{what} is empty; fill it, or take it out")
        return node.items

    def text(self, node: Node | None, what: str) -> str:
        """The text of a value; empty when it was reported as wrong or as missing."""
        if node is None:
            return ""
        if not isinstance(node, Text):
            self.wrong(node.line, f"{what} is not one value; write text")
            return ""
        if not node.text.strip():
            self.wrong(node.line, f"{what} is empty; fill it, or take it out")
        elif not node.text.isprintable():
            self.wrong(node.line, f"{what} has a character that does not print; take it out")
        return node.text.strip()

    def slug(self, node: Node | None, what: str) -> str:
        text = self.text(node, what)
        if node and text and not _SLUG.fullmatch(text):
            self.wrong(node.line, f'{what} "{text}"; write it with a-z, 0-9 and "-"')
        return text

    def one_of[E: StrEnum](self, node: Node | None, what: str, choices: type[E]) -> E | None:
        text = self.text(node, what)
        if node is None or not text:
            return None
        try:
            return choices(text)
        except ValueError:
            self.wrong(node.line, f'{what} "{text}" is not known; write one of {", ".join(choices)}')
            return None


def _unknown(what: str, key: str, value: Node, before: str, known: Iterable[str]) -> str:
    """An unknown key. Without a value, inside of {…}, it is what stood behind a comma in the value before."""
    if before and isinstance(value, Text) and not value.text:
        return f'"{before},{key}" has a comma, which ends a value; write a dot, or put the value in quotes'
    return f'{what} has an unknown key "{key}"{_hint(key, known)}'


def _hint(word: str, known: Iterable[str]) -> str:
    words = list(known)
    near = get_close_matches(word, words, 1)
    return f'; did you mean "{near[0]}"?' if near else f"; write one of {', '.join(words)}"


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
