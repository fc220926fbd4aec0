"""`enforcer config`: what enforcer.yaml says, and whether everything would start with it."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import yaml

from enforcer.attempts.index.open import SQLITE
from enforcer.blocklists import Lists
from enforcer.cli.context import compiled, config_option, json_option, lists_of, load_config
from enforcer.cli.output import print_json, say
from enforcer.config.describe import schema as schema_of
from enforcer.config.describe import show as show_config
from enforcer.config.load import check_services
from enforcer.config.model import Config
from enforcer.devices.inventory import Inventory
from enforcer.errors import Mistake, Mistakes
from enforcer.identity.inventory import inventory_of
from enforcer.policy.selftest import self_test
from enforcer.processes.clock import utc_now
from enforcer.processes.policy import settings_of
from enforcer.processes.sinks import unfit


@click.group()
def config() -> None:
    """Look at the configuration: its mistakes, keys, values.

    Example: enforcer config check --config deploy/enforcer.yaml
    """


@config.command()
@config_option
@json_option("Print an object: node, lists, rules, devices, warnings.")
def check(config: Path | None, as_json: bool) -> None:
    """Say whether everything would start: reads the file and all that it names, and changes nothing.

    Every mistake is printed, and the exit status is then 2. Warnings are printed too, and stop nothing.

    Example: enforcer config check --config deploy/enforcer.yaml
    """
    now = utc_now()
    path, loaded = load_config(config)
    mistakes: list[Mistake] = []
    inventory = Inventory()
    lists: Lists | None = None
    rules = 0
    try:
        inventory = inventory_of(loaded)
    except Mistakes as error:
        mistakes += error.mistakes
    try:
        lists = lists_of(loaded, now.date())
        policy = compiled(lists.own, lists.third_party, settings_of(loaded))
        rules = sum(policy.rules_by.values())
        mistakes += check_services(path, loaded, policy.services)
        mistakes += [Mistake(str(path), None, f"self-test: {failure}") for failure in self_test(policy)]
    except Mistakes as error:
        mistakes += error.mistakes
    mistakes += [Mistake(str(path), None, what) for what in _not_installed(loaded)]
    if mistakes or lists is None:
        raise Mistakes(mistakes)
    warnings = [str(warning) for warning in (*lists.warnings, *inventory.rejected, *unfit(loaded))]
    devices = len(inventory.devices)
    count = len(lists.own) + len(lists.third_party)
    if as_json:
        print_json({"node": loaded.node, "lists": count, "rules": rules, "devices": devices, "warnings": warnings})
        return
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    say(f"{path}: this would start: node {loaded.node}, {count} lists with {rules} rules, {devices} devices")


@config.command()
def schema() -> None:
    """Print the JSON schema of enforcer.yaml: every key, what it means, its default; editors complete with it.

    Example: enforcer config schema > enforcer.schema.json
    """
    click.echo(json.dumps(schema_of(), indent=2))


@config.command()
@config_option
@json_option("Print JSON instead of YAML.")
def show(config: Path | None, as_json: bool) -> None:
    """Print what is in force with this file, defaults too.

    Example: enforcer config show
    """
    text = show_config(load_config(config)[1])
    click.echo(json.dumps(yaml.safe_load(text)) if as_json else text, nl=as_json)


def _not_installed(loaded: Config) -> Iterator[str]:
    """Libraries without which the hub would not start; a sink without its own is a warning."""
    if loaded.attempts.index != SQLITE and find_spec("psycopg") is None:
        yield 'attempts.index: psycopg is not installed; install "enforcer[postgres]", or write sqlite'
    if loaded.identity.shared is not None and find_spec("redis") is None:
        yield 'identity.shared: redis is not installed; install "enforcer[redis]", or leave it out'
