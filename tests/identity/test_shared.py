"""Sessions shared through a real Redis: told, taken in, and what happens when it is gone."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
import redis

from enforcer.config.identity import Calling
from enforcer.devices.registry import Registry
from enforcer.identity.accounting import AccountingPart
from enforcer.identity.radius import report_of
from enforcer.identity.shared import SharedPart
from enforcer.wire.radius import read_accounting, read_packet
from tests.identity.gateway import START, STOP, Bench, accounting
from tests.processes.site import free_port
from tests.records import NOON_MS
from tests.tools import need

PHONE = ip_address("192.0.2.7")


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[None]:
    """A Redis of the test's own, on loopback, that keeps nothing."""
    command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


class Gateway:
    """One hub that shares; with a feed of its own, or without."""

    def __init__(self, folder: Path, port: int) -> None:
        self.bench = Bench(folder, {"shared": f"redis://127.0.0.1:{port}/0"})
        self.shared = SharedPart(self.bench.means)
        self.accounting = AccountingPart(self.bench.means, self.shared.tell)

    @property
    def registry(self) -> Registry:
        return self.bench.registry

    def report(self, packet: bytes) -> None:
        report = report_of(read_accounting(read_packet(packet)), "lab", Calling.AUTO, "192.0.2.10", NOON_MS)
        assert report is not None
        assert self.accounting.take([report])

    def owner(self) -> str | None:
        return self.registry.owner("lab", PHONE, self.bench.desk.clock()).device


@asynccontextmanager
async def running(*gateways: Gateway) -> AsyncIterator[None]:
    tasks = [asyncio.get_running_loop().create_task(each.shared.run()) for each in gateways]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in gateways:
            each.accounting.close()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 (what is awaited is another process)
            await asyncio.sleep(0.02)


@pytest.fixture
def port() -> int:
    return free_port()


def test_what_one_gateway_is_told_the_others_know(tmp_path: Path, port: int) -> None:
    async def run() -> None:
        one, two = Gateway(tmp_path / "one", port), Gateway(tmp_path / "two", port)
        async with running(one, two):
            await until(lambda: one.shared.connected and two.shared.connected)
            one.report(accounting(START))
            await until(lambda: two.owner() == "dev-1")
            assert two.registry.owner("lab", PHONE, two.bench.desk.clock()).identity.state != "stale"
            one.report(accounting(STOP, number=2))
            await until(lambda: two.owner() is None)
            assert (one.shared.taken, two.shared.taken) == (0, 2)

    with redis_server(tmp_path, port):
        asyncio.run(run())


def test_who_comes_later_is_told_what_there_is(tmp_path: Path, port: int) -> None:
    async def run() -> None:
        one = Gateway(tmp_path / "one", port)
        async with running(one):
            await until(lambda: one.shared.connected)
            one.report(accounting(START))
            await until(lambda: not one.shared._pending)
        late = Gateway(tmp_path / "late", port)
        async with running(late):
            await until(lambda: late.owner() == "dev-1")

    with redis_server(tmp_path, port):
        asyncio.run(run())


def test_without_redis_each_goes_on_and_afterwards_all_is_told(tmp_path: Path, port: int) -> None:
    async def run() -> None:
        one, two = Gateway(tmp_path / "one", port), Gateway(tmp_path / "two", port)
        async with running(one, two):
            with redis_server(tmp_path, port):
                await until(lambda: one.shared.connected and two.shared.connected)
                one.report(accounting(START))
                await until(lambda: two.owner() == "dev-1")
            await until(lambda: not two.shared.connected)
            assert list(two.shared.problems())
            assert two.owner() == "dev-1"
            one.report(accounting(STOP, number=2))
            assert one.owner() is None
            with redis_server(tmp_path, port):
                await until(lambda: two.owner() is None)
                assert list(two.shared.problems()) == []
                values = {sample.name: sample.value for family in two.shared.metrics() for sample in family.samples}
                assert values["enforcer_identity_shared_up"] == 1
                assert values["enforcer_identity_shared_lost_total"] == 0

    asyncio.run(run())


def test_keys_expire_and_carry_no_more_than_needed(tmp_path: Path, port: int) -> None:
    async def run() -> None:
        one = Gateway(tmp_path / "one", port)
        async with running(one):
            await until(lambda: one.shared.connected)
            one.report(accounting(START))
            await until(lambda: not one.shared._pending)

    with redis_server(tmp_path, port):
        asyncio.run(run())
        client = redis.Redis(port=port)
        (key,) = client.keys("*")
        assert key == b"enforcer:session:lab:pgw1:s1"
        assert 0 < client.pttl(key) <= 48 * 3_600_000
        client.close()
