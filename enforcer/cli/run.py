"""Starting things: everything at once, or one part for a supervisor of one's own."""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.cli.context import config_option, load_config, make_demo
from enforcer.config.model import Config
from enforcer.folders import Folders
from enforcer.notify import end_with_supervisor, notify

if TYPE_CHECKING:
    from enforcer.processes.worker import Worker


@click.command()
@config_option
@click.option("--demo", is_flag=True, help="Loopback only, with the shipped lists and invented devices.")
def run(config: Path | None, demo: bool) -> None:
    """Start everything on this machine, and keep it running.

    The hub, one resolver process for each CPU, and whatever else the configuration asks for are started, watched, and
    replaced when they end or hang. SIGTERM stops them in order; SIGHUP reloads.

    Example: enforcer run --config /etc/enforcer/enforcer.yaml
    """
    from enforcer.processes.clock import CLOCK  # noqa: PLC0415 (slow to load; other commands need not wait)
    from enforcer.processes.plan import plan  # noqa: PLC0415
    from enforcer.supervise import Supervisor  # noqa: PLC0415

    log_to_stderr()
    path, loaded = load_config(make_demo() if demo else config)
    folders = Folders(loaded.data_dir)
    supervisor = Supervisor(
        config=path,
        accepted=folders.accepted,
        run=folders.run,
        control=folders.control,
        workers=plan(loaded),
        steady=CLOCK.steady,
    )

    def ready() -> None:
        notify("READY=1")
        if demo:
            click.echo(_what_next(path, loaded))

    asyncio.run(supervisor.run(ready))


@click.command()
@config_option
@click.option("--worker", type=click.IntRange(0, 63), default=0, help="Its number, from 0; each is started once.")
def dns(config: Path | None, worker: int) -> None:
    """Run one resolver process.

    It waits until a hub has compiled a policy, and goes on without the hub after that.

    Example: enforcer dns --worker 0
    """
    from enforcer.processes.dns import dns_worker  # noqa: PLC0415 (slow to load; other commands need not wait)

    enforce(config, "dns", worker, dns_worker)


@click.command()
@config_option
def hub(config: Path | None) -> None:
    """Run the hub: the process that compiles the policy, records attempts and answers Prometheus.

    Example: enforcer hub
    """
    from enforcer.processes.hub import make_hub  # noqa: PLC0415 (slow to load; other commands need not wait)

    log_to_stderr()
    end_with_supervisor()
    path, _ = load_config(config)
    asyncio.run(make_hub(path).run(lambda: notify("READY=1")))


@click.command()
@config_option
@click.option("--worker", type=click.IntRange(0, 0), default=0, help="Always 0: there is one such process.")
def sinks(config: Path | None, worker: int) -> None:  # noqa: ARG001 (the supervisor gives every process a number)
    """Run the process that sends copies of the record to the configured sinks.

    Each sink follows the log from where it was, with a thread of its own; one that is away delays nothing but itself.

    Example: enforcer sinks
    """
    from enforcer.processes.confined import confine_sinks  # noqa: PLC0415 (slow to load; other commands need not wait)
    from enforcer.processes.sinks import Sinks  # noqa: PLC0415

    log_to_stderr()
    end_with_supervisor()
    _, loaded = load_config(config, files=False)
    confine_sinks(loaded)
    asyncio.run(Sinks(loaded).run(lambda: notify("READY=1")))


def enforce(
    config: Path | None,
    kind: str,
    number: int,
    worker_of: Callable[[Config, int], "Worker"],
    check: Callable[[Config], None] = lambda _: None,
) -> None:
    """Be one process of a kind that enforces, until it is told to end. check: raises when it cannot start."""
    from enforcer.processes.confined import confine_worker  # noqa: PLC0415 (slow to load; other commands need not wait)

    log_to_stderr()
    end_with_supervisor()
    _, loaded = load_config(config, files=False)
    check(loaded)
    confine_worker(loaded, kind)
    asyncio.run(worker_of(loaded, number).run(lambda: notify("READY=1")))


def _what_next(path: Path, config: Config) -> str:
    """What a newcomer may type while the demo runs."""
    asked = next(listener.udp for listener in config.resolver.listeners if listener.udp is not None)
    dig, enforcer = f"dig @{asked.address} -p {asked.port}", Path(sys.argv[0])
    proxied = next((mode.rpartition("@")[2] for mode in config.proxy.modes if mode.startswith("regular@")), None)
    lines = {
        f"{dig} long.weixin.qq.com": "blocked: NXDOMAIN, with the reason (EDE 15)",
        f"{dig} www.canada.ca": "allowed: forwarded, and written down nowhere",
        **({} if proxied is None else {f"curl -x http://{proxied} http://long.weixin.qq.com": "blocked: the page"}),
        f"{enforcer} attempts list": "the record of what was blocked",
        f"{enforcer} explain long.weixin.qq.com": "which rule, in which file, and why",
        f"curl http://{config.metrics.listen}/metrics": "what Prometheus sees",
        **({} if config.console is None else {f"xdg-open {config.console.origin}": "the console, in a browser"}),
    }
    width = max(map(len, lines))
    shown = "\n".join(f"  {command:{width}}   {what}" for command, what in lines.items())
    return (
        f"Enforcer is running. In another shell:\n\n{shown}\n\n{_a_phone_attaches(path, config, dig)}"
        f"The configuration is {path}, data is in {config.data_dir}. Stop with Ctrl-C."
    )


def _a_phone_attaches(path: Path, config: Config, dig: str) -> str:
    """How the demo's phone gets its address, where there is accounting to send that to."""
    listen = next((radius.listen for radius in config.identity.radius if radius.listen is not None), None)
    if listen is None:
        return ""
    start = "Acct-Status-Type=Start,Acct-Session-Id=1,NAS-Identifier=pgw,Framed-IP-Address=127.0.0.3"
    send = f'radclient {listen} acct "$(cat {path.parent}/radius.secret)"'
    return (
        "A phone attaches, as a mobile core tells it (RADIUS; radclient is in freeradius-utils), and asks:\n\n"
        f"  echo {start},3GPP-IMSI=001010123456789 |\n    {send}\n  {dig} -b 127.0.0.3 long.weixin.qq.com\n\n"
    )


def log_to_stderr() -> None:
    """Logs of a process: one event a line; systemd and containers add the time. Of libraries only what is wrong."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("enforcer").setLevel(logging.INFO)
