import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.attempts.attempt import Attempt, Event, Line
from enforcer.attempts.index import Before, By, Count, Filter, Index, TopDevices
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.attempts.log import BEGIN, Cursor, DayLog, days
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.registry import NOBODY
from enforcer.errors import Unavailable
from enforcer.policy.verdict import Layer
from tests.records import BLOCK, NOON_MS, moment

HOUR_MS = 3_600_000
RADIUS = Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 3, Granularity.DEVICE)


def attempt(number: int, count: int = 1, device: str | None = None, **block: object) -> Attempt:
    """Row `number` of a segment, that many hours after noon."""
    at = NOON_MS + number * HOUR_MS
    owner = NOBODY if device is None else Owner(device, "team", RADIUS)
    changed = replace(BLOCK, **block)  # type: ignore[arg-type]
    return Attempt(
        at, at, at + 5, "gw", "dns-0", 1, number << 32 | 1, (number << 32) + count, changed, "192.0.2.1", 7, owner
    )


class Site:
    """A log and an index that follows it."""

    def __init__(self, folder: Path) -> None:
        self.log = DayLog(folder / "log")
        self.path = folder / "index" / "attempts.sqlite"
        self.open()

    def open(self) -> None:
        self.index = SqliteWriter(self.path, self.log.folder)

    def write(self, *entries: Attempt | Event, at_ms: int = NOON_MS) -> None:
        self.log.append(entries, moment(at_ms))
        self.log.sync()

    def follow(self, limit: int = 1000) -> int:
        return self.index.follow(self.log.synced, limit)

    def close(self) -> None:
        self.index.close()
        self.log.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def found(index: Index, limit: int = 100, before: Before | None = None, **which: object) -> list[int]:
    """The rows of what is found."""
    return [line.entry.first >> 32 for line in index.find(Filter(**which), limit, before)]  # type: ignore[arg-type, union-attr]


def test_what_is_found_is_what_was_logged(site: Site) -> None:
    full = attempt(
        1,
        device="dev-1",
        layer=Layer.QUIC,
        alpn=("h3", "h2"),
        ech=True,
        dest_ip="198.51.100.1",
        dest_port=443,
        via="x.test",
    )
    bare = attempt(2, response=None, ban=None, name=None, qtype=None, rcode=None, ede=None)
    site.write(Event("start", NOON_MS, "gw", {}), full, bare)
    site.follow()
    second, first = site.index.find(Filter(), 10)
    assert (first.entry, first.seq, first.logged_ms, first.id) == (full, 2, NOON_MS, full.id)
    assert (second.entry, second.seq) == (bare, 3)
    assert len(first.prev) == 64
    assert site.index.get(full.id) == first
    assert site.index.get("0" * 26) is None


def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(site: Site) -> None:
    site.write(*(attempt(number % 3) for number in range(3)), *(replace(attempt(9), epoch=n) for n in range(4)))
    site.follow()
    lines = list(site.index.find(Filter(), 100))
    paged: list[Line] = []
    before = None
    while page := site.index.find(Filter(), 2, before):
        paged += page
        before = Before(page[-1].entry.time_ms, page[-1].seq)
    assert paged == lines
    assert [line.entry.time_ms for line in lines] == sorted((line.entry.time_ms for line in lines), reverse=True)


def test_every_filter_narrows(site: Site) -> None:
    site.write(
        attempt(0, device="dev-1"),
        attempt(1, device="dev-2", service="scan", rule="scan/exact/x.test", realm="other"),
        attempt(2, layer=Layer.TLS, name="b.chat.test"),
        attempt(3, name="xchat.test"),
    )
    site.follow()
    index = site.index
    assert found(index, device="dev-1") == [0]
    assert found(index, group="team") == [1, 0]
    assert found(index, service="scan") == [1]
    assert found(index, rule="scan/exact/x.test") == [1]
    assert found(index, realm="other") == [1]
    assert found(index, layer="tls") == [2]
    assert found(index, action="observed") == []
    assert found(index, client_ip="192.0.2.1", service="chat") == [3, 2, 0]
    assert found(index, name="chat.test") == [2, 1, 0], "and everything below, but not what only ends alike"
    assert found(index, name="b.chat.test") == [2]
    assert found(index, since_ms=NOON_MS + HOUR_MS, until_ms=NOON_MS + 3 * HOUR_MS) == [2, 1]


def test_counts_are_of_attempts_not_of_lines(site: Site) -> None:
    site.write(attempt(0, count=10, device="dev-1"), attempt(1, count=5), attempt(30, count=1, service="scan"))
    site.follow()
    index = site.index
    assert index.stats(By.SERVICE, Filter()) == [Count("chat", 15, 2), Count("scan", 1, 1)]
    assert index.stats(By.DEVICE, Filter(service="chat")) == [Count("dev-1", 10, 1), Count(None, 5, 1)]
    assert index.stats(By.DAY, Filter()) == [Count("2026-11-23", 15, 2), Count("2026-11-24", 1, 1)]
    assert [count.key for count in index.stats(By.HOUR, Filter(service="chat"))] == [
        "2026-11-23T12:00Z",
        "2026-11-23T13:00Z",
    ]
    assert index.totals() == {
        ("chat", "dns", "blocked", "radius"): 10,
        ("chat", "dns", "blocked", "unknown"): 5,
        ("scan", "dns", "blocked", "unknown"): 1,
    }


@pytest.mark.parametrize("by", By)
def test_counts_can_be_split_by_everything_that_is_offered(site: Site, by: By) -> None:
    site.write(attempt(0, count=10, device="dev-1"))
    site.follow()
    assert [count.attempts for count in site.index.stats(by, Filter())] == [10]


def test_devices_are_counted_once_and_the_rest_is_added_up(site: Site) -> None:
    site.write(
        attempt(1, count=9, device="dev-1"),
        attempt(2, count=1, device="dev-1", service="scan"),
        attempt(3, count=8, device="dev-2"),
        attempt(4, count=2, device="dev-3"),
        attempt(5, count=3, device="dev-4"),
        attempt(6, count=99),
    )
    site.follow()
    assert site.index.devices_attempting(NOON_MS) == {"chat": 4, "scan": 1}
    assert site.index.devices_attempting(NOON_MS + 4 * HOUR_MS) == {"chat": 2}
    top = TopDevices({("dev-1", "chat"): 9, ("dev-1", "scan"): 1, ("dev-2", "chat"): 8}, {"chat": 5})
    assert site.index.top_devices(2, NOON_MS) == top


def test_it_follows_to_the_end_in_steps_and_no_further_than_it_is_told(site: Site) -> None:
    site.write(*(attempt(number) for number in range(5)))
    halfway = site.log.synced
    site.write(*(attempt(number) for number in range(5, 9)), at_ms=NOON_MS + 24 * HOUR_MS)
    assert [site.index.follow(halfway, 3) for _ in range(3)] == [3, 2, 0]
    assert site.index.seq() == 5
    assert [site.follow(3) for _ in range(3)] == [3, 1, 0]
    assert found(site.index) == list(range(8, -1, -1))


def test_it_goes_on_where_it_was_after_a_restart(site: Site) -> None:
    site.write(attempt(0, count=4))
    site.follow()
    site.index.close()
    site.write(attempt(1, count=5))
    site.open()
    assert site.follow() == 1
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 9}


@pytest.mark.parametrize("damage", [b"not a database", b""])
def test_a_damaged_file_is_moved_aside_and_made_again(site: Site, damage: bytes) -> None:
    site.write(attempt(0, count=4))
    site.follow()
    site.index.close()
    site.path.write_bytes(damage)
    site.open()
    assert site.index.trouble is None
    assert site.follow() == 1
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 4}


def test_damage_that_shows_while_running_does_not_stop_the_hub(site: Site) -> None:
    site.write(*(attempt(number) for number in range(200)))
    site.follow()
    site.index._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    site.index._db.execute("PRAGMA cache_size = 0")
    data = bytearray(site.path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    site.path.write_bytes(data)
    site.write(attempt(200))
    assert site.follow() == 0
    assert str(site.index.trouble).startswith("the index cannot be written: ")
    assert site.follow() == 201
    assert site.index.trouble is None
    assert len(found(site.index, limit=1000)) == 201
    assert site.path.with_name("attempts.sqlite.damaged").exists()


def test_another_log_than_the_indexed_one_is_indexed_from_its_beginning(site: Site) -> None:
    site.write(*(attempt(number) for number in range(4)))
    site.follow()
    site.index.close()
    site.log.close()
    days(site.log.folder)[0].unlink()
    site.log = DayLog(site.log.folder)
    site.write(*(attempt(number, service="scan") for number in range(7)))
    site.open()
    site.follow()
    assert site.index.stats(By.SERVICE, Filter()) == [Count("scan", 7, 7)]


def test_a_purged_day_stays_indexed(site: Site) -> None:
    site.write(attempt(0))
    site.follow()
    site.write(attempt(1), at_ms=NOON_MS + 24 * HOUR_MS)
    days(site.log.folder)[0].unlink()
    site.index.close()
    site.open()
    site.follow()
    assert found(site.index) == [1, 0]


def test_a_full_disk_is_trouble_and_no_damage(site: Site) -> None:
    site.write(*(attempt(number) for number in range(300)))
    site.index._db.execute("PRAGMA max_page_count = 30")
    assert site.follow() == 0
    assert site.index.trouble == "the index cannot be written: database or disk is full"
    site.index._db.execute("PRAGMA max_page_count = 100000")
    assert site.follow() == 300
    assert not site.path.with_name("attempts.sqlite.damaged").exists()


def test_readers_open_it_read_only_beside_the_writer(site: Site) -> None:
    site.write(attempt(0))
    site.follow()
    reader = SqliteIndex(site.path)
    assert found(reader) == [0]
    site.write(attempt(1))
    site.follow()
    assert found(reader) == [1, 0]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM attempts")
    reader.close()


def test_where_there_is_no_index_the_reader_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="start the hub"):
        SqliteIndex(tmp_path / "none.sqlite")


def test_a_file_without_tables_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    reader = SqliteIndex(path)
    with pytest.raises(Unavailable, match="cannot be read"):
        reader.totals()
    reader.close()


def test_a_file_of_an_older_version_is_brought_up_to_date(site: Site) -> None:
    version = site.index._db.execute("PRAGMA user_version").fetchone()
    assert version == (1,)
    site.index._db.execute("PRAGMA user_version = 0")
    site.index.close()
    site.open()  # the tables are there already: not what version 0 means, so it is made again
    assert site.index.seq() == BEGIN.seq
    assert site.index.follow(Cursor("", 0, 0), 10) == 0
