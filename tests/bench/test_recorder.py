"""How many attempts a second the hub takes from the spool to the log, on one core."""

import time
from pathlib import Path

from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.attempts.log import DayLog
from enforcer.attempts.spool import Spool
from enforcer.hub.recorder import Recorder
from tests.records import NOON_MS, moment, registry, spooled

ROWS = 30_000


def test_distinct_rows_to_lines_and_to_the_index(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "dns-0", window_ms=60_000, max_bytes=1 << 30)
    for number in range(ROWS):
        entry = spooled(f"10.0.{number // 200 % 256}.{number // 51_200}", f"{number % 200}.chat.test")
        spool.open(entry, NOON_MS + number // 15)
    spool.close()
    log = DayLog(tmp_path / "log")
    recorder = Recorder(
        spool=tmp_path / "spool",
        log=log,
        marks=tmp_path / "recorder.json",
        node="gw",
        owners=registry(*((f"dev-{number}", f"10.0.{number}.0") for number in range(256))),
        aggregate_s=60.0,
        fsync_s=1.0,
        ban=None,
    )
    at = NOON_MS + 5000
    begin = time.process_time()
    while recorder.poll(at, moment(at)):
        at += 10
    print(f"\n{ROWS / (time.process_time() - begin):,.0f} distinct rows/s to the log")
    assert log.seq == ROWS
    log.sync()
    index = SqliteWriter(tmp_path / "index" / "attempts.sqlite", log.folder)
    begin = time.process_time()
    while index.follow(log.synced, 1000):
        pass
    print(f"{ROWS / (time.process_time() - begin):,.0f} lines/s to the index")
    index.close()
    recorder.close(at, moment(at))
    log.close()
