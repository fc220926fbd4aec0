"""`enforcer attempts bundle`: evidence to hand on, that can be checked without anything of ours."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click

from enforcer import __version__
from enforcer.attempts.access import Access, Look
from enforcer.attempts.attempt import moment
from enforcer.attempts.bundle import Contents, Order, Sources, write_bundle
from enforcer.cli.asking import operator, record_access
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.output import print_json, say, some
from enforcer.cli.times import moment_option
from enforcer.control import ask
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.processes.clock import utc_now


@click.command()
@config_option
@click.option("--device", metavar="ID", help="Whose records, by the id in the inventory.")
@click.option("--everybody", is_flag=True, help="Whole days of the log instead, with the records of all devices.")
@moment_option("--since", "Attempts from then on; without it, from the beginning.")
@moment_option("--until", "Attempts before then; without it, up to now.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the log and into the bundle.")
@click.option("--without-hub", is_flag=True, help="No hub runs here, as on a copy: nothing is recorded.")
@json_option("Print one object: records, attempts, unproven, days.")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.zip")
def bundle(
    *,
    config: Path | None,
    device: str | None,
    everybody: bool,
    since: datetime | None,
    until: datetime | None,
    reason: str,
    without_hub: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Write an evidence bundle: the records of a device and a time, with all that proves them.

    It has each record as it stands in the log and the proof that it does, what the hub signed, the policies and lists
    that were in force, and a program that checks it all; and nobody else's records. It also answers a request for
    access. The hub signs the log first, and records who took what and why; without that nothing is handed out.

    Example: enforcer attempts bundle --device dev-7f3a91c2 --since 2026-11-01 --reason "case 2026-14" case-2026-14.zip
    """
    if (device is None) is not everybody:
        raise click.UsageError("say whose records: --device ID, or --everybody")
    if out.exists():
        raise click.UsageError(f"{out} is there already; name another file")
    folders = Folders(look_into(config).data_dir)
    if not without_hub:
        ask(folders.control, {"op": "checkpoint"})
    order = Order(device, _ms(since), _ms(until), operator(), reason, _ms(utc_now()) or 0, f"enforcer {__version__}")
    new = out.with_name(f"{out.name}.new")
    try:
        new.unlink(missing_ok=True)
        contents = write_bundle(new, Sources(folders.log, folders.holds, folders.policy), order)
        if not without_hub:
            record_access(folders, _access(order, contents))
        new.rename(out)
    except OSError as error:
        raise Unavailable(f"{error.filename or out}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    if as_json:
        facts = {name: getattr(contents, name) for name in Contents.__dataclass_fields__}
        print_json(facts)
        return
    records, attempts = some(contents.records, "record"), some(contents.attempts, "attempt")
    say(f"{out}: {records} of {attempts}, on {some(len(contents.days), 'day')}")
    if contents.unproven:
        say(f"{contents.unproven} of them are behind the last signature, and not proven")
    if contents.missing:
        say(f"Policies that are not there any more: {', '.join(contents.missing)}")
    say("Whoever gets it checks it with: python3 verify.py --key KEY.pem (see README.txt in it)")


def _access(order: Order, contents: Contents) -> Access:
    since, until = (None if ms is None else moment(ms) for ms in (order.since_ms, order.until_ms))
    return Access(Look.BUNDLE, order.who, order.reason, order.device, since, until, contents.records)


def _ms(value: datetime | None) -> int | None:
    return None if value is None else int(value.timestamp() * 1000)
