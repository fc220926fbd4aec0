"""`enforcer attempts`: what was blocked, from the index and from the log; the hub need not run."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Unpack

import click

from enforcer.attempts.attempt import Attempt, Checkpoint, Line, parse_line
from enforcer.attempts.chain import link
from enforcer.attempts.index import By
from enforcer.attempts.log import BEGIN, Cursor, backwards, days, read
from enforcer.cli.bundle import bundle
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.export import export
from enforcer.cli.narrowing import Which, filter_of, narrowed, open_index
from enforcer.cli.output import canonical, print_facts, print_json, print_table, say, second, some
from enforcer.cli.reindex import reindex
from enforcer.cli.retention import hold, purge
from enforcer.cli.verify import key_, verify
from enforcer.config.values import quoted
from enforcer.errors import Corrupt, EnforcerError
from enforcer.folders import Folders

_POLL_S = 0.2
_NEAR_END = 65_536  # octets; many lines
_COLUMNS = ("time", "device", "service", "part", "layer", "name", "rule", "count", "action")


@click.group()
def attempts() -> None:
    """Look at what was blocked, and whether the log is whole.

    Example: enforcer attempts list --since 1h --service wechat
    """


for command in (export, reindex, verify, bundle, key_, purge, hold):
    attempts.add_command(command)


@attempts.command("list")
@config_option
@narrowed
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many, at most.")
@json_option("Print one record a line, as it stands in the log.")
def list_(config: Path | None, limit: int, as_json: bool, **which: Unpack[Which]) -> None:
    """List attempts, newest first.

    One row is one record: the first attempt of a device, or a summary of its repeats.

    Example: enforcer attempts list --since 24h --device dev-7f3a91c2
    """
    with open_index(look_into(config)) as index:
        found = index.find(filter_of(which), limit)
    if as_json:
        for line in found:
            click.echo(canonical(line))
    else:
        attempt_table(found)


@attempts.command()
@config_option
@click.option(
    "--lines", "-n", type=click.IntRange(0, 10_000), default=10, show_default=True, help="How many to begin with."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
@json_option("Print the lines as they stand in the log.")
def tail(config: Path | None, lines: int, follow: bool, as_json: bool) -> None:
    """Print the end of the log, events too, oldest first.

    Example: enforcer attempts tail -f
    """
    folder = Folders(look_into(config).data_dir).log
    cursor = _near_end(folder)
    newest = list(islice(backwards(folder), lines or 1))[::-1]
    shown = 0
    for line in newest:
        shown = _number(line) or shown
        if lines:
            _print_line(line, as_json)
    while follow:
        for line, day, offset in read(folder, cursor):
            cursor = Cursor(day, offset, 0)
            number = _number(line)
            if number is not None and number > shown:
                shown = number
                _print_line(line, as_json)
        time.sleep(_POLL_S)


@attempts.command()
@config_option
@json_option("Print the record as it stands in the log.")
@click.argument("id", metavar="ID")
def show(config: Path | None, as_json: bool, id: str) -> None:  # noqa: A002 (the record's word)
    """Print one attempt with everything that is known of it, and its place in the chain.

    Example: enforcer attempts show 01KARSJ8T0C2V6M0QF1W3X9Z4B
    """
    loaded = look_into(config)
    with open_index(loaded) as index:
        line = index.get(id.upper())
    if line is None:
        raise EnforcerError(f"{quoted(id)} is no attempt in the index; `enforcer attempts list` prints the ids")
    text = canonical(line)
    if as_json:
        click.echo(text)
        return
    file = Folders(loaded.data_dir).log / f"{second(line.logged_ms)[:10]}.ndjson"
    print_facts({**dict(_flat(json.loads(text))), "hash": _hash(line), "file": str(file)})


@attempts.command()
@config_option
@click.option(
    "--by", type=click.Choice([str(by) for by in By]), default="service", show_default=True, help="What to count by."
)
@narrowed
@click.option("--limit", type=click.IntRange(1), help="How many, at most.")
@json_option("Print one object a line: key, attempts, lines.")
def stats(config: Path | None, by: str, limit: int | None, as_json: bool, **which: Unpack[Which]) -> None:
    """Count attempts, the most first. Counts are exact; lines says in how many records they stand.

    Example: enforcer attempts stats --by device --since 2026-11-01
    """
    with open_index(look_into(config)) as index:
        counts = index.stats(By(by), filter_of(which), limit)
    if as_json:
        for count in counts:
            print_json({by: count.key, "attempts": count.attempts, "lines": count.lines})
    else:
        print_table((by, "attempts", "lines"), [(count.key, count.attempts, count.lines) for count in counts])


def attempt_table(lines: Sequence[Line]) -> None:
    """Print attempts as rows, with the id that `attempts show` takes."""
    found = [(line.id, line.entry) for line in lines if isinstance(line.entry, Attempt)]
    print_table((*_COLUMNS, "id"), [(*_row(attempt), id_) for id_, attempt in found])


def _row(attempt: Attempt) -> tuple[str | int | None, ...]:
    """The cells of `_COLUMNS`; where the device is not known, its address stands for it."""
    block = attempt.block
    device = attempt.owner.device or attempt.client_ip
    shown = block.name or block.dest_ip
    what = block.service, block.part, block.layer, shown, block.rule
    return second(attempt.time_ms), device, *what, attempt.count, block.action


def _hash(line: Line) -> str:
    """The chain's hash after a line, which the next line names."""
    return link(bytes.fromhex(line.prev), line.entry.body(line.seq, line.logged_ms)).hex()


def _flat(record: dict[str, object], above: str = "") -> Iterator[tuple[str, str | None]]:
    """Names and values; what is inside of an object with both names, as in `identity.source`."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is None or isinstance(value, str):
            yield above + key, value
        else:
            yield above + key, json.dumps(value)


def _near_end(folder: Path) -> Cursor:
    """A place in the newest file, not far before its end, perhaps inside of a line."""
    files = days(folder)
    return Cursor(files[-1].stem, max(files[-1].stat().st_size - _NEAR_END, 0), 0) if files else BEGIN


def _number(line: bytes) -> int | None:
    """The line's number; None for what is no line, such as the rest of one."""
    try:
        return parse_line(line).seq
    except Corrupt:
        return None


def _print_line(line: bytes, as_json: bool) -> None:
    if as_json:
        say(line.decode("ascii", "backslashreplace"))
        return
    try:
        entry = parse_line(line).entry
    except Corrupt as error:
        say(str(error), err=True)
        return
    if isinstance(entry, Attempt):
        say("  ".join("-" if cell is None else str(cell) for cell in _row(entry)))
    elif isinstance(entry, Checkpoint):
        say(f"{second(entry.time_ms)}  checkpoint  {some(entry.count, 'line')} of {entry.day} signed by {entry.key}")
    else:
        say(f"{second(entry.time_ms)}  {entry.event}  {json.dumps(dict(entry.detail))}")
