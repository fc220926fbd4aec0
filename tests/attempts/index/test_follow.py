"""How an index follows the log, and what it lets go of, in every database."""

from enforcer.attempts.attempt import Event
from enforcer.attempts.index import By, Filter, Subject
from enforcer.attempts.log import days
from tests.attempts.index.site import DAY_MS, HOUR_MS, Site, Writer, attempt, found
from tests.records import NOON_MS


def test_it_reads_on_in_steps_over_days_and_no_further_than_it_is_told(site: Site[Writer]) -> None:
    site.write(*(attempt(n) for n in range(3)))
    halfway = site.log.synced
    site.write(*(attempt(n) for n in range(3, 5)), at_ms=NOON_MS + DAY_MS)
    assert [site.index.follow(halfway, 2) for _ in range(3)] == [2, 1, 0]
    assert [site.follow(10) for _ in range(2)] == [2, 0]
    assert site.index.seq() == 5
    assert found(site.index) == [4, 3, 2, 1, 0]


def test_another_log_than_the_one_that_was_read_does_not_agree(site: Site[Writer]) -> None:
    assert site.index.agrees(), "nothing was read"
    site.show(attempt(1))
    (path,) = days(site.log.folder)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a.chat.test", b"b.chat.test"))
    assert not site.index.agrees()
    path.write_bytes(data[:-10])
    assert not site.index.agrees()
    path.unlink()
    assert site.index.agrees(), "purged meanwhile"


def test_a_line_that_cannot_be_read_is_trouble_and_stops_nothing(site: Site[Writer]) -> None:
    site.show(attempt(0))
    site.write(attempt(1))
    (path,) = days(site.log.folder)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"count"', b'"cnuot"'))
    assert site.follow() == 0
    assert str(site.index.trouble).startswith("the index cannot follow the log: ")
    path.write_bytes(data)
    assert site.follow() == 1
    assert site.index.trouble is None


def test_a_kind_that_was_let_go_of_is_stored_again_when_it_comes_again(site: Site[Writer]) -> None:
    """Also when what comes late is of a month that is over, as after a purge."""
    site.show(attempt(0), attempt(900, service="scan"))
    site.index.drop_before(NOON_MS + 200 * HOUR_MS)
    site.show(attempt(901), attempt(902, at_ms=NOON_MS), attempt(1600), attempt(1601, service="scan"))
    assert found(site.index) == [1601, 1600, 901, 900]
    assert found(site.index, service="chat") == [1600, 901]


def test_retention_lets_go_of_months_and_of_what_is_counted(site: Site[Writer]) -> None:
    """The first is of November, the second and the third of December."""
    site.show(
        Event("start", NOON_MS, "gw", {}),
        attempt(0, count=4, device="dev-1"),
        attempt(400, count=2, device="dev-1"),
        attempt(500, count=1, device="dev-1"),
    )
    index = site.index
    december = NOON_MS + (7 * 24 + 12) * HOUR_MS
    index.drop_before(december)
    assert found(index) == [500, 400]
    assert index.events() == []
    assert [count.attempts for count in index.stats(By.SERVICE, Filter())] == [3]
    (fold,) = index.folds(Filter())
    assert (fold.attempts, fold.lines, fold.first_ms) == (3, 2, december)
    index.drop_before(december)
    assert index.folds(Filter()) == [fold], "the same again changes nothing"
    index.drop_before(NOON_MS + 450 * HOUR_MS)
    assert found(index) == [500], "in the middle of a month"
    assert found(index, device="dev-1") == [500]
    assert index.numbered(3) is None
    assert len(index.timeline(Subject("dev-1"), "chat", 10)) == 1
    assert index.totals() == {("chat", "dns", "blocked", "radius"): 7}, "ever"
