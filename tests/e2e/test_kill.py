"""A worker and a hub that are killed again and again: nothing that was counted is lost, nothing is recorded twice."""

import contextlib
import mmap
import os
import random
import signal
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from enforcer.attempts.attempt import POSITIONS
from enforcer.attempts.log import DayLog
from enforcer.attempts.spool import Spool, segments
from enforcer.hub.recorder import Recorder
from tests.records import logged, moment, registry, spooled, whole

AGGREGATE_S = 0.3
LASTS_S = 6.0
ENTRIES = [
    spooled(ip, name) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3") for name in ("a.chat.test", "b.chat.test")
]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def recorder_of(folder: Path) -> Recorder:
    return Recorder(
        spool=folder / "spool",
        log=DayLog(folder / "log"),
        marks=folder / "recorder.json",
        node="gw",
        owners=registry(("dev-1", "192.0.2.1"), ("dev-1", "192.0.2.2")),
        aggregate_s=AGGREGATE_S,
        fsync_s=0.05,
        ban=None,
    )


def hub(folder: Path) -> None:
    recorder = recorder_of(folder)
    while True:
        at = now_ms()
        recorder.poll(at, moment(at))
        time.sleep(0.003)


def worker(folder: Path, told: memoryview) -> None:
    """As the resolver does it: first the spool, then the answer. told: what is about to be counted, and what was."""
    spool = Spool(
        folder / "spool" / "dns-0", window_ms=round(AGGREGATE_S * 1000), max_bytes=1 << 30, capacity=16, heap=1 << 13
    )
    rows: dict[bytes, tuple[int, int]] = {}
    chance = random.Random(os.getpid())
    while True:
        number = chance.randrange(len(ENTRIES))
        entry, at = ENTRIES[number], now_ms()
        told[number] += 1
        generation, row = rows.get(entry, (-1, 0))
        if generation != spool.generation or not spool.repeat(row, at):
            row = spool.open(entry, at)
            rows[entry] = spool.generation, row
        told[len(ENTRIES) + number] += 1
        if chance.random() < 0.01:
            time.sleep(0.002)
            spool.sync()


def start(run: Callable[[], None]) -> int:
    """A process of its own; only being killed ends it well."""
    child = os.fork()
    if not child:
        _run(run)
    return child


def _run(run: Callable[[], None]) -> NoReturn:
    with contextlib.suppress(BaseException):
        try:
            run()
        except BaseException:
            traceback.print_exc()
            raise
    os._exit(1)


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it had ended by itself"


@contextlib.contextmanager
def counters() -> Iterator[memoryview]:
    """Words that all processes share and no kill can take."""
    with mmap.mmap(-1, mmap.PAGESIZE) as shared, memoryview(shared).cast("Q") as words:
        yield words


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # whatever ran before may have left a thread
def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(53)
    with counters() as told:
        running: dict[Callable[[], None], int] = {}

        def run_hub() -> None:
            hub(tmp_path)

        def run_worker() -> None:
            worker(tmp_path, told)

        (tmp_path / "spool").mkdir()
        for run in (run_hub, run_worker):
            running[run] = start(run)
        kills = 0
        end = time.monotonic() + LASTS_S
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.005, 0.15))
            for run in chance.choice([(run_hub,), (run_worker,), (run_hub, run_worker)]):
                kill(running[run])
                running[run] = start(run)
                kills += 1
        for child in running.values():
            kill(child)
        finish(tmp_path)
        check(tmp_path, list(told[: len(ENTRIES)]), list(told[len(ENTRIES) : 2 * len(ENTRIES)]))
    assert kills > 20


def finish(folder: Path) -> None:
    """The last hub takes what is left."""
    recorder = recorder_of(folder)
    at = now_ms()
    for _ in range(20):
        at += 500
        while recorder.poll(at, moment(at)):
            pass
    recorder.close(at, moment(at))
    recorder.log.close()
    assert [path for _, path in segments(folder / "spool" / "dns-0") if path.stat().st_size] == []


def check(folder: Path, begun: list[int], counted: list[int]) -> None:
    whole(folder / "log")
    lines = [line for line in logged(folder / "log") if line["type"] == "attempt"]
    recorded: Counter[bytes] = Counter()
    ranges = defaultdict(list)
    for line in lines:
        recorded[spooled(str(line["client_ip"]), str(line["name"]))] += int(str(line["count"]))
        source = line["src"]
        assert isinstance(source, dict)
        ranges[source["epoch"], source["to"] // POSITIONS].append((source["from"], source["to"]))
    assert min(counted) > 0
    for number, entry in enumerate(ENTRIES):
        assert counted[number] <= recorded[entry] <= begun[number]
    for (_, row), covered in ranges.items():
        end = row * POSITIONS
        for first, to in sorted(covered):
            assert first == end + 1
            end = to
    assert len({line["id"] for line in lines}) == len(lines)
    assert [line["event"] for line in logged(folder / "log") if line["type"] == "event"] == []
