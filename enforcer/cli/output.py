"""How results are printed: plain tables, facts, JSON lines; never a character that a terminal would obey."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from enforcer.attempts.attempt import Line, moment
from enforcer.attempts.chain import seal
from enforcer.config.values import is_plain

_UNBOUNDED = 10_000  # columns, where no terminal limits them

type Value = str | int | None


def printable(text: str) -> str:
    r"""The text with \uXXXX for what does not print: control characters, line ends, marks that turn text round."""
    return text if is_plain(text) else "".join(c if is_plain(c) else f"\\u{ord(c):04x}" for c in text)


def some(number: int, noun: str) -> str:
    """How many there are of what the noun names: `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def second(ms: int) -> str:
    """A moment to the second, RFC 3339 in UTC."""
    return f"{moment(ms)[:19]}Z"


def say(text: str, *, err: bool = False) -> None:
    """Print a line; err: where errors go."""
    click.echo(printable(text), err=err)


def print_json(value: Mapping[str, object]) -> None:
    """Print one object on a line of its own, in ASCII."""
    click.echo(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Print rows under a header: numbers to the right, None as a dash; a terminal folds what is too wide for it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [tuple(row) for row in rows]
    for number, column in enumerate(columns):
        to_the_right = any(isinstance(row[number], int) for row in cells)
        table.add_column(column, justify="right" if to_the_right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text("-" if value is None else printable(str(value))) for value in row))
    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False)
    console.print(table, crop=False)


def print_facts(facts: Mapping[str, Value | Sequence[str]]) -> None:
    """Print names and values one below the other; a sequence is a value of several lines."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        lines = ("-" if value is None else str(value),) if value is None or isinstance(value, str | int) else value
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else name:<{width}}  {printable(line)}")


def canonical(line: Line) -> str:
    """A line of the log as it stands there."""
    return seal(bytes.fromhex(line.prev), line.entry.body(line.seq, line.logged_ms))[:-1].decode("ascii")
