"""`enforcer attempts verify` and `key`: is the log whole, and by whose signature."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from enforcer.attempts.checkpoint import PublicKeys, merged
from enforcer.attempts.keys import published, read_key_file
from enforcer.attempts.log import days
from enforcer.attempts.report import Report
from enforcer.attempts.verify import verify_log
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.output import print_json, say, some
from enforcer.cli.times import moment_option
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders

DAMAGED = 1
UNCHECKED = 2


@click.command()
@config_option
@moment_option("--since", "From the file of that day on, UTC; without it, from the first line of all.")
@moment_option("--until", "Up to the file of that day.")
@click.option(
    "--key", "key_files", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
    help="A public key that you have from elsewhere; without one, those beside the log.",
)  # fmt: skip
@click.option(
    "--checkpoints", type=click.Path(path_type=Path), metavar="FILE",
    help="Checkpoints that were kept elsewhere, one line each as the sinks send them: the log must contain them.",
)  # fmt: skip
@json_option("Print one object.")
@click.argument("folder", type=click.Path(path_type=Path), required=False, metavar="[FOLDER]")
def verify(
    *,
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    key_files: Sequence[Path],
    checkpoints: Path | None,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Check that the log is whole: no line altered, left out or put in, and signed by the hub.

    FOLDER: a copy of the log's folder, on any machine; without it, the log of the configuration. The first bad number
    and the kind of damage are named. Exit status: 0 whole, 1 damaged, 2 could not be checked.

    Example: enforcer attempts verify --key key-3f1c.pem --checkpoints from-siem.ndjson /mnt/copy/log
    """
    try:
        where = folder or Folders(look_into(config).data_dir).log
        if not days(where):
            raise Unavailable(f"{where}: there is no log; name the folder that has its files, as in 2026-11-26.ndjson")
        keys = merged(map(read_key_file, key_files)) if key_files else published(where)
        report = _verified(where, keys, _day(since), _day(until), checkpoints)
        if checkpoints is not None and not report.witnessed:
            raise Unavailable(
                f"{checkpoints}: there is no checkpoint in it; sinks of format json send them as they are"
            )
    except (EnforcerError, OSError) as error:
        say(str(error), err=True)
        raise click.exceptions.Exit(UNCHECKED) from error
    if as_json:
        print_json(_facts(report))
    else:
        _tell(report, own_key=bool(key_files))
    if report.damage is not None:
        raise click.exceptions.Exit(DAMAGED)


@click.command("key")
@config_option
@click.option("--all", "every", is_flag=True, help="Keys that signed earlier, too.")
def key_(config: Path | None, every: bool) -> None:
    """Print the public key that the log is signed with, in PEM, for auditors to keep.

    Its name is printed to stderr; the `start` events of the log show both. The private key never leaves the hub.

    Example: enforcer attempts key > enforcer-gw-1.pem
    """
    loaded = look_into(config)
    folder = Folders(loaded.data_dir).log
    paths = sorted(folder.glob("key-*.pem"), key=lambda path: path.stat().st_mtime_ns)
    if not paths:
        raise Unavailable(f"{folder}: there is no public key yet; start the hub")
    for path in paths if every else paths[-1:]:
        for name in read_key_file(path):
            say(f"key {name}", err=True)
            click.echo(path.read_text(), nl=False)


def _verified(folder: Path, keys: PublicKeys, since: str | None, until: str | None, kept: Path | None) -> Report:
    total = sum(path.stat().st_size for path in days(folder))
    with _lines(kept) as witnessed, _progress(total) as progress:
        return verify_log(folder, keys, since=since, until=until, witnessed=witnessed, progress=progress)


@contextmanager
def _lines(path: Path | None) -> Iterator[Iterator[bytes]]:
    if path is None:
        yield iter(())
        return
    with path.open("rb") as file:
        yield file


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """On a terminal, a bar on stderr."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="verifying", file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d")


def _facts(report: Report) -> Mapping[str, object]:
    damage = report.damage
    return {
        "whole": damage is None,
        "files": report.files,
        "lines": report.lines,
        "first": report.first,
        "seq": report.seq,
        "hash": report.hash,
        "checkpoints": report.checkpoints,
        "witnessed": report.witnessed,
        "signed": report.signed,
        "unsigned": report.unsigned,
        "keys": list(report.keys),
        "purged": list(report.purged),
        "declared": report.declared,
        "lost": report.lost,
        "damage": None
        if damage is None
        else {"kind": damage.kind.value, "file": damage.file, "seq": damage.seq, "what": damage.what},
    }


def _tell(report: Report, *, own_key: bool) -> None:
    if report.damage is not None:
        say(f"The log is damaged. {report.damage}", err=True)
        say(f"Up to number {report.damage.seq - 1} it is as it was written", err=True)
        return
    say(f"The log is whole: {some(report.files, 'file')}, numbers {report.first} to {report.seq}, hash {report.hash}")
    if report.signed:
        rest = f"; not signed yet: {some(report.unsigned, 'line')} behind it" if report.unsigned else ""
        keys, times = ", ".join(report.keys), some(report.checkpoints, "time")
        say(f"Signed up to number {report.signed} by key {keys}, {times}{rest}")
    else:
        say("None of it is signed")
    if report.witnessed:
        say(f"It contains the {some(report.witnessed, 'checkpoint')} kept elsewhere")
    if report.signed and not own_key:
        say("The key was found beside the log: name the one that you keep with --key to know whose it is")
    if report.purged:
        days = some(len(report.purged), "day")
        say(f"Purged, with the hub's signature: {days}, {report.purged[0]} to {report.purged[-1]}")
    if report.declared:
        events = ", ".join(f"{count} {event}" for event, count in sorted(report.declared.items()))
        say(f"The log itself says what it lacks: {some(report.lost, 'attempt')} blocked and not kept ({events})")
