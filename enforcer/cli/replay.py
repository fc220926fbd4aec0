"""`enforcer replay`: what the policy would have done with a capture."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from enforcer.attempts.attempt import moment
from enforcer.cli.behalf import behalf_options, in_force
from enforcer.cli.context import config_option, json_option
from enforcer.cli.output import print_facts, print_json, print_table, say
from enforcer.errors import Corrupt, Unavailable
from enforcer.policy.names import display
from enforcer.processes.clock import utc_now
from enforcer.replay.capture import frames
from enforcer.replay.flows import DNS_PORT, Ends, Fate, Flow, Replay

_PROTOCOLS = {6: "tcp", 17: "udp"}
_ROWS_MAX = 200
"""Rows of a summary: kinds of flows, which a policy's rules limit."""


@click.command()
@config_option
@behalf_options
@json_option("Print one object a flow: time, its ends, layer, name, action, service, rule.")
@click.option("--summary", is_flag=True, help="Print a table of how many flows which rule would have decided.")
@click.option(
    "--dns-port",
    "dns_ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    default=(DNS_PORT,),
    show_default=True,
    metavar="PORT",
    help="Where DNS is spoken, over UDP and TCP; may be given several times.",
)
@click.argument("capture", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
def replay(
    config: Path | None,
    device: str | None,
    realm: str | None,
    *,
    as_json: bool,
    summary: bool,
    dns_ports: tuple[int, ...],
    capture: str,
) -> None:
    """Say what the policy would have done with a capture: a pcap or pcapng file, or "-" for standard input.

    Each DNS question is judged with its answer, each TCP connection and UDP flow by its address and by what its client
    sends first. A later request of plain HTTP, or connection of QUIC between the same ports, is told as a flow of its
    own when it would not have passed in silence. No service is needed, nothing is asked of the network, and no record
    is written. Without a configuration it is the policy of the lists that come with Enforcer. An action is block,
    observe, allow, or refuse: no rule matches, and it is a protocol that we know and cannot read, so that the gateway
    would not let it pass.

    The exit status is 0 when all would have been let through, 1 when some would not, 2 for what is no capture.

    Example: enforcer replay --summary phone.pcapng
    """
    policy, client = in_force(config, device, realm, utc_now())
    replaying = Replay(policy, client, utc_now(), dns_ports)
    counts: Counter[tuple[str, ...]] = Counter()
    first_ns = last_ns = 0
    for flow in _flows(replaying, capture):
        first_ns, last_ns = min(first_ns or flow.time_ns, flow.time_ns), max(last_ns, flow.time_ns)
        counts[_kind(flow)] += 1
        if as_json:
            print_json(_as_json(flow))
        elif not summary:
            say(_in_short(flow))
    if not counts:
        say("no flow in it", err=True)
    if summary:
        _print_summary(replaying, counts, first_ns, last_ns)
    stopped = any(kind[0] in (Fate.BLOCKED, Fate.REFUSED) for kind in counts)
    click.get_current_context().exit(int(stopped))


def _flows(replaying: Replay, capture: str) -> Iterator[Flow]:
    try:
        with click.open_file(capture, "rb") as file:
            for frame in frames(file):
                yield from replaying.add(frame)
    except FileNotFoundError:
        raise Unavailable(f"{capture}: there is no such file; name a pcap or pcapng file") from None
    except Corrupt as error:
        raise Corrupt(f"{capture}: {error}") from None
    yield from replaying.end()


def _as_json(flow: Flow) -> dict[str, object]:
    ends, rule = flow.ends, flow.rule
    return {
        "time": moment(flow.time_ns // 1_000_000),
        "transport": _protocol(ends),
        "client_ip": str(ends.client),
        "client_port": ends.client_port or None,
        "dest_ip": str(ends.server),
        "dest_port": ends.server_port or None,
        "layer": flow.layer,
        "name": None if flow.name is None else display(flow.name),
        "via": flow.via,
        "shows": flow.shows,
        "action": flow.fate,
        "service": rule and rule.service,
        "part": rule and rule.part,
        "rule": rule and rule.id,
    }


def _in_short(flow: Flow) -> str:
    ends = flow.ends
    words = [f"{flow.fate:<7}", moment(flow.time_ns // 1_000_000), f"{flow.layer:<5}", _protocol(ends)]
    words += [_end(ends.client, ends.client_port), "to", _end(ends.server, ends.server_port)]
    if flow.name is not None:
        words.append(display(flow.name))
    if flow.via is not None:
        words.append(f"via {flow.via}")
    if flow.rule is not None:
        words += [flow.rule.service, flow.rule.part, flow.rule.id]
    return "  ".join(words)


def _kind(flow: Flow) -> tuple[str, ...]:
    """What flows are counted by: never a name or an address."""
    rule = flow.rule
    shown = "" if flow.shows is None else flow.shows.value
    return (
        flow.fate.value,
        flow.layer.value,
        shown,
        "" if rule is None else rule.service,
        "" if rule is None else rule.id,
    )


def _print_summary(replaying: Replay, counts: Counter[tuple[str, ...]], first_ns: int, last_ns: int) -> None:
    order = list(Fate)
    rows = sorted(counts.items(), key=lambda each: (order.index(Fate(each[0][0])), -each[1], each[0]))
    cells = [(*(each or None for each in kind), count) for kind, count in rows]
    print_table(("action", "layer", "shows", "service", "rule", "flows"), cells[:_ROWS_MAX])
    if len(cells) > _ROWS_MAX:
        say(f"and {len(cells) - _ROWS_MAX} more kinds of flows")
    click.echo()
    span = f"{moment(first_ns // 1_000_000)} to {moment(last_ns // 1_000_000)}" if counts else None
    print_facts(
        {
            "flows": sum(counts.values()),
            "begun": span,
            "packets": replaying.packets,
            "cut short": replaying.cut,
            "not IP": replaying.other,
        }
    )


def _protocol(ends: Ends) -> str:
    return _PROTOCOLS.get(ends.protocol, f"ip-{ends.protocol}")


def _end(address: object, port: int) -> str:
    text = f"[{address}]" if port and ":" in str(address) else str(address)
    return f"{text}:{port}" if port else text
