"""`enforcer attempts purge` and `hold`: what is deleted, and what must not be."""

from datetime import datetime
from pathlib import Path

import click

from enforcer.attempts.attempt import moment
from enforcer.attempts.holds import load_holds
from enforcer.cli.asking import operator
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.output import print_json, print_table, say, second
from enforcer.cli.times import moment_option
from enforcer.control import ask
from enforcer.errors import Corrupt
from enforcer.folders import Folders

_reason = click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the log.")


@click.command()
@config_option
@moment_option("--before", "Delete the days before this one (UTC).", required=True)
@_reason
@click.option("--dry-run", is_flag=True, help="Only say what would become of each day.")
@json_option("Print one object a day: day, kept, what.")
def purge(config: Path | None, before: datetime, reason: str, dry_run: bool, as_json: bool) -> None:
    """Delete whole days of the log before their time, through the running hub.

    Each leaves its last checkpoint and a signed proof, and an event in the log. Days on hold stay, and days that a
    sink has not read. The hub itself deletes what is older than attempts.retention_days.

    Example: enforcer attempts purge --before 2026-05-01 --reason "end of the pilot" --dry-run
    """
    folders = Folders(look_into(config).data_dir)
    request = {
        "op": "purge",
        "before": before.strftime("%Y-%m-%d"),
        "reason": reason,
        "who": operator(),
        "dry": dry_run,
    }
    days = ask(folders.control, request)["days"]
    if not isinstance(days, list):
        raise Corrupt("the hub's answer is not that of this version")
    if as_json:
        for day in days:
            print_json(day)
    elif not days:
        say("There is no day before that")
    else:
        word = "would be deleted" if dry_run else "deleted"
        rows = [(day["day"], word if day["kept"] is None else f"stays: {day['what']}") for day in days]
        print_table(("day", "what becomes of it"), rows)


@click.group()
def hold() -> None:
    """Keep records that retention would delete: a device's, or all of a time.

    Of a device, its lines are copied with their proofs when their day is deleted, and nobody else's. Of a time, whole
    days stay.

    Example: enforcer attempts hold list
    """


@hold.command()
@config_option
@click.option("--device", metavar="ID", help="Whose records; without it, everybody's of the time that is named.")
@moment_option("--since", "From then on; without it, from the beginning.")
@moment_option("--until", "Before then; without it, until the hold is released.")
@_reason
@click.argument("name", metavar="NAME")
def place(
    config: Path | None, device: str | None, since: datetime | None, until: datetime | None, *, reason: str, name: str
) -> None:
    """Place a hold. NAME: how it is called from then on, as in a case number.

    Example: enforcer attempts hold place case-2026-14 --device dev-7f3a91c2 --reason "grievance 2026-14"
    """
    folders = Folders(look_into(config).data_dir)
    request = {
        "op": "hold",
        "name": name,
        "device": device,
        "since": _text(since),
        "until": _text(until),
        "reason": reason,
        "who": operator(),
    }
    ask(folders.control, request)
    say(f"Hold {name} is in force; release it with `enforcer attempts hold release {name}`")


@hold.command("list")
@config_option
@json_option("Print one object a hold.")
def list_(config: Path | None, as_json: bool) -> None:
    """List the holds in force, with the days of which they keep copies.

    Example: enforcer attempts hold list
    """
    folder = Folders(look_into(config).data_dir).holds
    rows = []
    for each in load_holds(folder):
        copied = len(list((folder / each.name).glob("*.ndjson")))
        if as_json:
            print_json({**each.detail(), "days": copied})
        since, until = (None if ms is None else second(ms) for ms in (each.since_ms, each.until_ms))
        rows.append((each.name, each.device, since, until, copied, each.who, each.reason))
    if not as_json:
        print_table(("name", "device", "since", "until", "days", "who", "reason"), rows)


@hold.command("release")
@config_option
@_reason
@click.argument("name", metavar="NAME")
def release_(config: Path | None, reason: str, name: str) -> None:
    """Release a hold: what it has copied is deleted, and retention goes on.

    Example: enforcer attempts hold release case-2026-14 --reason "closed 2027-02-01"
    """
    folders = Folders(look_into(config).data_dir)
    ask(folders.control, {"op": "release", "name": name, "reason": reason, "who": operator()})
    say(f"Hold {name} is released")


def _text(value: datetime | None) -> str | None:
    return None if value is None else moment(int(value.timestamp() * 1000))
