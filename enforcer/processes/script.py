"""The addon for a mitmproxy of one's own: `mitmdump -s script.py --set enforcer_config=/etc/enforcer/enforcer.yaml`.

mitmproxy listens, in whatever mode it is told to; judging, recording and following the hub are those of the worker.
Until the hub's policy is in force, every connection is closed. `enforcer proxy --script` prints where this file is.
"""

import asyncio
from pathlib import Path

from enforcer.config import load as configuration  # a function named load would be taken for a hook
from enforcer.config.model import Config
from enforcer.processes.proxy import Proxy
from enforcer.processes.worker import Kit, Worker
from enforcer.proxy.script import Guest, Script


class Visit(Proxy):
    """The duty of a worker in somebody else's mitmproxy: everything but to listen."""

    def bind(self, tasks: asyncio.TaskGroup) -> None:
        """Nothing is bound here."""
        self.tasks = tasks

    async def listen(self, tasks: asyncio.TaskGroup) -> None:
        """Who listens is mitmproxy."""


def begin(path: Path, number: int) -> Guest:
    """A worker of this configuration. Raises Mistakes or Unavailable."""
    config = configuration.load(path, files=False)
    visits: list[Visit] = []

    def visit(config: Config, kit: Kit) -> Visit:
        visits.append(Visit(config, kit, first=False))
        return visits[0]

    worker = Worker(config, "proxy", number, visit)
    return Guest(visits[0].door, config.proxy.idle_s, lambda: worker.run(lambda: None))


addons = [Script(begin)]
