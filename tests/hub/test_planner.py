"""What becomes of counted rows: every position in one attempt, with whoever held the address then."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.attempts.attempt import POSITIONS, Attempt, Event
from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.devices.registry import NOBODY
from enforcer.errors import Corrupt
from enforcer.hub.planner import Planner
from enforcer.hub.resume import DAMAGED
from enforcer.hub.rows import OpenRow, OpenSegment
from tests.records import NOON_MS, registry, spooled


class Site:
    """A segment with one row, counted so often, and a planner."""

    def __init__(self, folder: Path, times: int) -> None:
        self.planner = Planner("gw", registry(("dev-1", "192.0.2.1")), "ban-1")
        self.planner.now_ms = NOON_MS
        spool = Spool(folder / "dns-0", window_ms=60_000, max_bytes=1 << 30)
        row = spool.open(spooled("192.0.2.1"), NOON_MS)
        for number in range(1, times):
            spool.repeat(row, NOON_MS + number * 1000)
        spool.close()
        ((epoch, path),) = segments(folder / "dns-0")
        self.source = OpenSegment(("dns-0", epoch), Segment(path), {}, done=[0], last_ms=[0])

    def row(self) -> OpenRow:
        block, client = self.planner.decode(self.source.segment.row(0).entry)
        return OpenRow(self.source, 0, block, *client, NOON_MS, NOBODY)

    def planned(self) -> list[tuple[int, int, str | None]]:
        """Of each attempt its first and last position in the row, and its device."""
        attempts = [each for each in self.planner.out if isinstance(each, Attempt)]
        return [(each.first % POSITIONS, each.to % POSITIONS, each.owner.device) for each in attempts]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, times=10)
    yield site
    site.source.segment.close()


def test_a_first_line_and_the_rest_cover_a_row_once(site: Site) -> None:
    row = site.row()
    row.owner = site.planner.owner(row, NOON_MS)
    site.planner.plan(row, 1, NOON_MS, NOON_MS)
    site.planner.rest(row)
    site.planner.rest(row)
    assert site.planned() == [(1, 1, "dev-1"), (2, 10, "dev-1")]
    assert site.planner.totals.total() == 10
    assert [each.last_ms for each in site.planner.last.values()] == [NOON_MS + 9000]


def test_what_was_counted_while_an_address_changed_hands_is_shared_out(site: Site) -> None:
    row = site.row()
    row.changed, row.samples = True, [(NOON_MS + 3000, 4)]
    site.planner.rest(row)
    assert site.planned() == [(1, 10, "dev-1")], "one device held it all the time"
    assert (row.changed, row.samples) == (False, [])


def test_a_row_that_grew_after_its_summary_has_another(site: Site) -> None:
    site.source.done[0], site.source.last_ms[0] = 7, NOON_MS + 6000
    site.planner.more(site.source, 0)
    assert site.planned() == [(8, 10, "dev-1")]


def test_an_entry_names_its_ban_and_one_without_a_client_is_damage(site: Site) -> None:
    entry = spooled("192.0.2.1")
    block, client = site.planner.decode(entry)
    assert (block.ban, client) == (block.ban or "ban-1", ("192.0.2.1", client[1], None))
    assert site.planner.decode(spooled("192.0.2.2"))[1][0] == "192.0.2.2"
    with pytest.raises(Corrupt, match="has no client"):
        site.planner.decode(entry[:-3] + b"x]]")


def test_whom_clients_must_not_be_named_for_and_who_has_no_address_is_nobody(site: Site) -> None:
    for client_ip in (None, "no address"):
        assert site.planner.owner(replace(site.row(), client_ip=client_ip), NOON_MS) is NOBODY


def test_a_row_that_cannot_be_read_is_an_event_and_no_line_afterwards(site: Site) -> None:
    site.planner.gap(site.source, 0, 10)
    row = site.row()
    site.planner.rest(row)
    (event,) = site.planner.out
    assert isinstance(event, Event)
    assert (event.event, event.time_ms, event.detail["count"]) == ("gap", NOON_MS, 10)
    assert site.source.done == [DAMAGED]
