import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.index import By, Count, Filter, Place
from enforcer.attempts.index.sqlite import SqliteIndex, SqliteWriter
from enforcer.attempts.log import BEGIN, DayLog, days
from enforcer.errors import Unavailable
from tests.attempts.index.site import HOUR_MS, Site, attempt, found
from tests.records import NOON_MS


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site[SqliteWriter]]:
    site = Site(tmp_path, SqliteWriter)
    yield site
    site.close()


def test_it_follows_to_the_end_in_steps_and_no_further_than_it_is_told(site: Site[SqliteWriter]) -> None:
    site.write(*(attempt(number) for number in range(5)))
    halfway = site.log.synced
    site.write(*(attempt(number) for number in range(5, 9)), at_ms=NOON_MS + 24 * HOUR_MS)
    assert [site.index.follow(halfway, 3) for _ in range(3)] == [3, 2, 0]
    assert site.index.seq() == 5
    assert [site.follow(3) for _ in range(3)] == [3, 1, 0]
    assert found(site.index) == list(range(8, -1, -1))


def test_it_goes_on_where_it_was_after_a_restart(site: Site[SqliteWriter]) -> None:
    site.write(attempt(0, count=4))
    site.follow()
    site.index.close()
    site.write(attempt(1, count=5))
    site.open()
    assert site.follow() == 1
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 9}


@pytest.mark.parametrize("damage", [b"not a database", b""])
def test_a_damaged_file_is_moved_aside_and_made_again(site: Site[SqliteWriter], damage: bytes) -> None:
    site.write(attempt(0, count=4))
    site.follow()
    site.index.close()
    site.path.write_bytes(damage)
    site.open()
    assert site.index.trouble is None
    assert site.follow() == 1
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 4}


def test_damage_that_shows_while_running_does_not_stop_the_hub(site: Site[SqliteWriter]) -> None:
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


def test_another_log_than_the_indexed_one_is_indexed_from_its_beginning(site: Site[SqliteWriter]) -> None:
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


def test_a_purged_day_stays_indexed(site: Site[SqliteWriter]) -> None:
    site.write(attempt(0))
    site.follow()
    site.write(attempt(1), at_ms=NOON_MS + 24 * HOUR_MS)
    days(site.log.folder)[0].unlink()
    site.index.close()
    site.open()
    site.follow()
    assert found(site.index) == [1, 0]


def test_a_full_disk_is_trouble_and_no_damage(site: Site[SqliteWriter]) -> None:
    site.show(attempt(0))
    ((_, month),) = site.index._opened.values()
    month.execute("PRAGMA max_page_count = 16")
    site.write(*(attempt(number) for number in range(1, 300)))
    assert site.follow() == 0
    assert site.index.trouble == "the index cannot be written: database or disk is full"
    month.execute("PRAGMA max_page_count = 100000")
    assert site.follow() == 299
    assert site.index.stats(By.SERVICE, Filter()) == [Count("chat", 300, 300)]
    assert not site.path.with_name("attempts.sqlite.damaged").exists()


def test_a_batch_that_was_half_written_is_counted_once(site: Site[SqliteWriter]) -> None:
    """The month's file has it, and the main one could not be written."""
    site.show(attempt(0, count=4, device="dev-1"))
    site.write(attempt(1, count=2, device="dev-1"))
    site.index._db.execute("CREATE TRIGGER no BEFORE UPDATE ON place BEGIN SELECT RAISE(ABORT, 'not now'); END")
    assert site.follow() == 0
    assert site.index.trouble == "the index cannot be written: not now"
    assert found(site.index) == [1, 0], "the month has it"
    site.index._db.execute("DROP TRIGGER no")
    site.index.close()
    site.open()
    assert site.follow() == 1
    assert found(site.index) == [1, 0]
    assert site.index.stats(By.SERVICE, Filter()) == [Count("chat", 6, 2)]
    assert [fold.attempts for fold in site.index.folds(Filter())] == [6]


def test_a_damaged_month_is_made_again(site: Site[SqliteWriter]) -> None:
    site.show(attempt(0), attempt(900))
    site.index.close()
    site.path.with_name("2026-11.sqlite").write_bytes(b"no database")
    site.open()
    site.write(attempt(1))
    while site.follow() or site.index.trouble:
        pass
    assert found(site.index) == [900, 1, 0]


def test_readers_see_a_month_that_was_made_again_or_let_go(site: Site[SqliteWriter]) -> None:
    site.show(attempt(0), attempt(900))
    reader = SqliteIndex(site.path)
    assert found(reader) == [900, 0]
    site.index.drop_before(NOON_MS + 200 * HOUR_MS)
    assert found(reader) == [900]
    assert sorted(path.name for path in site.path.parent.glob("*.sqlite")) == ["2026-12.sqlite", "attempts.sqlite"]
    reader.close()


def test_readers_open_it_read_only_beside_the_writer(site: Site[SqliteWriter]) -> None:
    site.write(attempt(0))
    site.follow()
    reader = SqliteIndex(site.path)
    assert found(reader) == [0]
    site.write(attempt(1))
    site.follow()
    assert found(reader) == [1, 0]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM totals")
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


@pytest.mark.parametrize("version", [1, 999])
def test_an_index_of_another_version_is_made_again(site: Site[SqliteWriter], version: int) -> None:
    site.show(attempt(0))
    site.index._db.execute(f"PRAGMA user_version = {version}")
    site.index.close()
    site.open()
    assert site.index.seq() == BEGIN.seq
    assert site.follow() == 1
    assert found(site.index) == [0]


def test_a_kind_is_looked_for_behind_what_other_kinds_fill_a_page_with(site: Site[SqliteWriter]) -> None:
    """More kinds than are read along at once, and the lines that are meant behind more than are looked through."""
    rare = [attempt(n, at_ms=NOON_MS + n, realm=f"realm-{n}", service="scan") for n in range(150)]
    site.show(*rare, *(attempt(1000 + n, at_ms=NOON_MS + 1000 + n) for n in range(300)))
    assert found(site.index, limit=2, service="scan") == [149, 148]
    assert found(site.index, service="scan", limit=200) == list(range(149, -1, -1))
    first = Place(NOON_MS, 1)
    assert found(site.index, limit=2, service="scan", newer=first) == [2, 1]
