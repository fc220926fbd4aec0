"""The ruleset into the kernel and out of it, through `nft`, and iptables where the kernel has no `queue` of nft's own.

A whole table goes in as one transaction: packets meet the old rules or the new ones, never half of either. Only
`inet enforcer`, and a scratch table beside it while two are compared, are ever written; with iptables' queue also one
chain of ours, ENFORCER, in the tables `mangle`, and the rule that leads to it.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, cast
from uuid import uuid4

from enforcer.errors import Unavailable
from enforcer.gateway import marks
from enforcer.gateway.elements import Elements
from enforcer.gateway.marks import Order
from enforcer.gateway.ruleset import OPENED, TABLE, Kernel, Settings, table

SCRATCH = "enforcer_compared"
_CHAIN = "ENFORCER"
_FILLED = ("drops_", "learned", OPENED)  # begin the names of sets that the policy does not fill
_MADE = "made_"  # begins the name of an empty chain, by which one table is told from the next
_ADMIN = ":/usr/local/sbin:/usr/sbin:/sbin"

_PROBE = """\
table inet enforcer_probe {
\tchain probe {
\t\t%s
\t}
}
"""


class Counted(TypedDict):
    """A counter as nft prints it."""

    packets: int
    bytes: int


type Object = Mapping[str, object]
"""A set, chain, rule or counter as `nft -j` prints it."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """How often one thing was rejected since its element was made. interface: by which it came. idle_s: not since."""

    interface: str
    source: str
    target: str
    protocol: str
    port: int
    packets: int
    expires_s: int


def probe() -> Kernel:
    """What this machine can do. Raises Unavailable without nft, or where it may not be used."""
    queue = _nft("-c", "-f", "-", text=_PROBE % "queue to 53", may_fail=True)
    sequence = _nft(
        "-c", "--debug=netlink", "-f", "-", text=_PROBE % "ct mark set tcp sequence & 0xfffffff | 0x10000000"
    )
    return Kernel(queue is not None, Order(turned="byteorder" in (sequence or "")))


def apply(settings: Settings, kernel: Kernel, wanted: Elements, now: datetime) -> None:
    """Put the table into the kernel, whatever was there of ours before; what it has counted stays.

    Raises Unavailable with nft's words, and then nothing has changed.
    """
    made = identity()
    first = f"add table inet {TABLE}\n"
    mark = f"add chain inet {TABLE} {_MADE}{uuid4().hex}\n"
    fresh = plan(settings, kernel, wanted, now)
    try:
        _nft("-f", "-", text=f"{first}flush table inet {TABLE}\n{fresh}{'' if made else mark}")
    except Unavailable:
        if not made:
            raise
        # Sets of another release cannot be changed, only replaced, and with them what they have counted.
        _nft("-f", "-", text=f"{first}delete table inet {TABLE}\n{fresh}{mark}")
    for command, text in xtables(settings, kernel):
        _run(command, "--noflush", text=text)
    if not kernel.queue and settings.gate:
        _lead_to_chain()
    else:
        _remove_chain()


def plan(settings: Settings, kernel: Kernel, wanted: Elements, now: datetime, name: str = TABLE) -> str:
    """What `apply` gives to nft: the table, and all elements of the sets that are ours to fill."""
    hooks = name == TABLE
    lines = [table(settings, kernel, name, hooks=hooks)]
    for each, members in wanted.items():
        lines.append(f"flush set inet {name} {each}\n")
        lines += _elements("add", name, each, members, now)
    return "".join(lines)


def change(before: Elements, wanted: Elements, now: datetime) -> str:
    """What makes the sets of one moment those of another; empty when they are the same."""
    lines: list[str] = []
    for each, members in wanted.items():
        old = before.get(each, {})
        gone = {element: None for element, end in old.items() if end != members.get(element, now)}
        new = {element: end for element, end in members.items() if element not in old or old[element] != end}
        lines += _elements("add", TABLE, each, gone, now)  # what has lapsed is not there any more: no error then
        lines += _elements("delete", TABLE, each, gone, now)
        lines += _elements("add", TABLE, each, new, now)
    return "".join(lines)


def load(text: str) -> None:
    """Give changes of sets to nft, as one transaction. Raises Unavailable with its words."""
    _nft("-f", "-", text=text)


def check(text: str) -> None:
    """Let nft and the kernel look at a ruleset without taking it. Raises Unavailable with nft's words."""
    _nft("-c", "-f", "-", text=text)


def remove() -> None:
    """Take everything of ours out of the kernel; nothing else. Marks of connections stay on them until they end."""
    _nft("-f", "-", text=f"add table inet {TABLE}\ndelete table inet {TABLE}\n")
    _remove_chain()


def identity() -> str:
    """What tells the table from one that was made before it, whose counts began at zero too; empty without a table."""
    names = (_named(each, "chain") for each in _list("table", "inet", TABLE))
    return next((name for name in names if name.startswith(_MADE)), "")


def shown() -> str:
    """The table as nft prints it, with iptables' chain; empty when nothing is applied."""
    text = _nft("list", "table", "inet", TABLE, may_fail=True) or ""
    for command in ("iptables", "ip6tables"):
        saved = _saved(command)
        text += "".join(f"# {command}: {line}\n" for line in saved)
    return text


def differences(settings: Settings, kernel: Kernel, wanted: Elements, now: datetime) -> list[str]:
    """What the kernel has otherwise than it should, one sentence each.

    The kernel itself is asked how it prints what it should have: in a table to which no packet comes.
    """
    _nft("-f", "-", text=f"add table inet {SCRATCH}\ndelete table inet {SCRATCH}\n")
    _nft("-f", "-", text=plan(settings, kernel, wanted, now, SCRATCH))
    try:
        expected = _comparable(_list("table", "inet", SCRATCH), SCRATCH)
    finally:
        _nft("delete", "table", "inet", SCRATCH)
    actual = _comparable(_list("table", "inet", TABLE), TABLE)
    if not actual:
        return [f"table inet {TABLE} is not there"]
    found = list(_compare(expected, actual))
    for command, text in xtables(settings, kernel):
        lines = [line for line in text.splitlines() if line.startswith("-A")] + [f"-A FORWARD -j {_CHAIN}"]
        missing = set(lines) - set(_saved(command))
        found += (f"{command}: rule is missing: {line}" for line in sorted(missing))
    return found


def counters() -> dict[str, int]:
    """Packets of each named counter; empty when nothing is applied."""
    found: dict[str, int] = {}
    for each in _list("counters", "table", "inet", TABLE):
        counter = each.get("counter")
        if isinstance(counter, dict):
            found[counter["name"]] = counter["packets"]
    return found


def opened() -> list[int]:
    """The ports that are not steered for now."""
    found: list[int] = []
    for each in _list("set", "inet", TABLE, OPENED):
        entry = cast(dict[str, list[dict[str, dict[str, int]]]], each.get("set") or {})
        found += (element["elem"]["val"] for element in entry.get("elem", []))
    return sorted(found)


def drops(what: str) -> list[Dropped]:
    """Every element of one set of drops: `address4`, `mmtls6` and so on."""
    found: list[Dropped] = []
    for each in _list("set", "inet", TABLE, f"drops_{what}"):
        entry = each.get("set")
        for element in cast(dict[str, list[dict[str, dict[str, object]]]], entry or {}).get("elem", []):
            inner = element["elem"]
            value = cast(dict[str, list[object]], inner["val"])["concat"]
            count = cast(Counted, inner["counter"])["packets"]
            interface, source, target, protocol, port = map(str, value)
            found.append(Dropped(interface, source, target, protocol, int(port), count, cast(int, inner["expires"])))
    return found


def xtables(settings: Settings, kernel: Kernel) -> Iterator[tuple[str, str]]:
    """What iptables-restore and ip6tables-restore are given, where the kernel has no nft queue."""
    if kernel.queue or not settings.gate:
        return
    first, count = settings.queues
    target = f"--queue-num {first}" if count == 1 else f"--queue-balance {first}:{first + count - 1}"
    bypass = " --queue-bypass" if settings.bypass else ""
    mask = f"0x{kernel.order.number(marks.STATE):x}"
    rules = [
        f"-A {_CHAIN} -m mark --mark 0x{kernel.order.number(state):x}/{mask} "
        f"-m connmark --mark 0x{kernel.order.number(state):x}/{mask} -j NFQUEUE {target}{bypass}"
        for state in (marks.PENDING, marks.ALLOWED)
    ]
    text = "\n".join(["*mangle", f":{_CHAIN} - [0:0]", *rules, "COMMIT"]) + "\n"
    yield "iptables-restore", text
    yield "ip6tables-restore", text


def _lead_to_chain() -> None:
    for command in ("iptables", "ip6tables"):
        if _run(command, "-w", "-t", "mangle", "-C", "FORWARD", "-j", _CHAIN, may_fail=True) is None:
            _run(command, "-w", "-t", "mangle", "-I", "FORWARD", "-j", _CHAIN)


def _remove_chain() -> None:
    for command in ("iptables", "ip6tables"):
        if not _saved(command):
            continue
        for words in (("-D", "FORWARD", "-j", _CHAIN), ("-F", _CHAIN), ("-X", _CHAIN)):
            _run(command, "-w", "-t", "mangle", *words, may_fail=True)


def _saved(command: str) -> list[str]:
    """Our rules in iptables' mangle table, as it prints them."""
    if _path(f"{command.removesuffix('-restore')}-save") is None:
        return []
    text = _run(f"{command.removesuffix('-restore')}-save", "-t", "mangle", may_fail=True) or ""
    return [line for line in text.splitlines() if line.startswith("-A") and _CHAIN in line.split()]


def _comparable(objects: Iterable[Object], name: str) -> dict[str, object]:
    """By what it is called: a set's elements, a chain's rules, without handles, counts, and the table's name."""
    found: dict[str, object] = {}
    for each in objects:
        for kind, value in each.items():
            entry = cast(dict[str, object], value)
            if kind == "set" and not str(entry["name"]).startswith(_FILLED):
                members = cast(list[object], entry.get("elem", []))
                found[f"set {entry['name']}"] = sorted(json.dumps(_bare(member)) for member in members)
            elif kind == "chain":
                found.setdefault(f"chain {entry['name']}", [])
            elif kind == "rule":
                rules = cast(list[str], found.setdefault(f"chain {entry['chain']}", []))
                rules.append(json.dumps(entry["expr"]).replace(name, TABLE))
    return found


def _bare(member: object) -> object:
    """An element without what changes by itself."""
    return member["elem"]["val"] if isinstance(member, dict) and "elem" in member else member


def _compare(expected: Mapping[str, object], actual: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            yield f"{name} is missing"
        elif name not in expected:
            if actual[name]:  # a chain of another release, to which nothing leads
                yield f"{name} is not ours to have"
        elif name.startswith("set "):
            want, have = set(cast(list[str], expected[name])), set(cast(list[str], actual[name]))
            for text, members in (("lacks", want - have), ("has besides", have - want)):
                if members:
                    shown = ", ".join(sorted(members)[:3]) + (" …" if len(members) > 3 else "")
                    yield f"{name} {text} {len(members)}: {shown}"
        elif expected[name] != actual[name]:
            yield f"{name} has other rules"


def _elements(verb: str, name: str, each: str, members: Mapping[str, datetime | None], now: datetime) -> Iterator[str]:
    if members:
        listed = ", ".join(f"{element}{_timeout(end, now)}" for element, end in members.items())
        yield f"{verb} element inet {name} {each} {{ {listed} }}\n"


def _timeout(end: datetime | None, now: datetime) -> str:
    return "" if end is None else f" timeout {max(1, round((end - now).total_seconds()))}s"


def _list(*words: str) -> list[Object]:
    text = _nft("-j", "list", *words, may_fail=True)
    return [] if text is None else cast(dict[str, list[Object]], json.loads(text))["nftables"]


def _named(each: Object, kind: str) -> str:
    entry = each.get(kind)
    return str(entry["name"]) if isinstance(entry, dict) else ""


def _path(command: str) -> str | None:
    return shutil.which(command) or shutil.which(command, path=_ADMIN)


def _nft(*words: str, text: str | None = None, may_fail: bool = False) -> str | None:
    return _run("nft", *words, text=text, may_fail=may_fail)


def _run(command: str, *words: str, text: str | None = None, may_fail: bool = False) -> str | None:
    """What a command prints; None when it fails and may. Raises Unavailable with its words."""
    path = _path(command)
    if path is None:
        raise Unavailable(f"{command} is not installed; install the package nftables or iptables")
    done = subprocess.run([path, *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    if may_fail:
        return None
    said = next((line for line in done.stderr.splitlines() if line.strip()), f"status {done.returncode}")
    raise Unavailable(
        f"{command} {' '.join(words[:3])}: {said}; the gateway needs CAP_NET_ADMIN and its kernel modules"
    )
