"""`enforcer devices`: the inventory, who is connected, who is silent, and what devices tried."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from enforcer.attempts.attempt import Line
from enforcer.attempts.index import Filter
from enforcer.cli.asking import operator
from enforcer.cli.attempts import attempt_table
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.narrowing import open_index
from enforcer.cli.output import Value, canonical, print_facts, print_json, print_table, say, second, some
from enforcer.config.model import Config
from enforcer.config.values import quoted, short
from enforcer.control import ask
from enforcer.devices.inventory import Inventory, Kind
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.identity.exports import IDENTIFIERS
from enforcer.identity.inventory import inventory_of, numbering_of, parse_inventory, read_inventory

_COLUMN = {Kind.TUNNEL: "wireguard"}
_REJECTED_SHOWN = 50


@click.group()
def devices() -> None:
    """Look at the devices of the inventory.

    Example: enforcer devices show dev-7f3a91c2
    """


@devices.command("import")
@config_option
@click.option("--to", type=click.Path(path_type=Path), help="Where to write it; by default identity.inventory.file.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@json_option("Print one object: devices, identifiers, rejected.")
@click.argument("export", metavar="FILE", type=click.Path(path_type=Path))
def import_(config: Path | None, to: Path | None, dry_run: bool, as_json: bool, export: Path) -> None:
    """Take an export of a device manager, and write the least of it that is needed as the inventory.

    Intune, Jamf and Workspace ONE, as CSV or JSON. Names, users and e-mail addresses are left behind. Each line that
    cannot be used is told with its number; the exit status is then 1, and the others are written all the same. A
    running hub takes the new inventory within seconds.

    Example: enforcer devices import intune.csv --to devices.csv
    """
    loaded = look_into(config)
    settings = loaded.identity.inventory
    inventory = read_inventory(export, loaded.realms, None if settings is None else numbering_of(settings))
    target = to or (None if settings is None else settings.file)
    if target is None:
        raise click.UsageError("the configuration names no identity.inventory.file; name one with --to")
    text = minimal(inventory)
    parse_inventory(text, str(target), loaded.realms)  # what is written can be read
    if not dry_run:
        new = target.with_name(target.name + ".new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(target)
    rejected = [str(mistake) for mistake in inventory.rejected]
    if as_json:
        print_json({"devices": len(inventory.devices), "identifiers": len(inventory.keys), "rejected": rejected})
    else:
        for line in rejected[:_REJECTED_SHOWN]:
            say(f"left out: {line}", err=True)
        if len(rejected) > _REJECTED_SHOWN:
            say(f"left out: {len(rejected) - _REJECTED_SHOWN} more", err=True)
        verb = "would be written" if dry_run else "written"
        found = f"{some(len(inventory.devices), 'device')} with {some(len(inventory.keys), 'identifier')}"
        say(f"{found} {verb} to {target}")
    if rejected:
        click.get_current_context().exit(1)


@devices.command("list")
@config_option
@json_option("Print one object a line: device, group, realm, addresses, known_by.")
def list_(config: Path | None, as_json: bool) -> None:
    """List the inventory: devices, and networks that only a group is known of.

    Of identifiers only their kinds are shown.

    Example: enforcer devices list
    """
    rows = _by_owner(inventory_of(look_into(config)))
    if as_json:
        for device, group, realm, addresses, kinds in rows:
            print_json({"device": device, "group": group, "realm": realm, "addresses": addresses, "known_by": kinds})
    else:
        table = [(*row[:3], " ".join(row[3]), " ".join(row[4])) for row in rows]
        print_table(("device", "group", "realm", "addresses", "known by"), table)


@devices.command()
@config_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many attempts.")
@json_option("Print one object: device, group, addresses, attempts.")
@click.argument("id", metavar="ID")
def show(config: Path | None, limit: int, as_json: bool, id: str) -> None:  # noqa: A002 (the inventory's word)
    """Print one device: its group, its addresses, the last attempts.

    Example: enforcer devices show dev-7f3a91c2
    """
    loaded = look_into(config)
    inventory = inventory_of(loaded)
    rows = [row for row in _by_owner(inventory) if row[0] == id]
    if not rows:
        raise EnforcerError(
            f"{quoted(id)} is not in the inventory; enforcer devices list names all, "
            f"and enforcer attempts list --device {id} what was recorded of it"
        )
    try:
        with open_index(loaded) as index:
            found: Sequence[Line] | None = index.find(Filter(device=id), limit)
    except Unavailable:
        found = None
    addresses = {realm: own for _, _, realm, own, _ in rows if realm is not None}
    group = rows[0][1]
    if as_json:
        records = None if found is None else [json.loads(canonical(line)) for line in found]
        kinds = rows[0][4]
        print_json({"device": id, "group": group, "addresses": addresses, "known_by": kinds, "attempts": records})
        return
    facts: dict[str, Value | list[str]] = {"device": id, "group": group, "known by": rows[0][4] or "addresses alone"}
    print_facts(facts | {f"in {realm}": own for realm, own in addresses.items()})
    click.echo()
    if found:
        attempt_table(found)
    else:
        click.echo("There is no index of attempts yet" if found is None else "No attempt")


@devices.command()
@config_option
@click.option("--device", metavar="ID", help="Of one device, or of one unlisted:… of the record.")
@json_option("Print one object a line: device, group, realm, addresses, source, state, since_ms, last_ms.")
def sessions(config: Path | None, device: str | None, as_json: bool) -> None:
    """List who is connected now, as accounting, leases, neighbours and tunnels tell.

    Example: enforcer devices sessions --device dev-7f3a91c2
    """
    answer = _ask(look_into(config), {"op": "sessions"} | ({} if device is None else {"device": device}))
    rows = _items(answer["sessions"])
    if as_json:
        for each in rows:
            print_json(each)
        return
    columns = ("device", "group", "realm", "addresses", "source", "state", "since", "last")
    print_table(columns, [_session_row(each) for each in rows])
    if answer["more"]:
        say(f"There are more than these {len(rows)}", err=True)


@devices.command()
@config_option
@click.option("--days", type=click.IntRange(1, 3650), default=7, show_default=True, help="Silent for so long.")
@json_option("Print one object a line: device, group, last_ms.")
def silent(config: Path | None, days: int, as_json: bool) -> None:
    """List devices of the inventory that no session, lease or tunnel has shown for days.

    They may be off, or on a network that is not this one. What devices ask for plays no part: that leaves no trace.

    Example: enforcer devices silent --days 30
    """
    answer = _ask(look_into(config), {"op": "silent", "days": days})
    rows = _items(answer["silent"])
    if as_json:
        for each in rows:
            print_json(each)
        return
    if not answer["sources"]:
        say(
            "Nothing tells who is connected: the configuration has no accounting, leases, neighbours or tunnels",
            err=True,
        )
    print_table(
        ("device", "group", "last seen"), [(_text(e["device"]), _text(e["group"]), _at(e["last_ms"])) for e in rows]
    )


@devices.command()
@config_option
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the log, with who asks.")
@json_option("Print one object: id, identifiers.")
@click.argument("id", metavar="ID")
def reveal(config: Path | None, reason: str, as_json: bool, id: str) -> None:  # noqa: A002 (the inventory's word)
    """Print what a network knows a device by: IMEI, SIM, number, MAC. Who asked and why is recorded.

    ID is a device, or an unlisted:… of the record while its session is kept.

    Example: enforcer devices reveal dev-7f3a91c2 --reason "ticket 4711: lost phone"
    """
    answer = _ask(look_into(config), {"op": "reveal", "id": id, "who": operator(), "reason": reason})
    if as_json:
        print_json(answer)
        return
    found = answer["identifiers"]
    facts: dict[str, Value | list[str]] = {"id": id}
    for kind, values in found.items() if isinstance(found, dict) else ():
        facts[str(kind)] = [str(each) for each in values]
    print_facts(facts)


def minimal(inventory: Inventory) -> str:
    """An inventory as a CSV file of our own, with nothing but what identifies devices and groups."""
    cells: dict[str, dict[str, list[str]]] = {}
    for (kind, value), device in inventory.keys.items():
        cells.setdefault(device.id, {}).setdefault(_COLUMN.get(kind, kind.value), []).append(_written(kind, value))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "group", *IDENTIFIERS))
    for device in inventory.devices:
        own = cells.get(device.id, {})
        writer.writerow((device.id, device.group or "", *(";".join(own.get(column, ())) for column in IDENTIFIERS)))
    return out.getvalue()


def _written(kind: Kind, value: str) -> str:
    return f"+{value}" if kind is Kind.MSISDN else value


def _by_owner(inventory: Inventory) -> list[tuple[str | None, str | None, str | None, list[str], list[str]]]:
    """Device, group, realm, addresses and kinds of identifiers; the device is None where a group owns the addresses."""
    kinds: dict[str, list[str]] = {}
    for kind, device in sorted((kind.value, device.id) for (kind, _), device in inventory.keys.items()):
        if kind not in kinds.setdefault(device, []):
            kinds[device].append(kind)
    owners: dict[tuple[str | None, str | None, str | None], list[str]] = {}
    for each in inventory.bindings:
        owners.setdefault((each.device, each.group, each.realm), []).append(short(each.network))
    bound = {device for device, _, _ in owners}
    owners |= {(each.id, each.group, None): [] for each in inventory.devices if each.id not in bound}
    return [(*owner, addresses, kinds.get(owner[0] or "", [])) for owner, addresses in owners.items()]


def _session_row(session: Mapping[str, object]) -> tuple[Value, ...]:
    addresses = session["addresses"]
    return (
        *(_text(session[key]) for key in ("device", "group", "realm")),
        " ".join(str(each).removesuffix("/32").removesuffix("/128") for each in addresses)
        if isinstance(addresses, list)
        else None,
        *(_text(session[key]) for key in ("source", "state")),
        _at(session["since_ms"]),
        _at(session["last_ms"]),
    )


def _ask(config: Config, request: Mapping[str, object]) -> Mapping[str, object]:
    return ask(Folders(config.data_dir).control, request)


def _items(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _at(value: object) -> str | None:
    return second(value) if isinstance(value, int) else None
