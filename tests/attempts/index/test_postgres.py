"""What is PostgreSQL's own; every question is asked of it in test_sql."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from enforcer.attempts.index import By, Count, Filter
from enforcer.attempts.index.postgres import PostgresIndex, PostgresWriter
from enforcer.attempts.log import DayLog, days
from enforcer.errors import Unavailable
from tests.attempts.index.site import HOUR_MS, Site, attempt, found
from tests.postgres import Postgres
from tests.records import NOON_MS

pytestmark = pytest.mark.e2e


@pytest.fixture
def site(tmp_path: Path, database: str) -> Iterator[Site[PostgresWriter]]:
    site = Site(tmp_path, lambda _, log: PostgresWriter(database, log))
    yield site
    site.close()


def partitions(url: str) -> list[str]:
    with psycopg.connect(url) as db:
        rows = db.execute("SELECT relid::regclass::text FROM pg_partition_tree('enforcer.attempts') WHERE isleaf")
        return sorted(str(row[0]).rpartition(".")[2] for row in rows)


def test_each_month_is_a_partition_and_retention_drops_it(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0), attempt(900))
    assert partitions(database) == ["attempts_2026_11", "attempts_2026_12"]
    site.index.drop_before(NOON_MS + 200 * HOUR_MS)
    assert partitions(database) == ["attempts_2026_12"]
    assert found(site.index) == [900]


def test_a_server_that_goes_away_and_comes_back_misses_and_doubles_nothing(
    site: Site[PostgresWriter], database: str, server: Postgres
) -> None:
    site.show(attempt(0, count=3))
    reader = PostgresIndex(database)
    assert found(reader) == [0]
    server.stop()
    try:
        site.write(attempt(1, count=2))
        assert site.follow() == 0
        assert str(site.index.trouble).startswith("the index cannot be asked: ")
        with pytest.raises(Unavailable, match="the index cannot be asked"):
            reader.totals()
        assert site.follow() == 0
    finally:
        server.start()
    assert site.follow() == 1
    assert site.index.trouble is None
    assert reader.stats(By.SERVICE, Filter()) == [Count("chat", 5, 2)]
    reader.close()


def test_a_batch_that_fails_in_its_middle_leaves_nothing(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0))
    site.write(attempt(1))
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("ALTER TABLE enforcer.totals RENAME TO elsewhere")
        assert site.follow() == 0
        assert found(site.index) == [0]
        db.execute("ALTER TABLE enforcer.elsewhere RENAME TO totals")
    assert site.follow() == 1
    assert site.index.stats(By.SERVICE, Filter()) == [Count("chat", 2, 2)]


def test_it_goes_on_where_it_was_after_a_restart(site: Site[PostgresWriter]) -> None:
    site.show(attempt(0, count=4))
    site.index.close()
    site.write(attempt(1, count=5))
    site.open()
    assert site.follow() == 1
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 9}


def test_a_second_writer_finds_the_lock_taken(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0))
    other = PostgresWriter(database, site.log.folder)
    assert other.follow(site.log.synced, 10) == 0
    assert other.trouble == "another hub writes this index; give each a database of its own"
    other.close()


def test_another_log_than_the_indexed_one_is_indexed_from_its_beginning(site: Site[PostgresWriter]) -> None:
    site.show(*(attempt(number) for number in range(4)))
    site.index.close()
    site.log.close()
    days(site.log.folder)[0].unlink()
    site.log = DayLog(site.log.folder)
    site.write(*(attempt(number, service="scan") for number in range(7)))
    site.open()
    site.follow()
    assert site.index.stats(By.SERVICE, Filter()) == [Count("scan", 7, 7)]


def test_it_is_made_again_when_told(site: Site[PostgresWriter]) -> None:
    site.show(attempt(0, count=4))
    site.index.rebuild()
    assert found(site.index) == []
    site.follow()
    assert site.index.totals() == {("chat", "dns", "blocked", "unknown"): 4}


def test_where_there_is_no_index_the_reader_says_so(database: str, tmp_path: Path) -> None:
    reader = PostgresIndex(database)
    with pytest.raises(Unavailable, match="there is no index yet; start the hub"):
        reader.find(Filter(), 1)
    reader.close()
    nobody = PostgresIndex(f"postgresql://enforcer@/x?host={tmp_path}")
    with pytest.raises(Unavailable, match="the index cannot be asked: "):
        nobody.seq()


def test_an_index_of_a_newer_version_is_left_alone(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0))
    site.index.close()
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("INSERT INTO enforcer.version VALUES (999)")
    site.open()
    assert site.follow() == 0
    assert str(site.index.trouble).startswith("the index is of a newer version")


def test_an_index_of_an_older_version_is_made_again(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0))
    site.index.close()
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("UPDATE enforcer.version SET number = 1")
    site.open()
    assert site.follow() == 1
    assert found(site.index) == [0]


def test_text_that_copy_has_signs_for_comes_back_as_it_was(site: Site[PostgresWriter]) -> None:
    odd = attempt(0, name="a\\tb.test", via="tab\tnewline\nreturn\r\\N", service="\\.")
    (line,) = site.show(odd).find(Filter(), 1)
    assert line.entry == odd


def test_kinds_and_names_go_with_the_last_of_their_attempts(site: Site[PostgresWriter], database: str) -> None:
    site.show(attempt(0, service="scan", name="b.test"), attempt(900))
    site.index.drop_before(NOON_MS + 200 * HOUR_MS)
    with psycopg.connect(database) as db:
        assert db.execute("SELECT service FROM enforcer.kinds").fetchall() == [("chat",)]
        assert db.execute("SELECT name FROM enforcer.names").fetchall() == [("a.chat.test",)]
