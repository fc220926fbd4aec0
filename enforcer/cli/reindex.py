"""`enforcer attempts reindex`: the index, made again from the log."""

import sys
from contextlib import closing
from pathlib import Path

import click

from enforcer.attempts.attempt import parse_line
from enforcer.attempts.index.open import open_writer
from enforcer.attempts.log import Cursor, backwards, days, read
from enforcer.cli.context import config_option, look_into
from enforcer.cli.output import say
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.hub.lock import hub_lock

_BATCH = 20_000


@click.command()
@config_option
def reindex(config: Path | None) -> None:
    """Make the index again from the log, while the hub is stopped.

    A running hub makes a damaged index again by itself. How far it is stands on standard error.

    Example: enforcer attempts reindex
    """
    loaded = look_into(config)
    folders = Folders(loaded.data_dir)
    files = days(folders.log)
    if not files:
        raise Unavailable(f"{folders.log}: there is no log yet; start the hub")
    end = Cursor(files[-1].stem, files[-1].stat().st_size, 0)
    first, last = next(read(folders.log), None), next(backwards(folders.log), None)
    lines = 0 if first is None or last is None else parse_line(last).seq - parse_line(first[0]).seq + 1
    folders.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        hub_lock(folders.run / "hub.lock"),
        closing(open_writer(loaded.attempts.index, folders.index_file, folders.log)) as index,
    ):
        index.rebuild()
        with click.progressbar(length=lines, label=f"Indexing {lines} lines", file=sys.stderr) as progress:
            while done := index.follow(end, _BATCH):
                progress.update(done)
        if index.trouble is not None:
            raise Unavailable(index.trouble)
        say(f"The index is made again, up to line number {index.seq()}")
