"""`enforcer devices`: the inventory, and what its devices tried."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from enforcer.attempts.attempt import Line
from enforcer.attempts.index import Filter
from enforcer.cli.attempts import attempt_table
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.narrowing import open_index
from enforcer.cli.output import canonical, print_facts, print_json, print_table
from enforcer.config.values import quoted, short
from enforcer.devices.device import Binding
from enforcer.errors import EnforcerError, Unavailable
from enforcer.processes.hub import bindings_of


@click.group()
def devices() -> None:
    """Look at the devices of the inventory.

    Example: enforcer devices show dev-7f3a91c2
    """


@devices.command("list")
@config_option
@json_option("Print one object a line: device, group, realm, addresses.")
def list_(config: Path | None, as_json: bool) -> None:
    """List the inventory: devices, and networks that only a group is known of.

    Example: enforcer devices list
    """
    rows = _by_owner(bindings_of(look_into(config)))
    if as_json:
        for device, group, realm, addresses in rows:
            print_json({"device": device, "group": group, "realm": realm, "addresses": addresses})
    else:
        print_table(("device", "group", "realm", "addresses"), [(*row[:3], " ".join(row[3])) for row in rows])


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
    rows = _by_owner(each for each in bindings_of(loaded) if each.device == id)
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
    addresses = {realm: own for _, _, realm, own in rows}
    group = rows[0][1]
    if as_json:
        records = None if found is None else [json.loads(canonical(line)) for line in found]
        print_json({"device": id, "group": group, "addresses": addresses, "attempts": records})
        return
    print_facts({"device": id, "group": group} | {f"in {realm}": own for realm, own in addresses.items()})
    click.echo()
    if found:
        attempt_table(found)
    else:
        click.echo("There is no index of attempts yet" if found is None else "No attempt")


def _by_owner(bindings: Iterable[Binding]) -> list[tuple[str | None, str | None, str, list[str]]]:
    """Device, group, realm and addresses, in the order of the inventory; the device is None where a group owns them."""
    owners: dict[tuple[str | None, str | None, str], list[str]] = {}
    for each in bindings:
        owners.setdefault((each.device, each.group, each.realm), []).append(short(each.network))
    return [(*owner, addresses) for owner, addresses in owners.items()]
