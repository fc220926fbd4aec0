"""From a worker's spool to a row and to a receiver: how many records a second, how late, and in how many octets.

The rates are of one core, part by part, with the database's own processes beside it. The delays are of the service as
`enforcer run` starts it, while a client asks for ASK_RATE different banned names a second: each is a record of its own.
"""

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.message
import yaml

from enforcer.attempts.attempt import milliseconds
from enforcer.attempts.index import EVERYTHING
from enforcer.attempts.index.open import SQLITE, open_reader, open_writer
from enforcer.attempts.log import DayLog, days, lines_backwards
from enforcer.attempts.spool import Spool
from enforcer.errors import Unavailable
from enforcer.folders import Folders
from enforcer.hub.indexer import BATCH
from enforcer.hub.recorder import Recorder
from tests.attempts.sinks.receivers import http_receiver
from tests.bench import peers
from tests.bench.index import WANTED
from tests.bench.peers import Peer, Place
from tests.bench.process import enforcer, free_port, started
from tests.bench.tables import print_table
from tests.postgres import postgres
from tests.records import NOON_MS, moment, registry, spooled

ROWS = 60_000
ASK_RATE, ASK_S = 1000, 10.0
_TICK_S = 0.01
_LOOK_S = 0.02
_BEGIN_S = 2.0  # after which the first have come through
_WAIT_S = 30.0


def main() -> None:
    """Both databases, one after the other."""
    rates: list[Sequence[str]] = []
    delays: list[Sequence[str]] = []
    for database in WANTED:
        with database_of(database) as where:
            rates.append((database, *_rates(where)))
        with database_of(database) as where:
            delays += [(database, *row) for row in _delays(where)]
    print(f"{ROWS:,} different attempts, from the spool of a worker")
    print_table(("index", "to the log a second", "to the index a second", "log, octets each"), rates)
    print(f"\nAfter an attempt, at {ASK_RATE:,} different ones a second for {ASK_S:.0f} s")
    print_table(("index", "to", "seen", "median ms", "p99 ms", "most ms"), delays)


@contextmanager
def database_of(database: str) -> Iterator[str]:
    """What a configuration says of an empty database."""
    if database == SQLITE:
        yield SQLITE
        return
    with postgres() as server:
        yield server.create("bench")


def _rates(where: str) -> Sequence[str]:
    """Lines to the log, and rows to the index, a second."""
    with TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        _fill(folder / "spool" / "dns-0")
        log = DayLog(folder / "log")
        recorder = Recorder(
            spool=folder / "spool",
            log=log,
            marks=folder / "recorder.json",
            node="gw",
            owners=registry(*((f"dev-{number}", f"10.0.{number}.0") for number in range(256))),
            aggregate_s=60.0,
            fsync_s=1.0,
            ban=None,
        )
        at = NOON_MS + 5000
        begin = time.perf_counter()
        while recorder.poll(at, moment(at)):
            at += 10
        log.sync()
        logged_s = time.perf_counter() - begin
        with closing(open_writer(where, folder / "index" / "attempts.sqlite", log.folder)) as index:
            begin = time.perf_counter()
            while index.follow(log.synced, BATCH):
                pass
            indexed_s = time.perf_counter() - begin
            if index.trouble is not None or index.seq() != ROWS:
                raise SystemExit(f"{index.seq():,} of {ROWS:,} are indexed: {index.trouble}")
        recorder.close(at, moment(at))
        octets = sum(path.stat().st_size for path in days(log.folder))
        log.close()
    return f"{ROWS / logged_s:,.0f}", f"{ROWS / indexed_s:,.0f}", f"{octets / ROWS:.0f}"


def _fill(folder: Path) -> None:
    """What a worker has spooled: names of many clients, most of them of known devices."""
    spool = Spool(folder, window_ms=60_000, max_bytes=1 << 30)
    for number in range(ROWS):
        entry = spooled(f"10.0.{number // 200 % 256}.{number // 51_200}", f"{number % 200}.chat.test")
        spool.open(entry, NOON_MS + number // 15)
    spool.close()


def _delays(where: str) -> Iterator[Sequence[str]]:
    """How long after an attempt its record is in the index, and with each receiver."""
    received: list[float] = []

    def take(_path: str, _headers: dict[str, str], body: bytes) -> tuple[int, object]:
        now_ms = time.time() * 1000
        received.extend(now_ms - _time_ms(line) for line in body.splitlines() if b'"type":"attempt"' in line)
        return 200, {}

    with TemporaryDirectory(prefix="bench-") as name, http_receiver(take) as url:
        folder, kept = Path(name), Path(name) / "shipped" / "sink.ndjson"
        kept.parent.mkdir()
        place = Place(folder, ["banned.example", "wechat.com"], free_port(), free_port())
        config = peers.write_config(place, 1, free_port())
        more = yaml.safe_load(config.read_text())
        sinks = [{"type": "http", "url": f"{url}/in"}, {"type": "file", "path": str(kept)}]
        more["attempts"] = {"index": where, "sinks": sinks}
        config.write_text(yaml.safe_dump(more))
        with started(enforcer("run", "--config", str(config)), folder / "output") as process:
            peers.wait_until_ready(Peer("enforcer run", place.port, process))
            with closing(open_reader(where, Folders(folder / "data").index_file)) as index:
                looked = {
                    "the index": lambda: index.find(EVERYTHING, 1)[0].entry.time_ms,
                    "the file sink": lambda: _newest(kept),
                }
                _wait_for(looked.values())  # what was asked to see whether it is ready
                del received[:]
                ages = _watched(place.port, looked)
                _let_finish(received)
    for what, each in (*ages.items(), ("the HTTP sink", received)):
        yield what, f"{len(each):,}", *(f"{_quantile(each, share):,.0f}" for share in (0.5, 0.99, 1))


def _watched(port: int, looked: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """The age in ms of the newest that can be seen, looked at again and again while there are attempts."""
    asking = threading.Thread(target=_ask, args=(port,))
    asking.start()
    ages: dict[str, list[float]] = {what: [] for what in looked}
    time.sleep(_BEGIN_S)
    while asking.is_alive():
        time.sleep(_LOOK_S)
        for what, newest in looked.items():
            ages[what].append(time.time() * 1000 - newest())
    asking.join()
    return ages


def _wait_for(looked: Iterable[Callable[[], float]]) -> None:
    deadline = time.monotonic() + _WAIT_S
    for newest in looked:
        while True:
            with suppress(LookupError, StopIteration, OSError, Unavailable):
                newest()
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing has come through after {_WAIT_S:.0f} s")
            time.sleep(0.1)


def _let_finish(received: Sequence[float]) -> None:
    """Wait until nothing more comes."""
    before = -1
    while len(received) > before:
        before = len(received)
        time.sleep(1)


def _ask(port: int) -> None:
    """A question for another banned name each time, at a steady rate."""
    query = dns.message.make_query("x000000.banned.example", "A").to_wire()
    before, _, behind = query.partition(b"x000000")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        begin, sent = time.monotonic(), 0
        while (spent := time.monotonic() - begin) < ASK_S:
            for number in range(sent, round(spent * ASK_RATE)):
                sock.send(b"%bx%06d%b" % (before, number, behind))
                sent = number + 1
            _drain(sock)
            time.sleep(_TICK_S)


def _drain(sock: socket.socket) -> None:
    with suppress(BlockingIOError):
        while True:
            sock.recv(4096)


def _newest(path: Path) -> float:
    """The time of the last attempt in a file of lines."""
    return next(_time_ms(line) for line in lines_backwards(path) if b'"type":"attempt"' in line)


def _time_ms(line: bytes) -> float:
    return milliseconds(json.loads(line)["time"])


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else math.nan
