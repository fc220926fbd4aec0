"""`enforcer gateway` and `enforcer gate`: the rules in the kernel of a Linux gateway, and who judges first packets."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from enforcer.cli.context import config_option, json_option, load_config, policy_of
from enforcer.cli.output import print_json, say
from enforcer.cli.run import enforce
from enforcer.errors import EnforcerError, Unavailable
from enforcer.folders import Folders
from enforcer.gateway import nft
from enforcer.gateway.elements import Elements, elements
from enforcer.gateway.marks import Order
from enforcer.gateway.ruleset import Kernel, Settings
from enforcer.orders import Orders, decode_orders
from enforcer.processes.clock import utc_now

_DIFFERS = 1


@click.command()
@config_option
@click.option("--worker", type=click.IntRange(0, 63), default=0, help="Its number, from 0; each has its own queue.")
def gate(config: Path | None, worker: int) -> None:
    """Run one process of the gate, which judges the first packets of connections.

    It reads NFQUEUE `gateway.queue` + its number, and needs CAP_NET_ADMIN and CAP_NET_RAW. While none reads a queue,
    the kernel drops what comes to it: new connections wait, those that were allowed go on. With `gate` in
    `gateway.fail_open` they pass.

    Example: enforcer gate --worker 0
    """
    from enforcer.processes.gate import gate_worker  # noqa: PLC0415 (only the process itself waits for it)

    enforce(config, "gate", worker, gate_worker)


@click.group(invoke_without_command=True)
@config_option
@click.option("--worker", type=click.IntRange(0, 0), default=0, help="Its number, 0: there is one.")
@click.pass_context
def gateway(context: click.Context, config: Path | None, worker: int) -> None:
    """Look at the kernel's rules, apply and remove them; alone: the process that keeps them as the policy wants.

    Everything is in one nftables table, `inet enforcer`, and where the kernel has no queue of nft's own in a chain
    ENFORCER of iptables' mangle table. Nothing else is ever changed. It needs CAP_NET_ADMIN.

    The process also turns what the kernel rejected into attempts, and opens what leads to a dead resolver or proxy,
    where `gateway.fail_open` says so. When it ends, the rules stay, and what it has opened is closed.

    Example: enforcer gateway plan --config /etc/enforcer/enforcer.yaml
    """
    if context.invoked_subcommand is None:
        from enforcer.processes.gateway import gateway_worker  # noqa: PLC0415 (only the process itself waits for it)

        enforce(config, "gateway", worker, gateway_worker)


@gateway.command()
@config_option
@json_option("Print an object: applied, counters, opened (ports that are not steered, since a part failed open).")
def show(config: Path | None, as_json: bool) -> None:  # noqa: ARG001 (every command takes one)
    """Print the rules that are in the kernel now, and what they have counted.

    Example: enforcer gateway show
    """
    if as_json:
        print_json({"applied": bool(nft.identity()), "counters": nft.counters(), "opened": nft.opened()})
        return
    text = nft.shown()
    say(text.rstrip() if text else "nothing of ours is in the kernel")
    for line in _opened():
        say(f"# {line}")


@gateway.command()
@config_option
def plan(config: Path | None) -> None:
    """Print the rules that would be applied, as nft reads them; changes nothing.

    The policy is the one in force, else that of the lists as they are now. Without privileges the kernel is taken to
    have all that is used.

    Example: enforcer gateway plan > rules.nft; nft -c -f rules.nft
    """
    wish = _wish(config, probe=False)
    click.echo(nft.plan(wish.settings, wish.kernel, wish.wanted, wish.now), nl=False)
    for command, text in nft.xtables(wish.settings, wish.kernel):
        click.echo("".join(f"# {command}: {line}\n" for line in text.splitlines()), nl=False)


@gateway.command()
@config_option
def apply(config: Path | None) -> None:
    """Put the rules into the kernel, in one step, whatever of ours was there before.

    `enforcer gateway` without a command does the same, and goes on to follow the policy.

    Example: enforcer gateway apply
    """
    wish = _wish(config)
    nft.apply(wish.settings, wish.kernel, wish.wanted, wish.now)
    say(f"applied: {sum(map(len, wish.wanted.values()))} elements in {len(wish.wanted)} sets")


@gateway.command()
@config_option
def remove(config: Path | None) -> None:  # noqa: ARG001 (every command takes one)
    """Take everything of ours out of the kernel, and nothing else. Nothing is enforced from then on.

    Example: enforcer gateway remove
    """
    nft.remove()
    say("removed: connections are not judged any more")


@gateway.command()
@config_option
@json_option("Print an object: differences.")
@click.pass_context
def check(context: click.Context, config: Path | None, as_json: bool) -> None:
    """Compare the rules in the kernel with what the policy wants, and say what differs.

    Ports that are failed open for now are said too. The exit status is 0 when nothing differs, else 1.

    Example: enforcer gateway check
    """
    wish = _wish(config)
    found = [*nft.differences(wish.settings, wish.kernel, wish.wanted, wish.now), *_opened()]
    if as_json:
        print_json({"differences": found})
    else:
        for line in found or ["the kernel has what the policy wants"]:
            say(line)
    context.exit(_DIFFERS if found else 0)


def _opened() -> list[str]:
    return [f"port {port} is failed open: the part that it is steered to is dead" for port in nft.opened()]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the kernel should have at a moment."""

    settings: Settings
    kernel: Kernel
    wanted: Elements
    now: datetime


def _wish(given: Path | None, *, probe: bool = True) -> _Wish:
    """Of the configuration and policy in force, else of what the file and its lists say now."""
    from enforcer.blocklists import open_policy  # noqa: PLC0415 (slow to load)

    now = utc_now()
    from enforcer.processes.gateway import settings_of  # noqa: PLC0415 (it brings the whole of a worker)

    _, config = load_config(given)
    folders = Folders(config.data_dir)
    orders = _orders(folders)
    if orders is None:
        orders, policy = Orders(0, ""), policy_of(config, now.date())
    else:
        _, config = load_config(folders.accepted, files=False)
        policy = open_policy(folders.policy / orders.policy, verify=False)
    try:
        kernel = nft.probe()
    except Unavailable:
        if probe:
            raise
        kernel = Kernel(queue=True, order=Order())
    settings = settings_of(config)
    return _Wish(settings, kernel, elements(settings, kernel, policy, orders, now), now)


def _orders(folders: Folders) -> Orders | None:
    try:
        return decode_orders(folders.orders.read_bytes())
    except (OSError, EnforcerError):
        return None
