import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import pytest

from enforcer.config.values import Upstream
from enforcer.resolver import ports as ports_module
from enforcer.resolver.mmsg import BATCH
from enforcer.resolver.ports import Chance, Port, Ports


class Network:
    """The network as a test has it: what is sent is kept, by the port that it left from, and nothing comes back."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.calls = 0
        self.takes: int | None = None
        self.arrives: list[bytes] = []

    def send(self, sock: socket.socket, wires: Sequence[bytes]) -> int:
        self.calls += 1
        if self.takes == 0:
            raise OSError
        taken = wires[: self.takes]
        self.sent += [(sock.getsockname()[1], wire) for wire in taken]
        return len(taken)

    def receive(self, sock: socket.socket) -> list[bytes]:
        arrived, self.arrives = self.arrives, []
        return arrived


class Asker:
    """Ports whose queries are asked by number."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.heard: list[bytes] = []
        self.lost: list[int] = []
        self.ports = Ports[int](
            Upstream(ip_address("127.0.0.1"), 9),
            network,
            asyncio.get_running_loop(),
            heard=lambda _, wire: self.heard.append(wire),
            lost=lambda _, waiting: self.lost.extend(waiting),
        )

    async def ask(self, count: int, *, forget: bool = True) -> list[tuple[Port[int], int]]:
        """As many queries in one turn of the loop."""
        asked = [self.ports.ask(b"query", number) for number in range(count)]
        await asyncio.sleep(0)
        if forget:
            for port, number in asked:
                self.ports.forget(port, number)
        return asked


def run[T](scenario: Callable[[Asker], Awaitable[T]]) -> tuple[T, Asker]:
    async def whole() -> tuple[T, Asker]:
        asker = Asker(Network())
        try:
            return await scenario(asker), asker
        finally:
            asker.ports.close()

    return asyncio.run(whole())


def test_u1_ids_and_ports_differ_from_query_to_query() -> None:
    async def scenario(asker: Asker) -> None:
        for _ in range(200):
            await asker.ask(1)

    _, asker = run(scenario)
    sent = asker.network.sent
    assert len({wire[:2] for _, wire in sent}) > 190
    assert len({port for port, _ in sent}) == ports_module.PORTS
    later = [port for port, _ in sent[ports_module.PORTS :]]
    assert len(set(later)) > ports_module.PORTS // 2, "chosen at random, not in turn until one is spent"


def test_what_is_asked_in_one_turn_leaves_together_from_as_few_ports_as_batches() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.ask(2 * BATCH + 1)

    _, asker = run(scenario)
    assert len(asker.network.sent) == 2 * BATCH + 1
    assert asker.network.calls == 3
    assert len({wire[:2] for _, wire in asker.network.sent}) > 2 * BATCH - 10, "each has an ID of its own"


def test_u1_a_port_is_given_up_after_a_while_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports_module, "PORTS", 2)
    monkeypatch.setattr(ports_module, "QUERIES_A_PORT", 5)

    async def scenario(asker: Asker) -> int:
        for _ in range(60):
            await asker.ask(1)
        return len(asker.ports.open)

    still_open, asker = run(scenario)
    assert len({port for port, _ in asker.network.sent}) >= 60 // 5 - 2  # a number may come again
    assert still_open <= 2


def test_a_port_that_was_given_up_stays_open_while_somebody_waits_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports_module, "PORTS", 1)
    monkeypatch.setattr(ports_module, "IN_FLIGHT_A_PORT", 1)

    async def scenario(asker: Asker) -> tuple[int, int]:
        first = await asker.ask(1, forget=False)
        await asker.ask(1)
        while_waiting = len(asker.ports.open)
        asker.ports.forget(*first[0])
        return while_waiting, len(asker.ports.open)

    assert run(scenario)[0] == (2, 1)


@pytest.mark.parametrize(("takes", "lost"), [(0, [0, 1, 2]), (2, [2])])
def test_who_gave_what_the_network_does_not_take_is_told(takes: int, lost: list[int]) -> None:
    async def scenario(asker: Asker) -> None:
        asker.network.takes = takes
        await asker.ask(3, forget=False)

    assert run(scenario)[1].lost == lost


def test_what_arrives_is_told_of_as_it_came() -> None:
    async def scenario(asker: Asker) -> None:
        ((port, _),) = await asker.ask(1, forget=False)
        asker.network.arrives = [b"one", b""]
        asker.ports._readable(port)

    assert run(scenario)[1].heard == [b"one", b""]


def test_an_address_that_cannot_be_reached_is_an_error_at_once() -> None:
    async def scenario(asker: Asker) -> None:
        asker.ports._address = ("255.255.255.255", 53)  # EACCES: it is for broadcasts
        for _ in range(2):
            with pytest.raises(OSError, match=r"denied|unreachable"):
                asker.ports.ask(b"query", 1)
        await asyncio.sleep(0)

    assert run(scenario)[1].network.sent == []


def test_chance_is_of_16_bits_and_does_not_end() -> None:
    drawn = Chance()
    numbers = [drawn.draw() for _ in range(5000)]
    assert len(set(numbers)) > 4500
    assert max(numbers) > 0xF000
    assert min(numbers) < 0x0FFF
