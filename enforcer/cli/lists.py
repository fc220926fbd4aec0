"""`enforcer lists`: what is wrong with block lists, what is in them, what a new one would change."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from pathlib import Path

import click

from enforcer.blocklists import Lists, load_lists, shipped_folder
from enforcer.cli.context import (
    DEFAULT_LISTS,
    compiled,
    config_option,
    find_config,
    json_option,
    lists_of,
    load_config,
)
from enforcer.cli.output import Value, print_json, print_table, say, some
from enforcer.cli.signatures import sign_, verify_
from enforcer.config.model import Config
from enforcer.errors import Mistake, Mistakes
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.diff import Changes, diff
from enforcer.policy.lists import BlockList
from enforcer.policy.names import display
from enforcer.policy.rules import Kind, Rule
from enforcer.policy.thirdparty import ThirdParty
from enforcer.policy.verdict import Destination
from enforcer.processes.clock import utc_now
from enforcer.processes.policy import settings_of

_SOON = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class _Figures:
    """What one list holds. version: None for third-party lists. expiring: rules that have ended, or soon will."""

    list: str
    service: str
    version: str | None
    rules: Counter[Kind]
    expiring: int
    never_block: int

    def cells(self) -> tuple[Value, ...]:
        """A row of the table."""
        kinds = (self.rules[kind] for kind in Kind)
        return (self.list, self.service, self.version, self.rules.total(), *kinds, self.expiring, self.never_block)


_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def lists() -> None:
    """Look at block lists: their mistakes, figures, differences.

    Example: enforcer lists lint blocklists/*.yaml
    """


for command in (sign_, verify_):
    lists.add_command(command)


@lists.command()
@config_option
@json_option("Print one object a line: file, line, severity, what.")
@click.argument("files", metavar="[FILE]…", type=_file, nargs=-1)
def lint(config: Path | None, as_json: bool, files: tuple[Path, ...]) -> None:
    """Name every mistake and warning in lists, with file and line.

    Without files: the lists of the configuration, and without one those that come with Enforcer. A mistake refuses the
    list, a warning does not. The exit status is 1 when there is a mistake.

    Example: enforcer lists lint mylist.yaml
    """
    today = utc_now().date()
    loaded = None if files else _configured(config)
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    for path in files or _own_files(loaded):
        try:
            warnings += load_lists([path], today)[0].warnings
        except Mistakes as error:
            mistakes += error.mistakes
    if not files:  # these, third-party lists, and lists of one name
        try:
            warnings = [*lists_of(loaded, today).warnings]
        except Mistakes as error:
            mistakes = [*error.mistakes]
    for severity, found in (("mistake", mistakes), ("warning", warnings)):
        for each in found:
            if as_json:
                print_json({"file": each.file, "line": each.line, "severity": severity, "what": each.what})
            else:
                say(f"{each}" if severity == "mistake" else f"{each} (warning)")
    if not as_json and not mistakes and not warnings:
        say("No mistake")
    click.get_current_context().exit(1 if mistakes else 0)


@lists.command()
@config_option
@json_option("Print one object a line: list, service, version, rules, expiring, never_block.")
@click.argument("files", metavar="[FILE]…", type=_file, nargs=-1)
def stats(config: Path | None, as_json: bool, files: tuple[Path, ...]) -> None:
    """Count the rules of each list by kind, and those that soon end.

    expiring: how many have ended, or will within 90 days. never_block: how many names the list protects. Without
    files: the lists of the configuration, and without one those that come with Enforcer.

    Example: enforcer lists stats
    """
    today = utc_now().date()
    found = Lists(load_lists(files, today), (), ()) if files else lists_of(_configured(config), today)
    figures = list(_figures(found, today))
    if as_json:
        for each in figures:
            rules = {str(kind): each.rules[kind] for kind in Kind}
            print_json({**asdict(each), "rules": rules})
        return
    columns = ("list", "service", "version", "rules", *map(str, Kind), "expiring", "never_block")
    print_table(columns, [each.cells() for each in figures])


@lists.command("diff")
@config_option
@json_option("Print one object: added, removed, changed, third_party, verdicts.")
@click.argument("new", type=_file)
@click.argument("old", type=_file, required=False)
def diff_(config: Path | None, as_json: bool, new: Path, old: Path | None) -> None:
    """Say what a new list would change, before it is loaded.

    NEW is compared with OLD, whatever it is called; without OLD, with the list of its own name in the configuration
    (without one, among those that come with Enforcer), or it is one more list.

    Example: enforcer lists diff new/wechat.yaml
    """
    now = utc_now()
    (fresh,) = load_lists([new], now.date())
    if old is not None:
        before = load_lists([old], now.date())
        after: tuple[BlockList, ...] = (_renamed(fresh, before[0].name),)
        third_party: tuple[ThirdParty, ...] = ()
        settings = PolicySettings()
    else:
        loaded = _configured(config)
        found = lists_of(loaded, now.date())
        before, third_party = found.own, found.third_party
        after = tuple(fresh if each.name == fresh.name else each for each in before)
        after = after if fresh in after else (*before, fresh)
        settings = PolicySettings() if loaded is None else settings_of(loaded)
    changes = diff(compiled(before, third_party, settings), compiled(after, third_party, settings), now)
    if as_json:
        print_json(_changes_as_json(changes))
    else:
        _print_changes(changes)


def _configured(given: Path | None) -> Config | None:
    """The configuration, or None where there is none."""
    return None if find_config(given) is None else load_config(given)[1]


def _own_files(config: Config | None) -> tuple[Path, ...]:
    """The lists of the configuration, or those that come with Enforcer."""
    return tuple(shipped_folder() / name for name in DEFAULT_LISTS) if config is None else config.policy.lists


def _figures(lists: Lists, today: date) -> Iterator[_Figures]:
    for own in lists.own:
        soon = [rule for rule in own.rules if rule.expires is not None and rule.expires <= today + _SOON]
        kinds = Counter(rule.kind for rule in own.rules)
        yield _Figures(own.name, own.service, own.version, kinds, len(soon), len(own.never_block))
    for other in lists.third_party:
        kinds = Counter({Kind.SUFFIX: len(other.suffixes), Kind.EXACT: len(other.exacts)})
        yield _Figures(other.source.name, other.source.service, None, kinds, 0, 0)


def _renamed(found: BlockList, name: str) -> BlockList:
    """A list as if its file had another name, so that its rules have the ids of that list."""
    return replace(found, name=name, rules=tuple(replace(rule, list=name) for rule in found.rules))


def _print_changes(changes: Changes) -> None:
    for rule in changes.added:
        say(f"added    {rule.id}  {rule.file}:{rule.line}")
    for rule in changes.removed:
        say(f"removed  {rule.id}  {rule.file}:{rule.line}")
    for before, after in changes.changed:
        details = (f"{key} {old or '-'} -> {new or '-'}" for key, (old, new) in _details(before, after).items())
        say(f"changed  {after.id}  {after.file}:{after.line}  {', '.join(details)}")
    for name, (count, now) in changes.third_party.items():
        say(f"changed  {name}  {count} -> {some(now, 'name')}")
    for change in changes.verdicts:
        say(f"verdict  {_shown(change.destination)}  {change.before.action} -> {change.after.action}")
    if not any((changes.added, changes.removed, changes.changed, changes.third_party, changes.verdicts)):
        say("Nothing would change")


def _changes_as_json(changes: Changes) -> dict[str, object]:
    return {
        "added": [rule.id for rule in changes.added],
        "removed": [rule.id for rule in changes.removed],
        "changed": {after.id: _details(before, after) for before, after in changes.changed},
        "third_party": changes.third_party,
        "verdicts": [
            {
                "layer": change.destination.layer,
                "target": _shown(change.destination),
                "before": change.before.action,
                "after": change.after.action,
            }
            for change in changes.verdicts
        ],
    }


def _details(before: Rule, after: Rule) -> dict[str, tuple[str | None, str | None]]:
    """What differs between two forms of one rule, but for where it stands."""
    found = {field.name: (getattr(before, field.name), getattr(after, field.name)) for field in fields(Rule)}
    return {
        name: (_text(old), _text(new))
        for name, (old, new) in found.items()
        if name not in {"file", "line"} and old != new
    }


def _text(value: object) -> str | None:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    return None if value is None else str(value)


def _shown(destination: Destination) -> str:
    """What a destination shows, in one word."""
    host = destination.name and display(destination.name)
    where = host or (destination.address and str(destination.address)) or destination.fingerprint or ""
    port = "" if destination.port is None else f" {destination.port}"
    return f"{where}{destination.path or ''}{port}"
