"""A process that enforces: it follows the hub's orders, says that it lives, keeps its spool, and ends in order.

What it enforces is its `Duty`; what all of them have in common is here.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enforcer.attempts.spool import Spool
from enforcer.blocklists import open_policy
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.counters import Counters, word
from enforcer.errors import EnforcerError
from enforcer.folders import Folders
from enforcer.notify import notify
from enforcer.orders import Orders, decode_orders
from enforcer.policy.judge import Policy
from enforcer.policy.selftest import tried
from enforcer.policy.verdict import Client
from enforcer.processes.clock import utc_now, wall_ms
from enforcer.processes.plan import enforcing

ORDERS_S = 0.2  # how often a worker looks whether its orders have changed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kit:
    """What every worker has: its name, where things are, its way out, its counters' words."""

    name: str
    folders: Folders
    spool: Spool
    words: memoryview


class Duty(Protocol):
    """What a worker does. The methods are called in this order, by one thread."""

    def bind(self, tasks: asyncio.TaskGroup) -> None:
        """Take every address, so that a mistake shows before anything else happens. Raises Unavailable.

        Nothing is read yet. tasks: for what must run as long as the worker does.
        """

    def judge_by(self, policy: Policy, config: Config) -> None:
        """Another policy, another configuration, or both; called before `listen`, and at every reload."""

    def follow(self, orders: Orders) -> None:
        """New orders: a policy that `judge_by` has put in force, pauses, grants."""

    async def listen(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to serve."""

    def tick(self, now_ms: int) -> None:
        """Once a second, the first time before `listen`."""

    async def drain(self) -> None:
        """Serve nobody new; give what is under way a moment."""

    def release(self) -> None:
        """End what was begun in `tasks`."""

    def close(self) -> None:
        """Let go of every address; also after a `bind` that failed."""


class Worker:
    """One process of a kind: `number` tells it from the others."""

    def __init__(self, config: Config, kind: str, number: int, duty: Callable[[Config, Kit], Duty]) -> None:
        name = f"{kind}-{number}"
        self._config = config
        self._folders = Folders(config.data_dir)
        self._counters = Counters(self._folders.counters / name)
        self._spool = Spool(
            self._folders.spool / name,
            window_ms=round(config.attempts.aggregate_s * 1000),
            max_bytes=config.attempts.spool_max // enforcing(config),
        )
        self._duty = duty(config, Kit(name, self._folders, self._spool, self._counters.words))
        self._orders_seen = (0, 0)  # the file's inode and time: two orders can be written in one tick of its clock
        self._unusable = ""
        self._generation = -1

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until SIGTERM or SIGINT. ready: called when everything is served.

        Raises Unavailable when an address cannot be had.
        """
        try:
            await self._run(ready)
        except* EnforcerError as group:
            raise group.exceptions[0] from None
        finally:
            self._duty.close()
            self._spool.close()
            self._counters.close()

    async def _run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as tasks:
            self._duty.bind(tasks)
            await self._first_orders(stop)
            if not stop.is_set():
                self._duty.tick(wall_ms())  # which makes the first segment
                await self._duty.listen(tasks)
                gc.collect()
                gc.freeze()  # what the start made stays; it need not be looked through again
                ready()
                upkeep = [tasks.create_task(each()) for each in (self._follow_orders, self._each_second, self._sync)]
                await stop.wait()
                await self._duty.drain()
                for task in upkeep:
                    task.cancel()
            self._duty.release()

    async def _first_orders(self, stop: asyncio.Event) -> None:
        """No policy, no service: wait for the hub to have compiled one."""
        waited = 0.0
        while not stop.is_set() and not self._take_orders():
            if waited == 0.0:
                _log.info("waiting event=no_orders file=%s", self._folders.orders)
            waited += ORDERS_S
            await asyncio.sleep(ORDERS_S)

    async def _follow_orders(self) -> None:
        while True:
            await asyncio.sleep(ORDERS_S)
            self._take_orders()

    def _take_orders(self) -> bool:
        """Look whether there are new orders, and follow them; True when there are any in force."""
        path = self._folders.orders
        try:
            found = path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen == self._orders_seen:
                return self._generation >= 0
            orders = decode_orders(path.read_bytes())
            if orders.generation != self._generation:
                self._put_in_force(orders)
        except FileNotFoundError:
            return self._generation >= 0
        except (EnforcerError, OSError) as error:
            if str(error) != self._unusable:  # said once, and tried again: what is missing may come
                self._unusable = str(error)
                _log.error("orders event=unusable error=%s", error)
            return self._generation >= 0
        self._duty.follow(orders)
        self._orders_seen, self._unusable = seen, ""
        return True

    def _put_in_force(self, orders: Orders) -> None:
        """Another generation: a policy, a configuration, or both. What needs a restart stays as it was."""
        policy = open_policy(self._folders.policy / orders.policy, verify=False)
        config = load(self._folders.accepted, files=False)
        if self._generation < 0:
            _warm_up(policy)
        self._duty.judge_by(policy, config)
        self._generation = orders.generation
        self._counters.words[word("worker_generation")] = orders.generation
        _log.info("policy event=in_force ruleset=%s generation=%d", orders.policy[:12], orders.generation)

    async def _each_second(self) -> None:
        heartbeat = word("worker_heartbeat_milliseconds")
        while True:
            now_ms = wall_ms()
            self._counters.words[heartbeat] = now_ms
            notify("WATCHDOG=1")
            self._duty.tick(now_ms)
            await asyncio.sleep(1)

    async def _sync(self) -> None:
        """Off the loop, because a disk may take its time; what a killed process leaves needs none of this."""
        while True:
            await asyncio.sleep(self._config.attempts.fsync_s)
            try:
                await asyncio.to_thread(self._spool.sync)
            except OSError as error:
                _log.error("spool event=sync_failed error=%s", error.strerror)


def _warm_up(policy: Policy) -> None:
    """Judge everything once, so that no phone waits while a pattern is compiled."""
    client, now = Client("start"), utc_now()
    for each in policy.lists:
        for rule in each.rules:
            for destination in tried(rule):
                policy.judge(destination, client, now)
