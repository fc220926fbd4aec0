"""`enforcer attempts export`: attempts in the language of whoever reads them, as a stream."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Unpack

import click

from enforcer.attempts.access import Access, Look
from enforcer.attempts.attempt import Attempt, Line
from enforcer.attempts.formats import table
from enforcer.attempts.formats.record import Logged
from enforcer.attempts.formats.render import Format, render
from enforcer.attempts.index import By, Filter, Index, Place
from enforcer.cli.asking import operator, record_access
from enforcer.cli.context import config_option, look_into
from enforcer.cli.narrowing import Which, filter_of, narrowed, open_index
from enforcer.cli.output import canonical
from enforcer.folders import Folders

_PAGE = 1000
_BEGINNING = Place(-1, -1)


class _Exported(StrEnum):
    """The formats of files; gelf is for a wire."""

    JSON = "json"
    CSV = "csv"
    ECS = "ecs"
    OCSF = "ocsf"
    CEF = "cef"
    LEEF = "leef"


@click.command()
@config_option
@narrowed
@click.option(
    "--format",
    "form",
    type=click.Choice([str(form) for form in _Exported]),
    default="json",
    show_default=True,
    help="json is the line of the log, so that its chain can be verified.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; who exports what, and why, goes into the log.")
def export(config: Path | None, form: str, reason: str, **which: Unpack[Which]) -> None:
    """Print attempts, oldest first, one a line; how far it is stands on standard error.

    The columns of csv keep their places. Memory does not grow with how much there is. The running hub writes down who
    takes records away; without it nothing is exported.

    Example: enforcer attempts export --format csv --since 2026-11-01 --reason "monthly review" > november.csv
    """
    loaded = look_into(config)
    narrow = filter_of(which)
    with open_index(loaded) as index:
        total = sum(count.lines for count in index.stats(By.ACTION, narrow))
        since, until = which["since"], which["until"]
        access = Access(
            Look.EXPORT,
            operator(),
            reason,
            narrow.device,
            None if since is None else since.isoformat(),
            None if until is None else until.isoformat(),
            total,
        )
        record_access(Folders(loaded.data_dir), access)
        if form == _Exported.CSV:
            click.echo(table.header())
        with click.progressbar(length=total, label=f"Exporting {total} records", file=sys.stderr) as progress:
            for page in _pages(index, narrow):
                click.echo("\n".join(_text(line, form) for line in page))
                progress.update(len(page))


def _pages(index: Index, which: Filter) -> Iterator[list[Line]]:
    """All that matches, oldest first."""
    place = _BEGINNING
    while page := list(index.find(which, _PAGE, newer=place))[::-1]:
        yield page
        place = Place(page[-1].entry.time_ms, page[-1].seq)


def _text(line: Line, form: str) -> str:
    attempt = line.entry
    if not isinstance(attempt, Attempt) or form == _Exported.JSON:
        return canonical(line)
    logged = Logged(line.id, line.seq, line.logged_ms, attempt)
    return table.row(logged) if form == _Exported.CSV else render(logged, b"", Format(form))
