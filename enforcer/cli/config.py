"""`enforcer config`: what enforcer.yaml says, and whether everything would start with it."""

import json
from pathlib import Path

import click
import yaml

from enforcer.cli.context import config_option, json_option, load_config
from enforcer.config.describe import schema as schema_of
from enforcer.config.describe import show as show_config


@click.group()
def config() -> None:
    """Look at the configuration: its mistakes, keys, values.

    Example: enforcer config check --config deploy/enforcer.yaml
    """


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
