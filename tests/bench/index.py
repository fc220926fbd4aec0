"""The index at its size: rows stored a second, bytes a record, and how long a page's questions take.

ENFORCER_BENCH_RECORDS says how many records; the budget is stated for 10,000,000. ENFORCER_BENCH_INDEX=sqlite or
postgresql asks one database only. ENFORCER_BENCH_INDEX_DIR keeps them in a folder, where the next run finds them. Rows
are made here, without a log; what the log costs is measured in evidence.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

from enforcer.attempts.incidents import incidents
from enforcer.attempts.index import EVERYTHING, By, Filter, Index, Place, Review
from enforcer.attempts.index.batch import Batch
from enforcer.attempts.index.postgres import PostgresIndex, PostgresWriter
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.attempts.log import Cursor
from tests.bench.tables import mb, ms, print_table
from tests.postgres import postgres
from tests.records import NOON_MS

RECORDS = int(os.environ.get("ENFORCER_BENCH_RECORDS", "300000"))
WANTED = os.environ.get("ENFORCER_BENCH_INDEX", "sqlite postgresql").split()
DEVICES = 10_000
DAYS = 365
BATCH = 20_000
DAY_MS = 86_400_000

_LAYERS = ("dns",) * 17 + ("tls", "tls", "quic")
_TEMPLATE: dict[str, object] = {
    "node": "gw",
    "worker": "dns-0",
    "epoch": 1,
    "action": "blocked",
    "response": "nxdomain",
    "via": None,
    "ban": "tbs-2023-10-30",
    "ruleset": "0123456789ab",
    "rule_kind": "suffix",
    "qtype": "A",
    "rcode": "NXDOMAIN",
    "ede": 15,
    "alpn": None,
    "ech": None,
    "transport": "udp",
    "realm": "apn-gov",
    "client_port": 40_000,
    "dest_ip": None,
    "dest_port": None,
    "source": "radius",
    "confidence": "high",
    "state": "resolved",
    "age_s": 3,
    "granularity": "device",
    "prev": bytes(range(32)),
}


def batches(records: int) -> Iterator[tuple[Batch, int]]:
    """Records of a year in the order of time, and the number of the last of each batch."""
    chance = random.Random(1)
    step = DAYS * DAY_MS / records
    for first in range(0, records, BATCH):
        batch = Batch()
        for number in range(first + 1, min(first + BATCH, records) + 1):
            device, rule = chance.randrange(DEVICES), chance.randrange(60)
            at = NOON_MS + round(number * step)
            service = "wechat" if rule < 40 else "kaspersky" if rule < 58 else "bypass"
            layer = "mmtls" if number % 1_000_003 == 0 else _LAYERS[chance.randrange(20)]
            batch.take(
                {
                    **_TEMPLATE,
                    "seq": number,
                    "id": f"{number:026d}",
                    "time": at,
                    "last": at + 30_000,
                    "logged": at + 100,
                    "count": 1 + number % 7,
                    "first": number << 32 | 1,
                    "layer": layer,
                    "service": service,
                    "part": ("messaging", "media", "updates")[rule % 3],
                    "evidence": ("app", "web", "shared")[rule % 3],
                    "rule": f"{service}/suffix/r{rule}.test",
                    "name": f"{chance.randrange(6)}.r{rule}.test",
                    "client_ip": f"10.20.{device >> 8}.{device & 255}",
                    "device": f"dev-{device}",
                    "group": f"group-{device % 20}",
                }
            )
        yield batch, min(first + BATCH, records)


type Question = Callable[[Index], object]

SINCE = NOON_MS + 300 * DAY_MS
QUESTIONS: dict[str, Question] = {
    "newest page": lambda index: index.find(EVERYTHING, 50),
    "page of a device": lambda index: index.find(Filter(device="dev-77"), 50),
    "page of a device and a service": lambda index: index.find(Filter(device="dev-77", service="kaspersky"), 50),
    "page of a service in a week": lambda index: index.find(
        Filter(service="wechat", since_ms=SINCE, until_ms=SINCE + 7 * DAY_MS), 50
    ),
    "page of a layer": lambda index: index.find(Filter(layer="quic"), 50),
    "page of a layer that is rare": lambda index: index.find(Filter(layer="mmtls"), 50),
    "page of service, layer, part, group": lambda index: index.find(
        Filter(service="bypass", layer="quic", part="media", group="group-7"), 50
    ),
    "page deep in the past": lambda index: index.find(EVERYTHING, 50, older=Place(NOON_MS + 20 * DAY_MS, 0)),
    "page of a name": lambda index: index.find(Filter(name="3.r5.test"), 50),
    "page of all below a name": lambda index: index.find(Filter(name="r5.test"), 50),
    "page of an address": lambda index: index.find(Filter(client_ip="10.20.1.7"), 50),
    "page of a rule": lambda index: index.find(Filter(rule="wechat/suffix/r5.test"), 50),
    "one by its id": lambda index: index.get(f"{RECORDS // 2:026d}"),
    "counts by service, a year": lambda index: index.stats(By.SERVICE, EVERYTHING),
    "counts by group, a year": lambda index: index.stats(By.GROUP, EVERYTHING),
    "counts by device, a day": lambda index: index.stats(
        By.DEVICE, Filter(since_ms=SINCE, until_ms=SINCE + DAY_MS), 20
    ),
    "counts by name, a day": lambda index: index.stats(By.NAME, Filter(since_ms=SINCE, until_ms=SINCE + DAY_MS), 20),
    "histogram by day and service, a year": lambda index: index.histogram(EVERYTHING, DAY_MS, By.SERVICE),
    "histogram of a device, a year": lambda index: index.histogram(Filter(device="dev-77"), DAY_MS),
    "heat map, a year": lambda index: index.heat_map(EVERYTHING),
    "menu of rules": lambda index: index.values(By.RULE),
    "50 open incidents": lambda index: incidents(index, EVERYTHING, [Review.OPEN], 50),
    "top 50 devices, a day": lambda index: index.top_devices(50, NOON_MS + (DAYS - 1) * DAY_MS),
}


def main() -> None:
    """Both databases, one after the other."""
    columns: dict[str, list[str]] = {"records": [], "stored a second": [], "MB": [], "bytes a record": []}
    columns |= {f"{question}, ms": [] for question in QUESTIONS}
    for database in WANTED:
        with filled(database) as (reader, size, stored_s):
            octets = size()
            columns["records"].append(f"{RECORDS:,}")
            columns["stored a second"].append(f"{RECORDS / stored_s:,.0f}" if stored_s else "")
            columns["MB"].append(mb(octets))
            columns["bytes a record"].append(f"{octets / RECORDS:.0f}")
            for question, ask in QUESTIONS.items():
                columns[f"{question}, ms"].append(ms(_timed(ask, reader)))
    print_table(("index", *WANTED), [(key, *values) for key, values in columns.items()])


@contextmanager
def filled(database: str) -> Iterator[tuple[Index, Callable[[], int], float]]:
    """The reading end of a full index, its size, and in how many seconds it was filled; 0 where it was there."""
    with ExitStack() as stack:
        kept = os.environ.get("ENFORCER_BENCH_INDEX_DIR")
        base = Path(kept or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        base.mkdir(exist_ok=True)
        base.chmod(0o755)  # PostgreSQL runs as a user of its own
        folder = base / database
        writer, reader, size = stack.enter_context(opened(database, folder))
        waited = 0.0
        for batch, last in batches(RECORDS) if not writer.seq() else ():
            begin = time.perf_counter()
            writer._store(batch, Cursor("2026-11-23", last, last), bytes(32))
            waited += time.perf_counter() - begin
            if not last % 1_000_000:
                print(f"{database}: {last:,} records in {waited:.0f} s", flush=True)
        if writer.seq() != RECORDS:
            raise SystemExit(f"{folder}: {writer.seq():,} records are there; delete it, or ask for as many")
        writer.close()
        yield reader, size, waited


def _timed(ask: Question, index: Index) -> float:
    """The median of five, after one that warms the cache."""
    ask(index)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        ask(index)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


@contextmanager
def opened(database: str, folder: Path) -> Iterator[tuple[SqliteWriter | PostgresWriter, Index, Callable[[], int]]]:
    """Both ends of an index in a folder, and what tells its size."""
    writer: SqliteWriter | PostgresWriter
    reader: SqliteIndex | PostgresIndex
    if database == "sqlite":
        path = folder / "index" / "attempts.sqlite"
        writer = SqliteWriter(path, folder / "log")
        reader = SqliteIndex(path)
        with closing(writer), closing(reader):
            yield writer, reader, lambda: sum(each.stat().st_size for each in path.parent.iterdir())
        return
    with postgres(folder) as server:
        url = server.there("bench")

        def size() -> int:
            with psycopg.connect(url, autocommit=True) as db:
                db.execute("VACUUM ANALYZE")  # as autovacuum does in time
                row = db.execute("SELECT pg_database_size(current_database())").fetchone()
            return 0 if row is None else int(row[0])

        with closing(PostgresWriter(url, folder / "log")) as writer, closing(PostgresIndex(url)) as reader:
            yield writer, reader, size
