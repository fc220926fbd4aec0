"""`enforcer status`, `reload`, `pause`, `resume`: what is asked of the running hub, through its socket."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from enforcer.cli.asking import operator
from enforcer.cli.context import config_option, json_option, look_into
from enforcer.cli.output import Value, print_facts, print_json, print_table, say, second
from enforcer.config.model import Config
from enforcer.control import ask
from enforcer.counters import read_counters, word
from enforcer.errors import Corrupt, Unavailable
from enforcer.folders import Folders
from enforcer.orders import decode_orders

_WORKER_COLUMNS = ("process", "pid", "up", "restarts", "generation", "heartbeat", "spool bytes")
_MINUTES_MAX = 24 * 60


@click.command()
@config_option
@json_option("Print one object.")
def status(config: Path | None, as_json: bool) -> None:
    """Say how the hub and its workers are, what is in force, and what is wrong.

    When the hub does not answer, what the workers follow without it is read from the files; the exit status is then 1.

    Example: enforcer status
    """
    folders = Folders(look_into(config).data_dir)
    try:
        answer = ask(folders.control, {"op": "status"})
    except Unavailable as error:
        answer = _without_hub(folders)
        if as_json:
            print_json({"hub": False, "error": str(error), **answer})
        else:
            click.echo(f"The hub does not answer; workers go on with their last orders.\n{error}", err=True)
            _print_status(answer)
        click.get_current_context().exit(1)
    if as_json:
        print_json({"hub": True, **answer})
    else:
        _print_status(answer)


@click.command()
@config_option
@json_option("Print an object: old, ruleset, restart.")
def reload(config: Path | None, as_json: bool) -> None:
    """Put changed lists, inventory and configuration in force; no query is lost.

    With any mistake nothing changes: all of them are printed, what ran before goes on, and the exit status is 1.

    Example: enforcer reload
    """
    answer = _ask(look_into(config), {"op": "reload", "who": operator()})
    if as_json:
        print_json(answer)
        return
    old, new = answer["old"], answer["ruleset"]
    say(f"Reloaded: the policy is {new} as before" if old == new else f"Reloaded: the policy was {old}, and is {new}")
    for setting in _items(answer["restart"]):
        say(f"{setting} has changed, which needs a restart")


@click.command()
@config_option
@click.option("--realm", required=True, metavar="REALM", help="Which realm.")
@click.option("--minutes", required=True, type=click.IntRange(1, _MINUTES_MAX), help="For how long; it ends by itself.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the log.")
@json_option("Print an object: until.")
def pause(config: Path | None, realm: str, minutes: int, reason: str, as_json: bool) -> None:
    """Break the glass: observe a realm for some minutes instead of blocking.

    It ends by itself, stands in the log with its reason, and metrics show it. Attempts are recorded as observed.

    Example: enforcer pause --realm apn-gov --minutes 30 --reason "ticket 4711: sign-in fails"
    """
    request = {"op": "pause", "realm": realm, "minutes": minutes, "reason": reason, "who": operator()}
    answer = _ask(look_into(config), request)
    if as_json:
        print_json(answer)
    else:
        say(f"{realm} is observed, not blocked, until {_utc(answer['until'])}")


@click.command()
@config_option
@click.option("--realm", required=True, metavar="REALM", help="Which realm.")
def resume(config: Path | None, realm: str) -> None:
    """End a pause before its time: block again.

    Example: enforcer resume --realm apn-gov
    """
    _ask(look_into(config), {"op": "resume", "realm": realm, "who": operator()})
    say(f"{realm} is enforced again")


def _ask(config: Config, request: Mapping[str, object]) -> Mapping[str, object]:
    return ask(Folders(config.data_dir).control, request)


def _without_hub(folders: Folders) -> Mapping[str, object]:
    """What the files say: the orders that workers follow, and their heartbeats."""
    found: dict[str, object] = {"workers": {}, "pauses": []}
    try:
        orders = decode_orders(folders.orders.read_bytes())
        found |= {
            "ruleset": orders.policy[:12],
            "generation": orders.generation,
            "pauses": [{"realm": each.realm, "until": each.until.isoformat()} for each in orders.pauses],
        }
    except (OSError, Corrupt):
        found["problems"] = [f"{folders.orders}: there are no orders; nothing was in force yet"]
    paths = sorted(folders.counters.iterdir()) if folders.counters.is_dir() else []
    counted = {path.name: words for path in paths if (words := read_counters(path)) is not None}
    found["workers"] = {
        name: {
            "generation": words[word("worker_generation")],
            "heartbeat_ms": words[word("worker_heartbeat_milliseconds")],
        }
        for name, words in counted.items()
    }
    return found


def _print_status(answer: Mapping[str, object]) -> None:
    """What is not known is left out."""
    facts: dict[str, Value | list[str]] = {}
    if "node" in answer:
        facts["node"] = f"{answer['node']}, Enforcer {answer['version']}"
        facts["up for"] = str(timedelta(seconds=_number(answer["uptime_s"]) or 0))
    if "ruleset" in answer:
        facts["policy"] = f"{answer['ruleset']}, generation {answer['generation']}"
    if "loaded" in answer:
        facts["loaded"] = _utc(answer["loaded"])
    if "log_sequence" in answer:
        facts["log"] = f"line number {answer['log_sequence']}, the index is {answer['index_lag']} behind"
    pauses = [_mapping(pause) for pause in _items(answer["pauses"])]
    facts["paused"] = [f"{pause['realm']} until {_utc(pause['until'])}" for pause in pauses] or "no realm"
    problems = [line for problem in _items(answer.get("problems")) for line in str(problem).splitlines()]
    facts["problems"] = problems or ("none known" if "node" in answer else "the hub does not answer")
    print_facts(facts)
    workers, processes, spool = (_mapping(answer.get(key)) for key in ("workers", "processes", "spool"))
    names = sorted({*workers, *processes, *spool})
    if names:
        click.echo()
        rows = [_process(_mapping(workers.get(n)), _mapping(processes.get(n)), _mapping(spool.get(n))) for n in names]
        print_table(_WORKER_COLUMNS, [(name, *row) for name, row in zip(names, rows, strict=True)])


def _process(
    worker: Mapping[str, object], process: Mapping[str, object], spool: Mapping[str, object]
) -> tuple[Value, ...]:
    heartbeat = _number(worker.get("heartbeat_ms"))
    up = process.get("up", worker.get("alive"))
    return (
        _number(process.get("pid")),
        None if up is None else "yes" if up else "no",
        _number(process.get("restarts")),
        _number(worker.get("generation")),
        second(heartbeat) if heartbeat else None,
        _number(spool.get("bytes")),
    )


def _utc(text: object) -> str:
    """A moment of the hub's, to the second."""
    return datetime.fromisoformat(str(text)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
