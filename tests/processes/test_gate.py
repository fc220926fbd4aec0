import asyncio
import socket
from pathlib import Path

from enforcer.blocklists import open_policy
from enforcer.orders import Orders
from enforcer.processes.gate import FirstPacketGate, gate_worker, interface
from enforcer.processes.worker import Kit, Worker
from tests.gateway.namespace import alone
from tests.processes.test_gateway import Gateway, gateway, kit
from tests.records import NOON_MS

__all__ = ("gateway", "kit")  # fixtures


def test_an_interface_that_is_gone_has_no_name() -> None:
    assert interface(socket.if_nametoindex("lo")) == "lo"
    assert interface(4_000_000) == ""


def test_a_gate_reads_the_queue_of_its_number_until_it_is_closed(gateway: Gateway, kit: Kit) -> None:
    queues = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")

    def numbers() -> list[str]:
        return [line.split()[0] for line in queues.read_text().splitlines()]

    async def scene() -> None:
        gate = FirstPacketGate(gateway.config, Kit("gate-1", kit.folders, kit.spool, kit.words))
        async with asyncio.TaskGroup() as tasks:
            gate.bind(tasks)
            orders = Orders(1, gateway.compile())
            gate.judge_by(open_policy(gateway.folders.policy / orders.policy), gateway.config)
            gate.follow(orders)
            gate.tick(NOON_MS)
            assert numbers() == []
            await gate.listen(tasks)
            assert numbers() == ["54"]
            gate.tick(NOON_MS + 1000)
            await gate.drain()
            gate.release()
        gate.close()
        assert numbers() == []

    alone(lambda: asyncio.run(scene()))


def test_a_gate_is_a_worker(gateway: Gateway) -> None:
    assert isinstance(gate_worker(gateway.config, 0), Worker)
