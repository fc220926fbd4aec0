"""On whose behalf a policy is asked: which configuration, which device, which realm."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from enforcer.cli.context import find_config, load_config, policy_of
from enforcer.config.model import Config
from enforcer.config.values import instead, quoted
from enforcer.devices.device import Device
from enforcer.hub.orders import spares
from enforcer.identity.inventory import inventory_of
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Client


def behalf_options[F: Callable[..., object]](command: F) -> F:
    """Add `--device` and `--realm`."""
    realm = click.option("--realm", metavar="REALM", help="As a client of this realm, in its mode.")
    device = click.option("--device", metavar="ID", help="As this device of the inventory, with its exemptions.")
    return device(realm(command))


def in_force(given: Path | None, device: str | None, realm: str | None, now: datetime) -> tuple[Policy, Client]:
    """The policy, and on whose behalf it is asked."""
    if find_config(given) is None:
        if device is not None or realm is not None:
            raise click.UsageError("--device and --realm need a configuration; name it with --config")
        return policy_of(None, now.date()), Client(realm="")
    _, loaded = load_config(given)
    client = _client(loaded, device, realm, now)
    return policy_of(loaded, now.date()), client


def _client(config: Config, device: str | None, realm: str | None, now: datetime) -> Client:
    """A device of the inventory or nobody, in a realm; where none is named, in the device's, or in the only one."""
    modes = {each.name: each.mode for each in config.realms}
    if realm is not None and realm not in modes:
        raise click.UsageError(f"{quoted(realm)} is not a realm; {instead(realm, modes)}")
    exempt: dict[str, datetime] = {}
    own: Device | None = None
    if device is not None:
        inventory = inventory_of(config)
        own = next((each for each in inventory.devices if each.id == device), None)
        if own is None:
            raise click.UsageError(f"{quoted(device)} is not in the inventory; enforcer devices list names all")
        bound = [each.realm for each in inventory.bindings if each.device == device]
        realm = realm or (bound[0] if bound else None)
        for each in config.policy.exemptions:
            if now < each.until and spares(each, own) and (not bound or realm in bound):
                exempt |= {name: max(each.until, exempt.get(name, each.until)) for name in each.services}
    if realm is None and len(modes) == 1:
        realm = next(iter(modes))
    mode = config.policy.mode if realm is None else modes[realm]
    if own is not None and any(now < each.until and spares(each, own) for each in config.policy.monitored):
        mode = Mode.MONITOR
    return Client(realm or "", Mode(mode), exempt)
