"""The attempts that match, newest first, page by page; and one of them with everything that is known."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from enforcer.attempts.attempt import Attempt, Line
from enforcer.attempts.block import Recorded
from enforcer.attempts.index import By, Filter, Index, Place, Subject
from enforcer.console.asked import WORDS, read_filter, read_number, read_page
from enforcer.console.pages.common import incident_path, titles_of
from enforcer.console.pages.inlog import look
from enforcer.console.pages.signed import signature
from enforcer.console.plain import plain_record
from enforcer.console.policies import rule_of
from enforcer.console.site import Ask, Missing
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList
from enforcer.policy.rules import Evidence, Rule
from enforcer.policy.verdict import Layer

PAGE, PAGE_MOST = 50, 500
SINCE = "7d"
_NEAR_MS, _AROUND = 600_000, 11
_COUNTED_TOGETHER = frozenset({"service", "part", "evidence", "layer", "action", "realm"})
_COUNTED_ALONE = ({"rule"}, {"group"})
SPANS = ("1h", "24h", "7d", "30d", "90d", "all")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list. whose: what its page is found by; shown: the name, else the address."""

    id: str
    seq: int
    attempt: Attempt

    @property
    def place(self) -> Place:
        """Where the line stands."""
        return Place(self.attempt.time_ms, self.seq)

    @property
    def shown(self) -> str | None:
        """What was tried to reach."""
        return self.attempt.block.name or self.attempt.block.dest_ip

    @property
    def device(self) -> str | None:
        """Who tried; None where no device is known."""
        return self.attempt.owner.device


def rows_of(lines: Iterable[Line]) -> list[Row]:
    """Lines of the index, of which only attempts are shown."""
    return [Row(line.id, line.seq, line.entry) for line in lines if isinstance(line.entry, Attempt)]


def listing(ask: Ask) -> Mapping[str, object]:
    """The facts of the list."""
    which = read_filter(ask.words, ask.now, SINCE)
    size = read_number(ask.words, "limit", PAGE, 1, PAGE_MOST)
    page = read_page(ask.words)
    with ask.site.index() as index:
        lines = list(index.find(which, size + 1, older=page.older, newer=page.newer))
        more = len(lines) > size
        lines = lines[-size:] if page.newer is not None else lines[:size]
        total = counted(index, which)
    rows = rows_of(lines)
    return {
        "here": "attempts",
        "rows": rows,
        "older": rows[-1].place if rows and (more or page.newer is not None) else None,
        "newer": rows[0].place if rows and (page.older is not None or (page.newer is not None and more)) else None,
        "menus": ask.site.lately("menus", menus_of),
        "spans": SPANS,
        "since": ask.words.get("since", SINCE),
        "narrowed": [key for key in WORDS if key in ask.words],
        "titles": titles_of(ask),
        "total": total,
    }


def menus_of(index: Index) -> Mapping[str, tuple[str, ...]]:
    """What can be chosen, by word."""
    return {
        "service": tuple(index.values(By.SERVICE)),
        "part": tuple(index.values(By.PART)),
        "group": tuple(index.values(By.GROUP)),
        "realm": tuple(index.values(By.REALM)),
        "layer": tuple(map(str, Layer)),
        "action": tuple(map(str, Recorded)),
        "evidence": tuple(map(str, Evidence)),
    }


def counted(index: Index, which: Filter) -> tuple[int, int] | None:
    """How many attempts match, in how many lines; None where every line would have to be looked at."""
    narrow = {word for word in WORDS if word not in {"since", "until"} and getattr(which, word) is not None}
    if not narrow <= _COUNTED_TOGETHER and "device" not in narrow and narrow not in _COUNTED_ALONE:
        return None
    found = index.stats(By.ACTION, which)
    return sum(each.attempts for each in found), sum(each.lines for each in found)


def record(ask: Ask) -> Mapping[str, object]:
    """The facts of one attempt's page. Raises Missing."""
    with ask.site.index() as index:
        line = index.get(ask.path["id"].upper())
        if line is None or not isinstance(line.entry, Attempt):
            raise Missing("no such attempt")
        attempt = line.entry
        around = rows_of(_same(index, attempt))
    policy = ask.site.policies.numbered(attempt.block.ruleset)
    rule = None if policy is None else rule_of(policy, attempt.block.rule)
    own = _list(policy, attempt.block.rule)
    chain = look(ask.site.log, line)
    return {
        "here": "attempts",
        "line": line,
        "attempt": attempt,
        "block": attempt.block,
        "identity": attempt.owner.identity,
        "rule": rule,
        "sources": _sources(own, rule),
        "list": own,
        "policy_kept": policy is not None,
        "chain": chain,
        "signature": signature(ask.site.log, chain),
        "titles": titles_of(ask),
        "incident": _incident(attempt),
        "around": [row for row in around if row.id != line.id],
        "json": json.dumps(plain_record(line), indent=2, ensure_ascii=False),
    }


def _incident(attempt: Attempt) -> str | None:
    """The page of the incident that it belongs to; None where nobody is known."""
    if attempt.owner.device is not None:
        return incident_path(Subject(attempt.owner.device), attempt.block.service)
    if attempt.client_ip is not None:
        return incident_path(Subject(None, attempt.block.realm, attempt.client_ip), attempt.block.service)
    return None


def _same(index: Index, attempt: Attempt) -> Sequence[Line]:
    """What the same device, else address, did just before and after."""
    if attempt.owner.device is not None:
        whose = Filter(device=attempt.owner.device)
    elif attempt.client_ip is not None:
        whose = Filter(realm=attempt.block.realm, client_ip=attempt.client_ip)
    else:
        return ()
    span = replace(whose, since_ms=attempt.time_ms - _NEAR_MS, until_ms=attempt.time_ms + _NEAR_MS)
    return index.find(span, _AROUND)


def _sources(own: BlockList | None, rule: Rule | None) -> list[tuple[str, str]]:
    """The codes of a rule's source with what the list says they stand for."""
    if own is None or rule is None:
        return []
    codes = [code.strip() for code in rule.source.split(",")]
    return [(code, own.sources.get(code, "")) for code in codes]


def _list(policy: Policy | None, rule: str) -> BlockList | None:
    name = rule.partition("/")[0]
    return None if policy is None else next((each for each in policy.lists if each.name == name), None)
