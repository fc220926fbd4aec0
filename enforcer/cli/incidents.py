"""`enforcer incidents`: all attempts of one device at one service, as a reviewer works with them."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from enforcer.attempts.incidents import Incident, incident, incidents, plain_incident
from enforcer.attempts.index import EVERYTHING, Review, Subject
from enforcer.cli.asking import operator
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.narrowing import open_index
from enforcer.cli.output import print_facts, print_json, print_table, say, second
from enforcer.cli.times import moment_option
from enforcer.config.values import quoted
from enforcer.control import ask
from enforcer.errors import EnforcerError
from enforcer.folders import Folders

_COLUMNS = ("last", "who", "service", "evidence", "attempts", "direct", "bypass", "first", "state")


def _subject(_: click.Context, __: click.Parameter, value: str) -> Subject:
    """Read a device, or a realm and an address."""
    realm, slash, address = value.partition("/")
    if not slash:
        return Subject(value)
    try:
        return Subject(None, realm, str(ipaddress.ip_address(address)))
    except ValueError:
        raise click.BadParameter(f"{quoted(value)} is neither a device nor REALM/ADDRESS") from None


_who = click.argument("who", metavar="WHO", callback=_subject)
_service = click.argument("service", metavar="SERVICE")
_states = click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in Review]),
    help="What a reviewer said.",
)


@click.group("incidents")
def incidents_() -> None:
    """Review what devices tried: all attempts of one device at one service are one incident.

    Example: enforcer incidents list --state open
    """


@incidents_.command("list")
@config_option
@moment_option("--since", "Seen from then on: 7d, 2026-11-01, 2026-11-01T09:30Z.")
@click.option("--service", metavar="SERVICE", help="A banned service, as in wechat.")
@click.option("--device", metavar="ID", help="A device, by its id in the inventory.")
@click.option("--group", metavar="GROUP", help="The devices of a group.")
@click.option("--evidence", type=click.Choice(["app", "web", "shared"]), help="With attempts of this evidence.")
@_states
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, at most.")
@json_option("Print one object a line.")
def list_(
    *,
    config: Path | None,
    since: datetime | None,
    service: str | None,
    device: str | None,
    group: str | None,
    evidence: str | None,
    states: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List incidents, the one seen last first.

    evidence: app means that only the application asks for this, web that pages embed it. direct: connections without
    a DNS attempt in the ten minutes before, so the address was in the application or came from another resolver.
    bypass: attempts of the same device to reach another resolver.

    Example: enforcer incidents list --since 7d --state open --state escalated
    """
    which = replace(
        EVERYTHING,
        since_ms=None if since is None else int(since.timestamp() * 1000),
        service=service,
        device=device,
        group=group,
        evidence=evidence,
    )
    with open_index(look_into(config)) as index:
        found = incidents(index, which, [Review(state) for state in states], limit)
    if as_json:
        for each in found:
            print_json(plain_incident(each))
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


@incidents_.command()
@config_option
@json_option("Print one object.")
@_who
@_service
def show(config: Path | None, who: Subject, service: str, as_json: bool) -> None:
    """Print an incident with its counts, and what a reviewer said of it.

    WHO is a device, or for one that is not known REALM/ADDRESS, as `enforcer incidents list` prints it.

    Example: enforcer incidents show dev-7f3a91c2 wechat
    """
    with open_index(look_into(config)) as index:
        found = incident(index, who, service)
    if found is None:
        raise EnforcerError(f"{quoted(_name(who))} has no attempt at {quoted(service)} in the index")
    if as_json:
        print_json(plain_incident(found))
        return
    facts: dict[str, str | int | None] = {
        "who": _name(found.subject),
        "group": found.group,
        "service": found.service,
        "evidence": found.strength,
        "first": second(found.first_ms),
        "last": second(found.last_ms),
        "attempts": f"{found.attempts} in {found.lines} records",
        "by layer": _counts(found.by_layer),
        "by part": _counts(found.by_part),
        "by evidence": _counts(found.by_evidence),
        "by action": _counts(found.by_action),
        "direct connections": found.direct,
        "bypass attempts": found.bypass,
        "state": found.state.value,
    }
    if found.mark is not None:
        facts |= {
            "note": found.mark.note,
            "said by": f"{found.mark.who}, {second(found.mark.time_ms)}, line number {found.mark.seq}",
            "seen since": "yes" if found.seen_since_mark else "no",
        }
    print_facts(facts)


@incidents_.command()
@config_option
@click.option(
    "--state", required=True, type=click.Choice([str(state) for state in Review]), help="What the review came to."
)
@click.option("--note", required=True, metavar="TEXT", help="Why; it goes into the log.")
@_who
@_service
def mark(config: Path | None, who: Subject, service: str, state: str, note: str) -> None:
    """Say what a review of an incident came to; the running hub writes it into the log.

    WHO is a device, or for one that is not known REALM/ADDRESS, as `enforcer incidents list` prints it.

    Example: enforcer incidents mark dev-7f3a91c2 wechat --state explained --note "a page with a share button"
    """
    folders = Folders(look_into(config).data_dir)
    subject = {"device": who.device, "realm": who.realm, "client_ip": who.client_ip}
    ask(folders.control, {"op": "mark", **subject, "service": service, "state": state, "note": note, "who": operator()})
    say(f"Marked as {state}: {_name(who)}, {service}")


def _name(subject: Subject) -> str:
    return subject.device or f"{subject.realm}/{subject.client_ip}"


def _row(each: Incident) -> tuple[str | int, ...]:
    state = each.state.value + (", seen since" if each.seen_since_mark else "")
    return (
        second(each.last_ms),
        _name(each.subject),
        each.service,
        each.strength,
        each.attempts,
        each.direct,
        each.bypass,
        second(each.first_ms),
        state,
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {count}" for key, count in counts.items())
