"""What commands that look at attempts share: the options that narrow, and the index that is asked."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import TypedDict

import click

from enforcer.attempts.block import Recorded
from enforcer.attempts.index import Filter, Index
from enforcer.attempts.index.open import open_reader
from enforcer.cli.output import printable
from enforcer.cli.times import moment_option
from enforcer.config.model import Config
from enforcer.errors import Malformed
from enforcer.folders import Folders
from enforcer.policy.names import display, parse
from enforcer.policy.rules import Evidence
from enforcer.policy.verdict import Layer


def _domain_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Read a domain name in any letter case and script, to the form of the record."""
    try:
        return None if value is None else display(parse(value))
    except Malformed as error:
        raise click.BadParameter(printable(error.what)) from None


class Which(TypedDict):
    """The options that narrow; None does not."""

    since: datetime | None
    until: datetime | None
    service: str | None
    part: str | None
    evidence: str | None
    device: str | None
    group: str | None
    client: str | None
    name: str | None
    rule: str | None
    layer: str | None
    action: str | None
    realm: str | None


_OPTIONS = (
    moment_option("--since", "From then on: 1h, 2026-11-01, 2026-11-01T09:30Z."),
    moment_option("--until", "Before then, written as for --since."),
    click.option("--service", metavar="SERVICE", help="A banned service, as in wechat."),
    click.option("--part", metavar="PART", help="A part of a service, as in messaging."),
    click.option("--evidence", type=click.Choice([str(each) for each in Evidence]), help="How strong the evidence is."),
    click.option("--device", metavar="ID", help="A device, by its id in the inventory."),
    click.option("--group", metavar="GROUP", help="The devices of a group."),
    click.option("--client", metavar="ADDRESS", help="A client's address."),
    click.option("--name", callback=_domain_name, metavar="NAME", help="A domain name, and everything below it."),
    click.option("--rule", metavar="RULE", help="A rule, as records name it: list/kind/trigger."),
    click.option("--layer", type=click.Choice([str(layer) for layer in Layer]), help="Where it was seen."),
    click.option("--action", type=click.Choice([str(each) for each in Recorded]), help="What was done about it."),
    click.option("--realm", metavar="REALM", help="The realm of the client."),
)


def narrowed[F: Callable[..., object]](command: F) -> F:
    """Add the options of `Which`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_of(which: Which) -> Filter:
    """The options as the index wants them."""
    since, until = which["since"], which["until"]
    return Filter(
        since_ms=None if since is None else _ms(since),
        until_ms=None if until is None else _ms(until),
        service=which["service"],
        part=which["part"],
        evidence=which["evidence"],
        layer=which["layer"],
        action=which["action"],
        realm=which["realm"],
        device=which["device"],
        group=which["group"],
        client_ip=which["client"],
        name=which["name"],
        rule=which["rule"],
    )


def open_index(config: Config) -> closing[Index]:
    """The index, to be closed by `with`. Raises Unavailable where there is none."""
    return closing(open_reader(config.attempts.index, Folders(config.data_dir).index_file))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
