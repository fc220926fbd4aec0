"""The proxy's process."""

import asyncio
import resource
import socket
from contextlib import suppress
from itertools import batched
from pathlib import Path

from enforcer.attempts.ledger import Ledger
from enforcer.blockpage import Notice
from enforcer.clients import Realm
from enforcer.config.model import Config
from enforcer.config.proxy import Unjudged, endpoints, shared
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.orders import Orders
from enforcer.policy.judge import Policy
from enforcer.processes.clock import CLOCK, utc_now
from enforcer.processes.settings import conduct_of
from enforcer.processes.sockets import tcp_socket
from enforcer.processes.worker import Kit, Worker
from enforcer.proxy.door import Door, Rules
from enforcer.proxy.engine import Engine, make_authority

IDLE_EVERY_S = 30
AT_ONCE = 500  # flows judged again before others have a turn


def proxy_worker(config: Config, number: int) -> Worker:
    """One of the proxy's processes."""
    return Worker(config, "proxy", number, lambda config, kit: Proxy(config, kit, first=number == 0))


class Proxy:
    """Carries connections in every mode that is configured; modes that cannot be shared, in the first process alone."""

    def __init__(self, config: Config, kit: Kit, *, first: bool) -> None:
        self._config, self._first = config, first
        self.door = Door(Ledger(kit.spool), kit.words, utc_now, CLOCK.steady)
        self._spool = kit.spool
        self._sockets: dict[str, list[socket.socket]] = {}
        self.tasks: asyncio.TaskGroup | None = None
        self._engine: Engine | None = None
        self._drain_s = config.proxy.drain_s
        self._again = False
        self._judged_at = utc_now()

    def bind(self, tasks: asyncio.TaskGroup) -> None:
        """Bind every socket that workers share."""
        _more_files()
        self.tasks = tasks
        for mode in self._config.proxy.modes:
            if shared(mode):
                bound = self._sockets.setdefault(mode, [])
                bound += [tcp_socket(endpoint) for endpoint in endpoints(mode)]

    def judge_by(self, policy: Policy, config: Config) -> None:
        """Judge so from now on, what passed before too."""
        self.door.judge_by(policy, rules_of(config))
        self._drain_s = config.proxy.drain_s
        self._again = True

    def follow(self, orders: Orders) -> None:
        """Take pauses and grants, and judge again what passed under another policy."""
        self.door.follow(orders)
        if self._again:
            self._again = False
            self._judge_again()

    async def listen(self, tasks: asyncio.TaskGroup) -> None:
        """Carry whoever connects."""
        proxy = self._config.proxy
        others = tuple(mode for mode in proxy.modes if not shared(mode)) if self._first else ()
        self._engine = Engine(self.door, self._sockets, others, proxy.idle_s, ca_of(self._config))
        await self._engine.start(tasks)

    def tick(self, now_ms: int) -> None:
        """Let the spool age; judge again where a pause or a grant has ended."""
        self._spool.tick(now_ms)
        self.door.wake()
        if self._engine is not None and now_ms // 1000 % IDLE_EVERY_S == 0:
            self._engine.end_idle()
        now = utc_now()
        if self.door.changes(self._judged_at, now):
            self._judge_again()
        self._judged_at = now

    async def drain(self) -> None:
        """Give connections some time to end."""
        if self._engine is not None:
            await self._engine.drain(self._drain_s)

    def release(self) -> None:
        """End mitmproxy, and every connection."""
        if self._engine is not None:
            self._engine.stop()

    def close(self) -> None:
        """Close every socket."""
        for bound in self._sockets.values():
            for sock in bound:
                sock.close()

    def _judge_again(self) -> None:
        if self.tasks is not None and self.door.inside:
            self.tasks.create_task(judge_again(self.door))


def prepare(config: Config) -> None:
    """What has to be there before the process gives up its access to `data_dir`. Raises Unavailable."""
    if not config.proxy.modes:
        raise Unavailable(
            'proxy.modes is empty, so there is nothing to do; write a mode, as in "regular@127.0.0.1:5080"'
        )
    ca = ca_of(config)
    if ca is not None:
        make_authority(ca)


def ca_of(config: Config) -> Path | None:
    """The folder of the authority that signs block pages inside of TLS; None: nothing is decrypted."""
    proxy = config.proxy
    return (proxy.ca_dir or Folders(config.data_dir).proxy_ca) if proxy.intercept_for_block_page else None


async def judge_again(door: Door) -> None:
    """Judge all that passed, a few at a time, so that nobody waits long."""
    for some in batched(door.inside, AT_ONCE):
        door.again(some)
        await asyncio.sleep(0)


def rules_of(config: Config) -> Rules:
    """What a configuration says of proxied connections."""
    proxy, notice = config.proxy, config.policy.notice
    return Rules(
        realms=tuple(Realm(each.name, each.networks, each.mode, each.proxy_modes) for each in config.realms),
        unknown=proxy.unknown is Unjudged.PASS,
        outside=proxy.outside is Unjudged.PASS,
        name_clients=notice.monitoring_notice_acknowledged,
        intercept=proxy.intercept_for_block_page,
        manners=conduct_of(config).manners,
        clients_max=proxy.limits.connections,
        per_client=proxy.limits.per_client,
        notice=Notice(notice.en, notice.fr, notice.contact),
        node=config.node,
    )


def _more_files() -> None:
    """Each connection takes two: as many as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
