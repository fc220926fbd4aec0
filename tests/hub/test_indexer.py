import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.index import Filter
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.hub.indexer import FIGURES_S, Indexer
from tests.attempts.index.site import HOUR_MS, attempt, found
from tests.hub.desk import Desk
from tests.records import NOON_MS


class Bench:
    """An indexer of a log."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder)
        self.path = folder / "index" / "attempts.sqlite"
        self.open()

    def open(self) -> None:
        self.writer = SqliteWriter(self.path, self.desk.folders.log)
        self.indexer = Indexer(
            self.writer, lambda: SqliteIndex(self.path), self.desk.log, lambda: self.desk.now_ms, devices=1
        )

    def log(self, *numbers: int, device: str = "dev-1") -> None:
        self.desk.log.append([attempt(number, count=2, device=device) for number in numbers], self.desk.clock())
        self.desk.log.sync()

    def close(self) -> None:
        self.indexer.close(self.desk.log.synced)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_what_was_logged_before_is_told_apart_from_what_came_after(bench: Bench) -> None:
    bench.log(1, 2)
    bench.close()
    bench.open()
    bench.log(3)
    assert bench.indexer.work() == 0, "the one before has done it"
    assert bench.indexer.before == {("chat", "dns", "blocked", "radius"): 4}
    assert bench.indexer.seq == 2
    assert bench.indexer.work() == 1
    assert bench.indexer.seq == 3
    assert bench.indexer.before == {("chat", "dns", "blocked", "radius"): 4}, "the recorder counts the rest"


def test_devices_are_counted_once_a_minute(bench: Bench) -> None:
    bench.indexer.work()
    bench.log(0)
    bench.log(1, device="dev-2")
    bench.indexer.work()
    assert bench.indexer.devices.attempting == {}
    bench.desk.now_ms += round(FIGURES_S * 1000)
    bench.indexer.work()
    assert bench.indexer.devices.attempting == {("chat", "1h"): 2, ("chat", "24h"): 2}
    assert bench.indexer.devices.top == {("dev-1", "chat"): 2, ("other", "chat"): 2}


def test_what_retention_deleted_is_let_go_with_the_next_work(bench: Bench) -> None:
    bench.indexer.work()
    bench.log(0, 900)
    bench.indexer.work()
    bench.indexer.drop_before(NOON_MS + 300 * HOUR_MS)
    bench.indexer.drop_before(NOON_MS)
    assert found(bench.writer) == [900, 0]
    bench.indexer.work()
    assert found(bench.writer) == [900]


def test_trouble_is_told_and_passes(bench: Bench) -> None:
    bench.indexer.work()
    bench.log(1)
    bench.writer._db.execute("PRAGMA query_only = 1")
    assert bench.indexer.work() == 0
    assert "cannot be written" in str(bench.indexer.trouble)
    bench.writer._db.execute("PRAGMA query_only = 0")
    assert bench.indexer.work() == 1
    assert bench.indexer.trouble is None


def test_it_follows_while_it_runs_and_indexes_the_last_lines_at_the_end(bench: Bench) -> None:
    async def play() -> None:
        running = asyncio.ensure_future(bench.indexer.run())
        bench.log(1)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if bench.indexer.seq:
                break
        running.cancel()

    asyncio.run(play())
    bench.log(2)
    bench.close()
    reader = SqliteIndex(bench.path)
    assert len(reader.find(Filter(), 10)) == 2
    reader.close()
    bench.open()
