"""One process of the gate."""

import asyncio
import socket

from enforcer.attempts.ledger import Ledger
from enforcer.clients import Clients
from enforcer.config.model import Config
from enforcer.config.proxy import Unjudged
from enforcer.gateway import nft
from enforcer.gateway.first import FirstPackets, Manner, Moment
from enforcer.gateway.gate import Gate
from enforcer.orders import Orders
from enforcer.policy.judge import Policy
from enforcer.processes.clock import CLOCK, utc_now
from enforcer.processes.gateway import realms_of
from enforcer.processes.worker import Kit, Worker


def gate_worker(config: Config, number: int) -> Worker:
    """One of the gate's processes: it reads the queue that is `number` after the first."""
    return Worker(config, "gate", number, FirstPacketGate)


class FirstPacketGate:
    """Reads its queue from the moment on at which it has a policy; until then the kernel drops what comes to it."""

    def __init__(self, config: Config, kit: Kit) -> None:
        self._kit = kit
        self._queue, self._length = config.gateway.queue + int(kit.name.rpartition("-")[2]), config.gateway.queue_length
        self._clients = Clients()
        self._gate: Gate | None = None
        self._policy: Policy | None = None
        self._manner = Manner()

    def bind(self, tasks: asyncio.TaskGroup) -> None:  # noqa: ARG002 (nothing waits)
        """Take the sockets that need privileges."""
        order = nft.probe().order
        self._first = FirstPackets(self._clients, Ledger(self._kit.spool), self._kit.words, order)
        self._gate = Gate(self._queue, self._length, self._first, order, moment)

    def judge_by(self, policy: Policy, config: Config) -> None:
        """Judge so from now on; `follow` says of which generation it is."""
        self._policy = policy
        self._manner = Manner(
            refuse_unknown=config.proxy.unknown is Unjudged.REFUSE,
            name_clients=config.policy.notice.monitoring_notice_acknowledged,
        )
        self._clients.serve(realms_of(config))

    def follow(self, orders: Orders) -> None:
        """Take new pauses and grants, and the policy's generation."""
        self._clients.follow(orders)
        if self._policy is not None:
            self._first.judge_by(self._policy, orders.generation, self._manner, interface)

    async def listen(self, tasks: asyncio.TaskGroup) -> None:  # noqa: ARG002 (one callback is enough)
        """Become the queue's reader. Raises Unavailable."""
        if self._gate is not None:
            self._gate.open()
            asyncio.get_running_loop().add_reader(self._gate.fileno(), self._gate.readable)

    def tick(self, now_ms: int) -> None:
        """Forget what took too long."""
        self._kit.spool.tick(now_ms)
        if self._gate is not None:
            self._first.tick(CLOCK.steady())
            self._gate.answer()

    async def drain(self) -> None:
        """Answer what waits; from then on the kernel drops what comes."""
        if self._gate is not None:
            self._gate.readable()
            asyncio.get_running_loop().remove_reader(self._gate.fileno())

    def release(self) -> None:
        """Nothing to end."""

    def close(self) -> None:
        """Let go of the queue."""
        if self._gate is not None:
            self._gate.close()


def moment() -> Moment:
    """The clocks now."""
    now = utc_now()
    return Moment(now, int(now.timestamp() * 1000), CLOCK.steady())


def interface(index: int) -> str:
    """The name of an interface; empty for one that is gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""
