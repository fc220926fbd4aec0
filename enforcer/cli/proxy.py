"""The proxy, for a supervisor of one's own; and where its addon is, for a mitmproxy of one's own."""

from pathlib import Path

import click

from enforcer.cli.context import config_option
from enforcer.cli.run import enforce


@click.command()
@config_option
@click.option("--worker", type=click.IntRange(0, 63), default=0, help="Its number, from 0; each is started once.")
@click.option("--script", is_flag=True, help="Print the path of the addon, for mitmdump -s, and end.")
def proxy(config: Path | None, worker: int, script: bool) -> None:
    """Run one proxy process: mitmproxy as a gate that sees where connections go, and decrypts nothing.

    It listens in the modes of proxy.modes, waits until a hub has compiled a policy, and goes on without the hub after
    that. The same addon runs in a mitmproxy of your own, in any of its modes, beside a hub:

      mitmdump -s "$(enforcer proxy --script)" --set enforcer_config=/etc/enforcer/enforcer.yaml --mode wireguard

    Example: enforcer proxy --worker 0
    """
    from enforcer.processes import script as addon  # noqa: PLC0415 (slow to load; other commands need not wait)
    from enforcer.processes.proxy import prepare, proxy_worker  # noqa: PLC0415

    if script:
        click.echo(Path(addon.__file__))
        return
    enforce(config, "proxy", worker, proxy_worker, prepare)
