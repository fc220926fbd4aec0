"""Whose a row is, and what it shares a window with."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.prefix import prefix_of
from enforcer.devices.registry import NOBODY
from enforcer.hub.rows import OpenRow, OpenSegment, is_in, moment_of, whose
from tests.records import BLOCK, NOON_MS, moment, spooled

SURE = Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 5, Granularity.CONNECTION)
OWNER = Owner("dev-1", "team", SURE)


@pytest.fixture
def row(tmp_path: Path) -> OpenRow:
    spool = Spool(tmp_path / "dns-0", window_ms=60_000, max_bytes=1 << 30)
    spool.open(spooled(), NOON_MS)
    spool.close()
    ((epoch, path),) = segments(tmp_path / "dns-0")
    segment = Segment(path)
    segment.close()
    source = OpenSegment(("dns-0", epoch), segment, {})
    return OpenRow(source, 0, BLOCK, "2001:db8:1:2::7", 4, None, NOON_MS, NOBODY)


def test_rows_of_one_device_share_a_window_wherever_it_is(row: OpenRow) -> None:
    elsewhere = replace(row, client_ip="192.0.2.9")
    assert row.key() != elsewhere.key()
    row.owner = elsewhere.owner = OWNER
    assert row.key() == elsewhere.key()
    assert row.key() != replace(row, block=replace(BLOCK, name="b.chat.test")).key()
    assert row.total() == ("chat", "dns", "blocked", "radius")


@pytest.mark.parametrize(
    ("network", "inside"), [("2001:db8:1:2::/64", True), ("2001:db8:1:2::7/128", True), ("2001:db8:1:3::/64", False)]
)
def test_a_row_is_in_a_prefix_of_its_realm(row: OpenRow, network: str, *, inside: bool) -> None:
    prefix = prefix_of(ip_network(network))
    lengths = {(6, prefix.length)}
    assert is_in(row, {("lab", prefix)}, lengths) == inside
    assert not is_in(row, {("other", prefix)}, lengths)
    assert not is_in(replace(row, client_ip=None), {("lab", prefix)}, lengths)


def test_how_old_the_knowledge_of_an_owner_is_makes_it_no_other() -> None:
    assert whose(OWNER) == whose(replace(OWNER, identity=replace(SURE, age_s=99)))
    assert whose(OWNER) != whose(replace(OWNER, identity=replace(SURE, state=State.STALE)))
    assert whose(OWNER) != whose(replace(OWNER, device="dev-2"))


def test_a_moment_beyond_all_years_is_the_last_one() -> None:
    assert moment_of(NOON_MS) == moment(NOON_MS)
    assert moment_of(1 << 63).year == 9999
